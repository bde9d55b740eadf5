"""The analysis of an experiment, which reads the record item by item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import muniment
from muniment_analysis.errors import AnalysisError, SampleError
from muniment_analysis.recorded_scores import source_of
from muniment_analysis.replays import replay_sample
from muniment_analysis.variance.sample import MAX_LOST, check_sample, size_warnings

from .distances import ItemDistances, is_list, typo_distance
from .experiment_design import ExperimentDesign
from .measure_analysis import MeasureAnalysis
from .measures import DEFAULTS, MeasureSpec, parse_measure
from .output_statistics import OutputStatistics
from .reading import ItemOutputs, layout_of, read_items
from .report import ControllabilityReport, OmittedMeasure, WorstItem
from .sources import Sources
from .values import ItemValues, of_numbers, recorded_scores

_UNFINISHED = {"missing", "interrupted", "started"}
WORST = 5
"""The number of items that a report names as the worst."""


def analyse(
    session: muniment.Session,
    run: str,
    design: ExperimentDesign,
    *,
    measures: Sequence[str] = (),
    replays: int = 0,
    allow_incomplete: bool = False,
    on_item: Callable[[], None] = lambda: None,
) -> ControllabilityReport:
    """Return the report on a recorded experiment.

    `measures` replaces the measures of the design. `replays` generations are generated again.
    Raises AnalysisError, such as SampleError, where there is no basis for a number.
    """
    collected = _Analysis(session, design, [parse_measure(text) for text in measures])
    for item in read_items(session, run, design):
        collected.add(item)
        on_item()
    return collected.report(run, replays, allow_incomplete=allow_incomplete)


@dataclass
class _Analysis:
    """Collects the statistics of all items. Their generations are released after each item."""

    session: muniment.Session
    design: ExperimentDesign
    chosen: list[MeasureSpec]
    measures: dict[tuple[str, str], MeasureAnalysis] = field(default_factory=dict)
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    generations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    media_types: set[str] = field(default_factory=set)
    at: datetime | None = None

    def __post_init__(self) -> None:
        self.layout = layout_of(self.design)
        self.lost = [0] * self.layout.settings
        self._distances = ItemDistances(self.session)
        self._outputs = OutputStatistics(self.session, self.layout, self._distances)
        self._sources = Sources()
        self._scored: set[str] = set()  # names of the chosen measures that an output has

    def add(self, item: ItemOutputs) -> None:
        """Add the outputs of an item."""
        if not item.is_complete:
            reasons = Counter[str]()
            for (setting, reason), count in item.problems.items():
                reasons[reason] += count
                self.lost[setting] += count
            self.left_out[item.item.id] = dict(reasons)
            return
        self._check_media(item)
        if not self.chosen:
            self.chosen = self.design.measure_specs() or self._defaults(item)
        id = item.item.id
        self.generations[id] = tuple(generation.id for generation in item.generations)
        self.at = min(filter(None, (self.at, *(g.started_at for g in item.generations))))
        self._sources.add(item.generations)
        for spec in self.chosen:
            self._add_measure(spec, item)
        self._outputs.add(item)

    def report(self, run: str, replays: int, *, allow_incomplete: bool) -> ControllabilityReport:
        """Return the report over the items that were added."""
        complete = len(self.generations)
        warnings = self._check_sample(run, complete, allow_incomplete=allow_incomplete)
        assert self.at is not None
        warnings += self._sources.warnings(run)
        omitted = self._omit_unscored(run, complete)
        for key, analysis in list(self.measures.items()):
            scored = set(analysis.ids)  # an item whose scores all failed is in no analysis
            analysis.left_out = [id for id in self.generations if id not in scored]
            try:
                warnings += self._check_measure(analysis, allow_incomplete)
            except SampleError as error:
                if len(self.measures) == 1:
                    raise
                del self.measures[key]
                omitted.append(
                    OmittedMeasure(analysis.name, error.complete, error.needed, str(error))
                )
        warnings += [f"the measure {one.name} is omitted: {one.reason}" for one in omitted]
        if not self.measures:
            raise AnalysisError(
                "no output has a score of the measures "
                f"{', '.join(spec.name for spec in self.chosen)}; score them with "
                f"`muniment evaluate --run {run} --with NAME`, or name other measures"
            )
        names = list(dict.fromkeys(name for name, _ in self.measures))
        ordered = sorted(self.measures.items(), key=lambda item: names.index(item[0][0]))
        results = [analysis.result() for _, analysis in ordered]  # versions stand together
        return ControllabilityReport(
            run=run,
            design=self.design,
            at=self.at,
            models=self._sources.models,
            complete=complete,
            left_out=self.left_out,
            lost=self.lost,
            warnings=warnings,
            measures=results,
            omitted=omitted,
            outputs=self._outputs.result(),
            replay=replay_sample(self.session, muniment.Query(run=run), replays)
            if replays
            else None,
            worst=self._worst(),
        )

    def _omit_unscored(self, run: str, complete: int) -> list[OmittedMeasure]:
        """Return the chosen measures that no output has a score of."""
        needed = complete - int(MAX_LOST * complete)
        return [
            OmittedMeasure(
                spec.name,
                0,
                needed,
                f"no output of the {complete} items has a score of it; score them with "
                f"`muniment evaluate --run {run} --with '{spec.reference}'`",
            )
            for spec in self.chosen
            if spec.kind == "score" and spec.name not in self._scored
        ]

    def _check_sample(self, run: str, complete: int, *, allow_incomplete: bool) -> list[str]:
        """Return warnings on the number of items, or raise SampleError."""
        try:
            left_out = check_sample(
                complete,
                len(self.left_out),
                allow_incomplete=allow_incomplete,
                example=_example(self.left_out),
            )
            return [*left_out, *size_warnings(complete)]
        except SampleError as error:
            reasons = {reason for found in self.left_out.values() for reason in found}
            if reasons & _UNFINISHED:
                raise SampleError(
                    f"{complete} of {complete + len(self.left_out)} items are complete, because "
                    f"run {run} did not end; continue it with `muniment analyze controllability "
                    f"--resume {run}`",
                    complete=error.complete,
                    needed=error.needed,
                ) from None
            raise

    def _check_media(self, item: ItemOutputs) -> None:
        for generation in item.generations:
            self.media_types |= {output.media_type for output in generation.outputs}
        if len(self.media_types) > 1:
            raise AnalysisError(
                f"the outputs have several media types ({', '.join(sorted(self.media_types))}), "
                "so they have no common measure; analyse runs of one generator"
            )

    def _defaults(self, item: ItemOutputs) -> list[MeasureSpec]:
        generation = item.generations[0]
        if is_list(generation):
            kind = "list"
        else:
            kind = "text" if generation.outputs[0].text is not None else "image"
        return [parse_measure(text) for text in DEFAULTS[kind]]

    def _add_measure(self, spec: MeasureSpec, item: ItemOutputs) -> None:
        if spec.kind == "score":
            self._add_scores(spec, item)
            return
        analysis = self._analysis(spec.name, "")
        values = self._distances.of(spec, item)
        size = self.layout.size
        analysis.add(item.item.id, ItemValues(None, values.squared[:size, :size]))
        if item.typos:
            analysis.add_typos(typo_distance(self.layout.replicates, item, values.distances))

    def _add_scores(self, spec: MeasureSpec, item: ItemOutputs) -> None:
        by_output = [recorded_scores(spec, generation) for generation in item.generations]
        names = dict.fromkeys(name for scores in by_output for name in scores)
        for name in names:
            self._scored.add(spec.name)
            scores = [found[name] for found in by_output if name in found]
            sources = self._sources.add_scores(name, scores)
            for source in sources:
                analysis = self._analysis(name, source, scores[0].unit, spec.requested)
            if len(scores) < len(by_output) or len(sources) > 1:
                continue
            numbers = [float(score.value) for score in scores if score.value is not None]
            analysis.add(item.item.id, of_numbers(numbers))
            typos = [
                float(score.value)
                for group in item.typos.values()
                for generation in group
                if (score := recorded_scores(spec, generation).get(name)) is not None
                and score.value is not None
                and source_of(score) == source
            ]
            if typos and len(typos) == sum(map(len, item.typos.values())):
                distances = of_numbers([*numbers, *typos]).distances
                analysis.add_typos(typo_distance(self.layout.replicates, item, distances))

    def _analysis(
        self, name: str, source: str, unit: str = "", requested: str = ""
    ) -> MeasureAnalysis:
        if (name, source) not in self.measures:
            added = MeasureAnalysis(name, self.design, unit, requested)
            self.measures[name, source] = added
            same = {key: one for key, one in self.measures.items() if key[0] == name}
            if len(same) > 1:
                for (_, other), analysis in same.items():
                    analysis.name = f"{name} of version {other}"
        return self.measures[name, source]

    def _check_measure(self, analysis: MeasureAnalysis, allow_incomplete: bool) -> list[str]:
        """Return warnings on items without a value of a measure. Raise SampleError for too many."""
        if not analysis.left_out:
            return []
        number = len(analysis.ids)
        example = f"{analysis.name}: {', '.join(map(repr, analysis.left_out[:3]))}"
        left_out = check_sample(
            number, len(analysis.left_out), allow_incomplete=allow_incomplete, example=example
        )
        if size_warnings(len(self.generations)):
            return left_out  # the report has a warning for all measures
        return [*left_out, *(f"{analysis.name}: {text}" for text in size_warnings(number))]

    def _worst(self) -> list[WorstItem]:
        if not self.design.controls:
            return []
        first = next(iter(self.measures.values()))
        shares = sorted(first.item_controllability().items(), key=lambda pair: pair[1])
        return [WorstItem(id, share, self.generations[id]) for id, share in shares[:WORST]]


def _example(left_out: Mapping[str, Mapping[str, int]]) -> str:
    """Return the first incomplete items with their reasons, for a message."""
    parts = [
        f"item {id!r}, " + ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        for id, reasons in list(left_out.items())[:3]
    ]
    return "; ".join([*parts, *([f"{len(left_out) - 3} more"] if len(left_out) > 3 else [])])
