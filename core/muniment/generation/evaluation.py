"""Running evaluators so that a broken one fails its own scores and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from muniment.errors import PluginError
from muniment.hookspecs import Evaluator
from muniment.plugins.invocation import validate_values
from muniment.plugins.registry import (
    INTERRUPTIONS,
    Plugins,
    RegisteredObject,
    describe,
    make,
    quiet_stdout,
)
from muniment.types import Generation, Measure, PluginRef, Score, reads
from muniment.validation import escape_unencodable


class Evaluators:
    """The evaluators of a session, made once, asked about every completed generation."""

    def __init__(self, plugins: Plugins, names: Sequence[str] | None) -> None:
        """Take those named, else every one that calls itself a default.

        Raises UnknownNameError or PluginError for one that is named and cannot be had; a default
        one that cannot be had is left out, and its plugin is among the broken ones.
        """
        self._plugins = plugins
        self._evaluators: list[tuple[RegisteredObject, Evaluator]] = []
        if names is not None:
            self._evaluators = [
                (registered, make(registered))
                for registered in (plugins.find("evaluator", n) for n in names)
            ]
            return
        for registered in plugins.objects("evaluator"):
            try:
                if registered.load_class().default:
                    self._evaluators.append((registered, make(registered)))
            except PluginError as error:
                plugins.add_failure(registered.plugin, str(error))

    @property
    def plugins(self) -> list[PluginRef]:
        """The distributions whose evaluators are asked."""
        return [self._plugins.ref(registered.plugin) for registered, _ in self._evaluators]

    def scores(self, generation: Generation) -> tuple[Score, ...]:
        """Return every evaluator's scores of a generation whose output it can read."""
        media_types = {output.media_type for output in generation.outputs}
        return tuple(
            score
            for registered, evaluator in self._evaluators
            if any(reads(evaluator.media_types, media_type) for media_type in media_types)
            for score in scores_of(registered, evaluator, generation)
        )


def scores_of(
    registered: RegisteredObject, evaluator: Evaluator, generation: Generation
) -> list[Score]:
    """Return what one evaluator says of a generation; that it failed, for each of its measures."""
    declared = (
        registered.load_class()
    )  # an object may say other things of itself; entries name these
    version = declared.version or registered.plugin.version
    measures = {measure.name: measure for measure in declared.measures}

    def score(measure: Measure, value: float | None, failure: str | None = None) -> Score:
        better = measure.higher_is_better
        return Score(registered.name, version, measure.name, value, measure.unit, better, failure)

    try:
        with quiet_stdout():
            values = validate_values(evaluator.evaluate(generation), declared.measures)
    except INTERRUPTIONS:
        raise
    except BaseException as error:
        failure = escape_unencodable(f"evaluator {registered.name} failed: {describe(error)}")
        return [score(measure, None, failure) for measure in measures.values()]
    return [score(measures[name], value) for name, value in values.items()]
