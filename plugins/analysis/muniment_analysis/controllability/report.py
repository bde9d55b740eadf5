"""The results of an analysis of controllability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from muniment_analysis.replays import Replays

from .experiment_design import ExperimentDesign
from .measure_analysis import MeasureResult
from .output_statistics import Outputs


@dataclass(frozen=True)
class WorstItem:
    """An item whose outputs follow the control parameters least.

    Attributes:
        id: The id of the item.
        controllability: The share of the control parameters in the variance of this item alone.
        generations: The ids of its generations.
    """

    id: str
    controllability: float
    generations: tuple[str, ...]


@dataclass(frozen=True)
class OmittedMeasure:
    """A measure without results, because too few items have its scores.

    Attributes:
        name: The name of the measure.
        items: The number of items with a score for each output.
        needed: The number of items that the measure needs.
        reason: A clause with these numbers.
    """

    name: str
    items: int
    needed: int
    reason: str


@dataclass(frozen=True)
class ControllabilityReport:
    """The results of an experiment: the causes of differences between outputs, and their sizes.

    Attributes:
        run: The id of the run.
        design: The design of the experiment.
        at: The time of the first generation.
        models: The names and digests of the models.
        complete: The number of items with all outputs.
        left_out: The reasons of each incomplete item with their counts, by the item's id.
        lost: The number of missing outputs by setting.
        warnings: Sentences about the size and the losses of the sample.
        measures: The results for each measure. Each version of an evaluator has its own.
        omitted: The measures that too few items have. Each has a warning, too.
        outputs: Statistics of the outputs themselves.
        replay: The results of replays, or None if nothing was replayed.
        worst: The items that follow the control parameters least. Empty without any.
    """

    run: str
    design: ExperimentDesign
    at: datetime
    models: Mapping[str, str]
    complete: int
    left_out: Mapping[str, Mapping[str, int]]
    lost: Sequence[int]
    warnings: Sequence[str]
    measures: Sequence[MeasureResult]
    omitted: Sequence[OmittedMeasure]
    outputs: Outputs
    replay: Replays | None
    worst: Sequence[WorstItem]
