"""Run evaluators. An evaluator that fails loses only its own scores."""

from __future__ import annotations

import time
from collections.abc import Sequence

from muniment.errors import PluginError
from muniment.hookspecs import Evaluator
from muniment.plugins.invocation import validate_values
from muniment.plugins.registry import (
    INTERRUPTIONS,
    Plugins,
    RegisteredObject,
    describe,
    instantiate,
    quiet_stdout,
)
from muniment.types import Generation, Measure, PluginRef, Score, accepts_media_type
from muniment.validation import escape_unencodable


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
        if names is not None:
            self._evaluators = [
                (registered, instantiate(registered))
                for registered in (plugins.find("evaluator", name) for name in names)
            ]
            return
        for registered in plugins.objects("evaluator"):
            try:
                if registered.load_class().default:
                    self._evaluators.append((registered, instantiate(registered)))
            except PluginError as error:
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
    start = time.perf_counter()

    def score(measure: Measure, value: float | None, failure: str | None = None) -> Score:
        return Score(
            evaluator=registered.name,
            version=version,
            name=measure.name,
            value=value,
            unit=measure.unit,
            higher_is_better=measure.higher_is_better,
            failure=failure,
            latency_ms=latency_ms,
        )

    try:
        with quiet_stdout():
            values = validate_values(evaluator.evaluate(generation), declared.measures)
        latency_ms = _milliseconds_since(start)
    except INTERRUPTIONS:
        raise
    except BaseException as error:
        latency_ms = _milliseconds_since(start)
        failure = escape_unencodable(f"evaluator {registered.name} failed: {describe(error)}")
        return [score(measure, None, failure) for measure in measures.values()]
    return [score(measures[name], value) for name, value in values.items()]


def _milliseconds_since(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 3)
