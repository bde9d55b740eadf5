"""Run evaluators on completed generations. An evaluator that fails loses only its own scores.

Several evaluators of one class run together if their parameters differ.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import cast

from muniment.errors import MunimentError, ParameterError, UsageError
from muniment.evaluator_names import parse_evaluators
from muniment.failures import explain
from muniment.generation.powers import EvaluatorPowers, Powers
from muniment.hookspecs import Evaluator, GroupEvaluator
from muniment.models.registry import Models
from muniment.parameters import Parameters, Value
from muniment.plugins.invocation import validate_group_values, validate_values
from muniment.plugins.objects import RegisteredObject, checked_values, instantiate
from muniment.plugins.quiet_output import quiet_stdout
from muniment.plugins.registry import Plugins
from muniment.types.generations import Generation
from muniment.types.media_types import accepts_media_type
from muniment.types.models import Model
from muniment.types.outputs import Output
from muniment.types.plugins import PluginRef
from muniment.types.scores import Measure, Score
from muniment.validation import escape_unencodable

_WORD = re.compile(r"[A-Za-z0-9_./:@+-]+")  # a text that needs no quotes


def full_name(name: str, parameters: Parameters) -> str:
    """Return the name of an evaluator with the parameters that differ from its defaults."""
    defaults = {key: field.default for key, field in parameters.fields().items()}
    changed = [f"{key}={_written(value)}" for key, value in parameters if value != defaults[key]]
    return f"{name}({', '.join(changed)})" if changed else name


def _written(value: Value) -> str:
    if isinstance(value, str) and value != "null" and _WORD.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class BoundEvaluator:
    """An evaluator, with its name and parameters as scores have them.

    `name` has the parameters that differ from the defaults. `models` has digests by parameter.
    """

    # Versions and measures come from the class: an object could change them for itself, but
    # entries may contain only names that the class declares.

    registered: RegisteredObject
    evaluator: Evaluator
    name: str
    parameters: Mapping[str, Value]
    models: Mapping[str, str]
    version: str
    measures: Mapping[str, Measure]

    @property
    def reads_groups(self) -> bool:
        """Whether it compares the generations of a group."""
        return isinstance(self.evaluator, GroupEvaluator)

    def reads(self, output: Output) -> bool:
        """Return whether the evaluator accepts an output. `text/plain` includes JSON."""
        media_types = self.evaluator.media_types
        return accepts_media_type(media_types, output.media_type) or (
            "text/plain" in media_types and output.text is not None
        )

    def scores(
        self, generation: Generation, report: Callable[[str], None] = lambda sentence: None
    ) -> list[Score]:
        """Return the scores, or a failed score for each measure.

        `report` receives the sentence about a failure, which the failed scores have.
        """

        def evaluate() -> dict[str, dict[str, float]]:
            values = validate_values(self.evaluator.evaluate(generation), self.measures)
            return {generation.id: values}

        return self._scores(evaluate, [generation.id], report)[generation.id]

    def group_scores(
        self,
        generations: Sequence[Generation],
        references: Mapping[str, Sequence[str]],
        report: Callable[[str], None] = lambda sentence: None,
    ) -> dict[str, list[Score]]:
        """Return the scores of each generation of a group by its id, for an evaluator of groups.

        A failure of the evaluator is that of all scores of the group. `report` is as in `scores`.
        """
        evaluator = cast(GroupEvaluator, self.evaluator)
        ids = [generation.id for generation in generations]

        def evaluate() -> dict[str, dict[str, float]]:
            evaluated = evaluator.evaluate_group(generations, references)
            return validate_group_values(evaluated, self.measures, ids)

        return self._scores(evaluate, ids, report)

    def _scores(
        self,
        evaluate: Callable[[], dict[str, dict[str, float]]],
        ids: Sequence[str],
        report: Callable[[str], None],
    ) -> dict[str, list[Score]]:
        """Return scores of the values that a call of the evaluator returns, by generation."""
        values: Mapping[str, Mapping[str, float | None]]
        failure = None
        start = time.perf_counter()
        try:
            with quiet_stdout():
                values = evaluate()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            values = dict.fromkeys(ids, dict.fromkeys(self.measures))
            failure = escape_unencodable(
                f"evaluator {self.registered.name} failed: "
                f"{explain(error, self.registered.plugin.module)}"
            )
            report(failure)
        latency_ms = round((time.perf_counter() - start) * 1000, 3)
        return {id: self._made(values.get(id, {}), failure, latency_ms) for id in ids}

    def _made(
        self, values: Mapping[str, float | None], failure: str | None, latency_ms: float
    ) -> list[Score]:
        return [
            Score(
                evaluator=self.name,
                version=self.version,
                name=name,
                value=value,
                unit=self.measures[name].unit,
                higher_is_better=self.measures[name].higher_is_better,
                failure=failure,
                parameters=self.parameters,
                models=self.models,
                latency_ms=latency_ms,
            )
            for name, value in values.items()
        ]


def bind_evaluator(
    registered: RegisteredObject, parameters: Parameters, models: Mapping[str, Model]
) -> BoundEvaluator:
    """Return a new evaluator. Raise ParameterError or PluginError as `instantiate` does."""
    evaluator = instantiate(registered, parameters, models)
    name = full_name(registered.name, parameters)
    declared = registered.load_class()
    return BoundEvaluator(
        registered,
        evaluator,
        name,
        parameters=dict(parameters),
        models={name: model.digest for name, model in models.items()},
        version=declared.version or registered.plugin.version,
        measures={measure.name: measure for measure in declared.measures},
    )


class Evaluators:
    """The evaluators of a run. Each is created once and scores every completed generation."""

    def __init__(
        self,
        plugins: Plugins,
        models: Models,
        names: Sequence[str] | None,
        report: Callable[[str], None] | None = None,
        *,
        powers: Powers | None = None,
        report_unread: bool = False,
        groups: bool = False,
    ) -> None:
        """Create the evaluators in `names`, or all those that set `default` if it is None.

        `report` receives a sentence for each evaluator that failed, and with `report_unread` for
        each that does not read the outputs. Each is reported once. Without `powers` the evaluators
        are only checked, and no packaged model is added for them. Evaluators of groups are refused
        without `groups`.

        Raises UsageError, ModelError or PluginError if a named evaluator is missing or cannot be
        created with its parameters. A default evaluator that cannot be created is skipped, and its
        plugin is added to `plugins.broken`.
        """
        self._plugins = plugins
        self._models = models
        self._powers = powers
        self._used: list[EvaluatorPowers] = []
        self._report = report or (lambda sentence: None)
        self._report_unread = report_unread
        self._allow_groups = groups
        self._reported: set[tuple[str, ...]] = set()
        bound = self._defaults() if names is None else self._named(names)
        self._evaluators = list({item.name: item for item in bound}.values())

    def _named(self, names: Sequence[str]) -> Iterator[BoundEvaluator]:
        for spec in [spec for text in names for spec in parse_evaluators(text)]:
            registered = self._plugins.find("evaluator", spec.name)
            if not self._allow_groups and issubclass(registered.load_class(), GroupEvaluator):
                raise UsageError(
                    f"evaluator {spec.name} compares recorded generations; use it with "
                    f"`muniment evaluate ID... --with {spec.name}`"
                )
            try:
                yield self._bind(registered, spec.parameters)
            except ParameterError as error:
                raise ParameterError(error.name, f"evaluator {spec.name}: {error}") from None

    def _defaults(self) -> Iterator[BoundEvaluator]:
        for registered in self._plugins.objects("evaluator"):
            try:
                declared = registered.load_class()
                if declared.default and not issubclass(declared, GroupEvaluator):
                    yield self._bind(registered, {})
            except MunimentError as error:
                self._plugins.add_failure(registered.plugin, error)

    def _bind(self, registered: RegisteredObject, values: Mapping[str, object]) -> BoundEvaluator:
        parameters = checked_values(registered, registered.load_class().Parameters, values)
        find = self._powers.find_model if self._powers else self._find_model
        models = {name: find(reference) for name, reference in parameters.models().items()}
        bound = bind_evaluator(registered, parameters, models)
        if self._powers is not None:
            powers = EvaluatorPowers(self._powers, models)
            bound.evaluator.powers = powers
            self._used.append(powers)
        return bound

    def _find_model(self, reference: str) -> Model:
        return self._models.resolve(reference, None)

    @property
    def plugins(self) -> list[PluginRef]:
        """The distributions that provide the evaluators, and generators that they have used."""
        used = [plugin for powers in self._used for plugin in powers.plugins]
        return [*self._own_plugins, *used]

    @cached_property
    def _own_plugins(self) -> list[PluginRef]:
        return [self._plugins.ref(item.registered.plugin) for item in self._evaluators]

    @property
    def read_groups(self) -> bool:
        """Whether one of them reads groups."""
        return any(item.reads_groups for item in self._evaluators)

    def scores(self, generation: Generation) -> tuple[Score, ...]:
        """Return the scores of all evaluators that accept one of the outputs.

        Evaluators of groups are left out.
        """
        scores: list[Score] = []
        for item in self._evaluators:
            if not item.reads_groups and self._reads(item, generation):
                scores += item.scores(generation, partial(self._report_once, (item.name,)))
        return tuple(scores)

    def group_scores(
        self, generations: Sequence[Generation], references: Mapping[str, Sequence[str]]
    ) -> dict[str, tuple[Score, ...]]:
        """Return the scores of the evaluators of groups, by the id of a generation.

        An evaluator gets those generations that have an output which it accepts.
        """
        scores: dict[str, list[Score]] = {generation.id: [] for generation in generations}
        for item in [item for item in self._evaluators if item.reads_groups]:
            group = [generation for generation in generations if self._reads(item, generation)]
            if group:
                report = partial(self._report_once, (item.name,))
                for id, values in item.group_scores(group, references, report).items():
                    scores[id] += values
        return {id: tuple(values) for id, values in scores.items()}

    def _reads(self, item: BoundEvaluator, generation: Generation) -> bool:
        """Return whether an evaluator accepts an output, and report if it does not."""
        if any(map(item.reads, generation.outputs)):
            return True
        if self._report_unread:
            kinds = tuple(dict.fromkeys(output.media_type for output in generation.outputs))
            self._report_once(
                (item.name, *kinds),
                f"evaluator {item.registered.name} scored nothing, because it does not read "
                f"{' or '.join(kinds)}; it reads {' or '.join(item.evaluator.media_types)}",
            )
        return False

    def _report_once(self, key: tuple[str, ...], sentence: str) -> None:
        if key not in self._reported:
            self._reported.add(key)
            self._report(sentence)
