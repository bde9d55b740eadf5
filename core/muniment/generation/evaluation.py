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

from muniment.errors import MunimentError, ParameterError
from muniment.evaluator_names import parse_evaluators
from muniment.generation.powers import EvaluatorPowers, Powers
from muniment.hookspecs import Evaluator
from muniment.models.registry import Models
from muniment.parameters import Parameters, Value
from muniment.plugins.invocation import validate_values
from muniment.plugins.registry import (
    Plugins,
    RegisteredObject,
    describe,
    describe_with_place,
    instantiate,
    quiet_stdout,
)
from muniment.types import (
    Generation,
    Measure,
    Model,
    Output,
    PluginRef,
    Score,
    accepts_media_type,
)
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

        `report` receives a sentence about a failure, with the file and line if they are known.
        """
        values: Mapping[str, float | None]
        failure = None
        start = time.perf_counter()
        try:
            with quiet_stdout():
                values = validate_values(self.evaluator.evaluate(generation), self.measures)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            values = dict.fromkeys(self.measures)
            failed = f"evaluator {self.registered.name} failed: "
            failure = escape_unencodable(failed + describe(error))
            # The record omits the place, which is a path of this machine.
            report(escape_unencodable(failed + describe_with_place(error)))
        latency_ms = round((time.perf_counter() - start) * 1000, 3)
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
    ) -> None:
        """Create the evaluators in `names`, or all those that set `default` if it is None.

        `report` receives a sentence for each evaluator that failed, and with `report_unread` for
        each that does not read the outputs. Each is reported once. Without `powers` the evaluators
        are only checked, and no packaged model is added for them.

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
        self._reported: set[tuple[str, ...]] = set()
        bound = self._defaults() if names is None else self._named(names)
        self._evaluators = list({item.name: item for item in bound}.values())

    def _named(self, names: Sequence[str]) -> Iterator[BoundEvaluator]:
        for spec in [spec for text in names for spec in parse_evaluators(text)]:
            registered = self._plugins.find("evaluator", spec.name)
            try:
                yield self._bind(registered, spec.parameters)
            except ParameterError as error:
                raise ParameterError(error.name, f"evaluator {spec.name}: {error}") from None

    def _defaults(self) -> Iterator[BoundEvaluator]:
        for registered in self._plugins.objects("evaluator"):
            try:
                if registered.load_class().default:
                    yield self._bind(registered, {})
            except MunimentError as error:
                self._plugins.add_failure(registered.plugin, str(error))

    def _bind(self, registered: RegisteredObject, values: Mapping[str, object]) -> BoundEvaluator:
        parameters = registered.load_class().Parameters(**values)
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

    def scores(self, generation: Generation) -> tuple[Score, ...]:
        """Return the scores of all evaluators that accept one of the outputs."""
        scores: list[Score] = []
        for item in self._evaluators:
            if any(map(item.reads, generation.outputs)):
                scores += item.scores(generation, partial(self._report_once, (item.name,)))
            elif self._report_unread:
                kinds = tuple(dict.fromkeys(output.media_type for output in generation.outputs))
                self._report_once(
                    (item.name, *kinds),
                    f"evaluator {item.registered.name} scored nothing, because it does not read "
                    f"{' or '.join(kinds)}; it reads {' or '.join(item.evaluator.media_types)}",
                )
        return tuple(scores)

    def _report_once(self, key: tuple[str, ...], sentence: str) -> None:
        if key not in self._reported:
            self._reported.add(key)
            self._report(sentence)
