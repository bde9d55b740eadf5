"""Run the filters of a policy on contents.

A filter fails if it cannot be loaded, raises, returns an invalid verdict, or exceeds its time
limit. Its verdict is then `block`, with the reason in `failure`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from muniment.errors import MunimentError, ParameterError, PolicyError
from muniment.failures import explain
from muniment.generation.policy import FilterRule, Policy
from muniment.hookspecs import Filter
from muniment.plugins.invocation import validate_verdict
from muniment.plugins.objects import (
    InterruptibleFilter,
    RegisteredObject,
    checked_values,
    instantiate,
)
from muniment.plugins.quiet_output import quiet_stdout
from muniment.plugins.registry import Plugins
from muniment.types.generations import Generation
from muniment.types.media_types import accepts_media_type
from muniment.types.outputs import Output
from muniment.types.plugins import PluginRef
from muniment.types.requests import Request
from muniment.types.verdicts import UNREAD_FILTER, Content, Stage, Verdict
from muniment.validation import escape_unencodable


def request_contents(request: Request) -> Iterator[Content]:
    """Yield the contents of a request that filters check before anything is generated."""
    if request.system is not None:
        yield Content("system", "text/plain", request.system.encode())
    yield Content("prompt", "text/plain", request.prompt.encode())
    for name, text in request.parameters.judged().items():
        yield Content("prompt", "text/plain", text.encode(), parameter=name)
    for item in request.inputs.values():
        yield Content("input", item.media_type, item.data, item.name)


def with_returned_outputs(generation: Generation, outputs: tuple[Output, ...]) -> Generation:
    """Return a recorded generation with the outputs that callers get.

    The trace is omitted if an output differs, because its tokens are those of all candidates.
    """
    if outputs == generation.outputs:  # copying a generation takes as long as judging it
        return generation
    recorded = [output.data for output in generation.outputs]
    is_same = recorded == [output.data for output in outputs]
    trace = generation.trace if is_same else None
    return replace(generation, outputs=outputs, trace=trace)


@dataclass(frozen=True, slots=True)
class JudgedOutput:
    """An output after the filters judged it.

    Attributes:
        recorded: The output for the record, which contains all candidates of a list.
        returned: The output for callers and evaluators, which contains only the selected items.
        verdicts: The verdicts on the output or on its items.
        blocked: Whether nothing of the output may be returned.
        failure: The reason why nothing of it can be returned, although it is not blocked, or None.
        reader: The distribution that read the items of a list, or None.
    """

    recorded: Output
    returned: Output
    verdicts: list[Verdict]
    blocked: bool
    failure: str | None = None
    reader: PluginRef | None = None


_ANY_ITEM = Content("item", "text/plain", b"")


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
                names = dict.fromkeys((policy.rule_names[position], rule.filter))
                where = f"filters[{position}] ({', filter '.join(names)})"
                raise PolicyError(policy.source, f"{where}: {error}") from None

    def check(self, content: Content, *, is_read: bool = False) -> list[Verdict]:
        """Return the verdicts of all filters that apply to the content, in the policy's order.

        If none applies and the policy blocks unread content, the only verdict is a block. This does
        not apply with `is_read`, for an item of a list that a filter read as a whole.
        """
        verdicts = [rule.check(content) for rule in self._rules if rule.applies(content)]
        return verdicts if verdicts or is_read else self._unread(content)

    def judge(self, output: Output, *, is_list: bool = False) -> JudgedOutput:
        """Return an output after the filters.

        With `is_list`, filters that read the items of a list do not read the list itself.
        """
        content = Content("output", output.media_type, output.data)
        verdicts = [
            rule.check(content)
            for rule in self._rules
            if rule.applies(content) and not (is_list and rule.applies(_ANY_ITEM))
        ]
        if not is_list:  # the items of a list are judged one by one
            verdicts = verdicts or self._unread(content)
        blocked = any(verdict.action == "block" for verdict in verdicts)
        return JudgedOutput(output, output, verdicts, blocked)

    def _unread(self, content: Content) -> list[Verdict]:
        """Return a block of content that no filter of its stage reads, if the policy demands it.

        Rules that only observe demand none.
        """
        if not self._blocks_unread(content.stage):
            return []
        reason = f"no filter of this stage reads {content.media_type}"
        return [
            Verdict(
                "block",
                failure=escape_unencodable(reason),
                filter=UNREAD_FILTER,
                stage=content.stage,
                input=content.input,
                parameter=content.parameter,
                action="block",
                policy_version=self.policy.label,
            )
        ]

    def _blocks_unread(self, stage: Stage) -> bool:
        return self.policy.unread == "block" and any(
            rule.mode == "enforce" and rule.applies(stage) for rule in self.policy.filters
        )

    def judge_selection(self, output: Output) -> list[Verdict]:
        """Return the verdicts on the selection of a list of the filters that read its items.

        Only rules for outputs judge the selection, which can contain text outside its items.
        """
        content = Content("output", output.media_type, output.data)
        return [
            rule.check(content)
            for rule in self._rules
            if rule.applies(content) and rule.applies(_ANY_ITEM)
        ]

    @property
    def judges_items(self) -> bool:
        """Whether any filter checks the items of lists."""
        return any(rule.applies(_ANY_ITEM) for rule in self._rules)

    def unreadable(self, reason: str) -> list[Verdict]:
        """Return the verdicts of the filters that check items on a list that cannot be read."""
        return [rule.unreadable(reason) for rule in self._rules if rule.applies(_ANY_ITEM)]

    def unhandled(self, media_type: str) -> list[Verdict]:
        """Return the verdicts of rules for items on an output that no plugin reads.

        It can be a list. A rule that is also for outputs judges it as an output.
        """
        reason = f"no installed plugin reads {media_type}, which can be a list"
        return [
            rule.unreadable(reason)
            for rule in self._rules
            if "item" in rule.rule.stages and "output" not in rule.rule.stages
        ]

    def blocks(self, contents: Iterable[Content]) -> bool:
        """Return whether a filter blocks one of the contents of a request, without recording."""
        with quiet_stdout():
            return any(
                verdict.action == "block" for content in contents for verdict in self.check(content)
            )

    def judges_output(self, media_type: str) -> bool:
        """Return whether a filter checks outputs of that media type, or unread ones are blocked."""
        empty = Content("output", media_type, b"")
        return any(rule.applies(empty) for rule in self._rules) or self._blocks_unread("output")

    @property
    def failures(self) -> list[str]:
        """One sentence for each rule whose filter cannot be used. It blocks all content."""
        names = self.policy.rule_names
        return [
            f"filters[{position}] ({names[position]}): {rule.failure}"
            for position, rule in enumerate(self._rules)
            if rule.filter is None
        ]

    @cached_property
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
            values = checked_values(self.registered, declared.Parameters, rule.parameters)
            self.filter = instantiate(self.registered, values)
            self.declared = declared
            if isinstance(self.filter, InterruptibleFilter):
                self.filter.time_limit = rule.time_limit
            else:  # the categories of an instance in another process are not known
                _check_thresholds(rule, self.filter.categories)
        except ParameterError:
            raise
        except MunimentError as error:
            self.failure = escape_unencodable(f"filter {rule.filter} cannot be used: {error}")
        self._version = ""
        if self.registered is not None:
            self._version = self.registered.plugin.version
        if self.declared is not None and self.declared.version:
            self._version = self.declared.version

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
                verdict = self._failed(
                    explain(error, self.registered.plugin.module if self.registered else "")
                )
        seconds = time.perf_counter() - start
        if verdict.failure is None and seconds > self.rule.time_limit:
            limit = f"later than its limit of {self.rule.time_limit:g} s"
            verdict = self._failed(f"its verdict came after {seconds:.1f} s, {limit}")
        return self._completed(verdict, content, seconds)

    def unreadable(self, reason: str) -> Verdict:
        """Return the verdict on a list whose items cannot be read."""
        failure = escape_unencodable(f"filter {self.rule.filter} cannot check the list: {reason}")
        return self._completed(Verdict("block", failure=failure), _ANY_ITEM, 0.0)

    def _completed(self, verdict: Verdict, content: Content, seconds: float) -> Verdict:
        """Return a verdict with the action, version and latency filled in."""
        return Verdict(
            verdict.decision,
            verdict.categories,
            verdict.reasons,
            failure=verdict.failure,
            filter=self.rule.filter,
            version=self._version,
            stage=content.stage,
            input=content.input,
            parameter=content.parameter,
            action=self.rule.action(verdict),
            observed_action=self.rule.observed_action(verdict),
            policy_version=self._policy_version,
            policy_rule=self._position,
            latency_ms=round(seconds * 1000, 3),
        )

    def _failed(self, reason: str) -> Verdict:
        return Verdict(
            "block", failure=escape_unencodable(f"filter {self.rule.filter} failed: {reason}")
        )
