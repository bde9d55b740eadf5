"""Run the filters of a policy and the evaluators on contents and generations.

A filter fails if it cannot be loaded, raises, returns an invalid verdict, or exceeds its time
limit. Its verdict is then `block`, with the reason in `failure`. An evaluator that fails loses only
its own scores.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from muniment.errors import MunimentError, ParameterError, PluginError, PolicyError
from muniment.generation.policy import FilterRule, Policy
from muniment.hookspecs import Evaluator, Filter
from muniment.plugins.invocation import validate_values, validate_verdict
from muniment.plugins.registry import (
    InterruptibleFilter,
    Plugins,
    RegisteredObject,
    describe,
    instantiate,
    quiet_stdout,
)
from muniment.types import (
    Content,
    Generation,
    PluginRef,
    Score,
    Verdict,
    accepts_media_type,
)
from muniment.validation import escape_unencodable


def prompt_contents(prompt: str, system: str | None) -> list[Content]:
    """Return the contents of a request that filters check before anything is generated."""
    contents = [Content("prompt", "text/plain", prompt.encode())]
    if system is not None:
        contents.insert(0, Content("system", "text/plain", system.encode()))
    return contents


class PolicyRunner:
    """The policy in force. Its filters are created once and check every content."""

    def __init__(self, policy: Policy, plugins: Plugins) -> None:
        """Create the policy's filters.

        Raises PolicyError for parameters that a filter rejects, because the policy's author can
        correct them. A filter that is missing or cannot be created blocks all content instead.
        """
        self.policy = policy
        self._plugins = plugins
        self._rules = []
        for position, rule in enumerate(policy.filters):
            try:
                self._rules.append(_BoundFilter(rule, position, policy.label, plugins))
            except ParameterError as error:
                where = f"filters[{position}] ({rule.filter})"
                raise PolicyError(policy.source, f"{where}: {error}") from None

    def check(self, content: Content) -> list[Verdict]:
        """Return the verdicts of all filters that apply to the content, in the policy's order."""
        return [rule.check(content) for rule in self._rules if rule.applies(content)]

    def blocks_prompts(self, prompt: str, system: str | None) -> bool:
        """Return whether a filter blocks the prompt or the system prompt, without recording."""
        with quiet_stdout():
            return any(
                verdict.action == "block"
                for content in prompt_contents(prompt, system)
                for verdict in self.check(content)
            )

    def judges_output(self, media_type: str) -> bool:
        """Return whether any filter checks outputs of that media type."""
        empty = Content("output", media_type, b"")
        return any(rule.applies(empty) for rule in self._rules)

    @property
    def failures(self) -> list[str]:
        """One sentence for each filter that cannot be used. Such a filter blocks all content."""
        return [rule.failure for rule in self._rules if rule.filter is None]

    @property
    def plugins(self) -> list[PluginRef]:
        """The distributions that provide the filters in force."""
        return [
            self._plugins.ref(rule.registered.plugin)
            for rule in self._rules
            if rule.registered is not None
        ]

    @property
    def categories(self) -> Mapping[str, frozenset[str]]:
        """The categories that each filter's class declares."""
        return {
            rule.rule.filter: frozenset(rule.declared.categories)
            for rule in self._rules
            if rule.declared is not None
        }


def _check_thresholds(rule: FilterRule, categories: Sequence[str]) -> None:
    """Raise ParameterError for a threshold of a category that the filter never finds.

    A filter that declares no categories can find any.
    """
    for category in rule.thresholds:
        if categories and category not in categories:
            raise ParameterError(
                "thresholds",
                f"thresholds has {category!r}, which the filter never finds; use "
                + " or ".join(categories),
            )


class _BoundFilter:
    """One rule of a policy, with its filter or with the reason why the filter cannot be used."""

    def __init__(
        self, rule: FilterRule, position: int, policy_version: str, plugins: Plugins
    ) -> None:
        self.rule = rule
        self._position = position
        self.registered: RegisteredObject | None = None
        self.filter: Filter | None = None
        # Entries may contain only names that the class declares. An object can have categories
        # from its parameters, which are free text.
        self.declared: type[Filter] | None = None
        self._policy_version = policy_version
        self.failure = ""
        try:
            self.registered = plugins.find("filter", rule.filter)
            declared = self.registered.load_class()
            self.filter = instantiate(self.registered, declared.Parameters(**rule.parameters))
            self.declared = declared
            if isinstance(self.filter, InterruptibleFilter):
                self.filter.time_limit = rule.time_limit
            else:  # the categories of an instance in another process are not known
                _check_thresholds(rule, self.filter.categories)
        except ParameterError:
            raise
        except MunimentError as error:
            self.failure = escape_unencodable(f"filter {rule.filter} cannot be used: {error}")

    def applies(self, content: Content) -> bool:
        """Return whether the filter must check this content."""
        if not self.rule.applies(content.stage):
            return False
        if self.filter is None or accepts_media_type(self.filter.media_types, content.media_type):
            return True
        # A text filter must not be bypassed by labelling a text with another media type.
        return "text/plain" in self.filter.media_types and content.is_text

    def check(self, content: Content) -> Verdict:
        """Return the filter's verdict with the action, version and latency filled in."""
        start = time.perf_counter()
        if self.filter is None:
            verdict = Verdict("block", failure=self.failure)
        else:
            try:
                if isinstance(self.filter, InterruptibleFilter):
                    # Restarting a worker process does not count towards the time limit.
                    self.filter.ready()
                    start = time.perf_counter()
                with quiet_stdout():
                    verdict = validate_verdict(self.filter.check(content), content)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                verdict = self._failed(describe(error))
        seconds = time.perf_counter() - start
        if verdict.failure is None and seconds > self.rule.time_limit:
            limit = f"later than its limit of {self.rule.time_limit:g} s"
            verdict = self._failed(f"its verdict came after {seconds:.1f} s, {limit}")
        return replace(
            verdict,
            filter=self.rule.filter,
            version=self._version(),
            stage=content.stage,
            action=self.rule.action(verdict),
            observed_action=self.rule.observed_action(verdict),
            policy_version=self._policy_version,
            policy_rule=self._position,
            latency_ms=_milliseconds(seconds),
        )

    def _failed(self, reason: str) -> Verdict:
        return Verdict(
            "block", failure=escape_unencodable(f"filter {self.rule.filter} failed: {reason}")
        )

    def _version(self) -> str:
        if self.declared is not None and self.declared.version:
            return self.declared.version
        return self.registered.plugin.version if self.registered is not None else ""


class Evaluators:
    """The evaluators of a session. Each is created once and scores every completed generation."""

    def __init__(self, plugins: Plugins, names: Sequence[str] | None) -> None:
        """Create the evaluators in `names`, or all those that set `default` if it is None.

        Raises UnknownNameError or PluginError if a named evaluator is missing or cannot be
        created. A default evaluator that cannot be created is skipped, and its plugin is added
        to `plugins.broken`.
        """
        self._plugins = plugins
        self._evaluators: list[tuple[RegisteredObject, Evaluator]] = []
        if names is None:
            candidates = plugins.objects("evaluator")
        else:
            candidates = [plugins.find("evaluator", name) for name in names]
        for registered in candidates:
            try:
                if names is not None or registered.load_class().default:
                    self._evaluators.append((registered, instantiate(registered)))
            except PluginError as error:
                if names is not None:
                    raise
                plugins.add_failure(registered.plugin, str(error))

    @property
    def plugins(self) -> list[PluginRef]:
        """The distributions that provide the evaluators."""
        return [self._plugins.ref(registered.plugin) for registered, _ in self._evaluators]

    def scores(self, generation: Generation) -> tuple[Score, ...]:
        """Return the scores of all evaluators that accept a media type of the outputs."""
        media_types = {output.media_type for output in generation.outputs}
        return tuple(
            score
            for registered, evaluator in self._evaluators
            if any(
                accepts_media_type(evaluator.media_types, media_type) for media_type in media_types
            )
            for score in compute_scores(registered, evaluator, generation)
        )


def compute_scores(
    registered: RegisteredObject, evaluator: Evaluator, generation: Generation
) -> list[Score]:
    """Return one evaluator's scores, or a failed score for each of its measures."""
    # Versions and measures come from the class: an object could change them for itself, but
    # entries may contain only names that the class declares.
    declared = registered.load_class()
    version = declared.version or registered.plugin.version
    measures = {measure.name: measure for measure in declared.measures}
    values: Mapping[str, float | None]
    failure = None
    start = time.perf_counter()
    try:
        with quiet_stdout():
            values = validate_values(evaluator.evaluate(generation), declared.measures)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        values = dict.fromkeys(measures)
        failure = escape_unencodable(f"evaluator {registered.name} failed: {describe(error)}")
    latency_ms = _milliseconds(time.perf_counter() - start)
    return [
        Score(
            evaluator=registered.name,
            version=version,
            name=name,
            value=value,
            unit=measures[name].unit,
            higher_is_better=measures[name].higher_is_better,
            failure=failure,
            latency_ms=latency_ms,
        )
        for name, value in values.items()
    ]


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
