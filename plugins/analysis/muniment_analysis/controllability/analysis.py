"""The analysis of an experiment, which reads the record item by item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

import muniment
from muniment_analysis.diversity import vendi_score
from muniment_analysis.entropy import entropy
from muniment_analysis.errors import AnalysisError, SampleError
from muniment_analysis.intervals import Estimate, mean_estimate, proportion_estimate
from muniment_analysis.ngrams import distinct_ngrams
from muniment_analysis.overlap import jaccard, rank_biased_overlap
from muniment_analysis.recorded_scores import source_of
from muniment_analysis.replays import Replays, replay_sample
from muniment_analysis.variance.sample import MAX_LOST, check_sample
from muniment_analysis.words import words

from . import item_statistics
from .experiment_design import ExperimentDesign
from .measure_analysis import MeasureAnalysis, MeasureResult
from .measures import DEFAULTS, MeasureSpec, parse_measure
from .reading import ItemOutputs, layout_of, read_items
from .values import (
    ItemValues,
    item_ids,
    of_embeddings,
    of_lists,
    of_numbers,
    of_texts,
    recorded_scores,
)

_UNFINISHED = {"missing", "interrupted", "started"}
WORST = 5
"""The number of items that a report names as the worst."""
_OTHERS = "use another measure, such as embedding or EVALUATOR.MEASURE"


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
class Outputs:
    """Statistics of the outputs themselves, averaged over items.

    Attributes:
        agreement: The share of equal outputs among pairs that differ in the seed alone.
        entropy: The entropy of the outputs of a cell in nats, after Miller and Madow.
        underestimated: Whether most outputs of most cells occur once, so that the entropy is too
            small.
        diversity: Measures of diversity of the outputs of a cell, such as `vendi`.
        overlap: For lists, `rbo` and `jaccard` between outputs that differ in the seed alone.
    """

    agreement: Estimate
    entropy: Estimate
    underestimated: bool
    diversity: Mapping[str, Estimate]
    overlap: Mapping[str, Estimate]


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
    models: dict[str, str] = field(default_factory=dict)
    media_types: set[str] = field(default_factory=set)
    at: datetime | None = None

    def __post_init__(self) -> None:
        self.layout = layout_of(self.design)
        self.lost = [0] * self.layout.settings
        self._outputs: list[dict[str, float]] = []
        self._last_wording: tuple[ItemOutputs, ItemValues] | None = None
        self._policies: set[str] = set()
        self._digests: dict[str, set[str]] = {}
        self._scored: set[str] = set()  # names of the chosen measures that an output has
        self._sources: dict[str, Counter[str]] = {}  # outputs by source, of each score

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
        for generation in item.generations:
            self._policies.add(generation.policy)
            if generation.model is not None:
                self.models[generation.model.name] = generation.model.digest
                self._digests.setdefault(generation.model.name, set()).add(generation.model.digest)
        for spec in self.chosen:
            self._add_measure(spec, item)
        self._outputs.append(self._output_statistics(item))

    def report(self, run: str, replays: int, *, allow_incomplete: bool) -> ControllabilityReport:
        """Return the report over the items that were added."""
        complete = len(self.generations)
        warnings = self._check_sample(run, complete, allow_incomplete=allow_incomplete)
        assert self.at is not None
        warnings += self._source_warnings(run)
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
            models=self.models,
            complete=complete,
            left_out=self.left_out,
            lost=self.lost,
            warnings=warnings,
            measures=results,
            omitted=omitted,
            outputs=self._outputs_result(),
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

    def _source_warnings(self, run: str) -> Iterator[str]:
        """Yield what changed between the outputs, as after an interruption."""
        for name, counts in self._sources.items():
            if len(counts) > 1:
                parts = ", ".join(
                    f"{source} ({number} outputs)" for source, number in counts.items()
                )
                yield (
                    f"the scores of {name} are of {len(counts)} versions of its evaluator: "
                    f"{parts}; each has its own results, so score all outputs with one version by "
                    f"`muniment evaluate --run {run}`"
                )
        if len(self._policies) > 1:
            names = ", ".join(sorted(name or "none" for name in self._policies))
            yield f"the outputs were made under several policies ({names}), which can differ"
        for name, digests in self._digests.items():
            if len(digests) > 1:
                yield f"the outputs are of {len(digests)} models with the name {name}"

    def _check_sample(self, run: str, complete: int, *, allow_incomplete: bool) -> list[str]:
        """Return warnings on the number of items, or raise SampleError."""
        try:
            return check_sample(
                complete,
                len(self.left_out),
                allow_incomplete=allow_incomplete,
                example=_example(self.left_out),
            )
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
        if self._is_list(generation):
            kind = "list"
        else:
            kind = "text" if generation.outputs[0].text is not None else "image"
        return [parse_measure(text) for text in DEFAULTS[kind]]

    def _is_list(self, generation: muniment.Generation) -> bool:
        return any(output.kept is not None for output in generation.outputs)

    def _is_text(self, generation: muniment.Generation) -> bool:
        return all(output.text is not None for output in generation.outputs)

    def _add_measure(self, spec: MeasureSpec, item: ItemOutputs) -> None:
        if spec.kind == "score":
            self._add_scores(spec, item)
            return
        analysis = self._analysis(spec.name, "")
        values = self._distances(spec, item)
        size = self.layout.size
        analysis.add(item.item.id, ItemValues(None, values.squared[:size, :size]))
        if item.typos:
            analysis.add_typos(_typo_distance(self.layout.replicates, item, values.distances))

    def _add_scores(self, spec: MeasureSpec, item: ItemOutputs) -> None:
        by_output = [recorded_scores(spec, generation) for generation in item.generations]
        names = dict.fromkeys(name for scores in by_output for name in scores)
        for name in names:
            self._scored.add(spec.name)
            scores = [found[name] for found in by_output if name in found]
            sources = Counter(map(source_of, scores))
            self._sources.setdefault(name, Counter()).update(sources)
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
                analysis.add_typos(_typo_distance(self.layout.replicates, item, distances))

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

    def _distances(self, spec: MeasureSpec, item: ItemOutputs) -> ItemValues:
        if spec.kind == "wording":
            if not all(map(self._is_text, item.all_generations)):
                raise AnalysisError("the outputs are no texts, so they have no wording; " + _OTHERS)
            return self._wording(item)
        if spec.kind == "ranking":
            if not all(map(self._is_list, item.all_generations)):
                raise AnalysisError("the outputs are no lists, so they have no ranking; " + _OTHERS)
            return of_lists(self.session, item.all_generations)
        return of_embeddings(self.session, item.all_generations, spec.evaluator.parameters)

    def _wording(self, item: ItemOutputs) -> ItemValues:
        """Return the distances of texts, which a measure and the diversity share."""
        if self._last_wording is None or self._last_wording[0] is not item:
            self._last_wording = item, of_texts(item.all_generations)
        return self._last_wording[1]

    def _output_statistics(self, item: ItemOutputs) -> dict[str, float]:
        """Return statistics of the outputs themselves, each the mean over the cells of an item."""
        contents = [
            b"\0".join(output.data for output in generation.outputs)
            for generation in item.generations
        ]
        cells = item_statistics.cells(self.layout, contents)
        entropies = [entropy(cell) for cell in cells]
        found = {
            "agreement": item_statistics.agreement(self.layout, contents),
            "entropy": float(np.mean([value.corrected for value in entropies])),
            "underestimated": float(np.mean([value.underestimated for value in entropies])),
        }
        if self._is_list(item.generations[0]):
            lists = [item_ids(self.session, generation) for generation in item.generations]
            pairs = np.argwhere(self.layout.seed_pairs)
            for name, overlap in (("rbo", rank_biased_overlap), ("jaccard", jaccard)):
                found[name] = float(np.mean([overlap(lists[a], lists[b]) for a, b in pairs]))
        elif item.generations[0].outputs[0].text is not None:
            similarities = 1 - self._wording(item).squared / 2
            size = self.layout.replicates
            starts = range(0, self.layout.size, size)
            found["vendi"] = float(
                np.mean([vendi_score(similarities[s : s + size, s : s + size]) for s in starts])
            )
            word_lists = [words(generation.text) for generation in item.generations]
            for length in (1, 2):
                shares = [distinct_ngrams(word_lists[s : s + size], length) for s in starts]
                present = [share for share in shares if share is not None]
                if present:
                    found[f"distinct-{length}"] = float(np.mean(present))
        return found

    def _outputs_result(self) -> Outputs:
        names = dict.fromkeys(name for found in self._outputs for name in found)
        estimates = {}
        for name in names:
            column = np.array([found[name] for found in self._outputs if name in found])
            if len(column) > 1:
                is_share = name in ("agreement", "underestimated")
                estimates[name] = (proportion_estimate if is_share else mean_estimate)(column)
        return Outputs(
            agreement=estimates["agreement"],
            entropy=estimates["entropy"],
            underestimated=estimates["underestimated"].value >= 0.5,
            diversity={
                name: estimates[name]
                for name in ("vendi", "distinct-1", "distinct-2")
                if name in estimates
            },
            overlap={name: estimates[name] for name in ("rbo", "jaccard") if name in estimates},
        )

    def _check_measure(self, analysis: MeasureAnalysis, allow_incomplete: bool) -> list[str]:
        """Return warnings on items without a value of a measure. Raise SampleError for too many."""
        if not analysis.left_out:
            return []
        example = f"{analysis.name}: {', '.join(map(repr, analysis.left_out[:3]))}"
        return check_sample(
            len(analysis.ids),
            len(analysis.left_out),
            allow_incomplete=allow_incomplete,
            example=example,
        )

    def _worst(self) -> list[WorstItem]:
        if not self.design.controls:
            return []
        first = next(iter(self.measures.values()))
        shares = sorted(first.item_controllability().items(), key=lambda pair: pair[1])
        return [WorstItem(id, share, self.generations[id]) for id, share in shares[:WORST]]


def _typo_distance(
    replicates: int, item: ItemOutputs, distances: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> float:
    """Return the mean distance of misspelt prompts from the first paraphrase, at equal settings.

    The outputs of the misspelt prompts follow those of the layout, by setting.
    """
    total, count, start = 0.0, 0, len(item.generations)
    for setting, group in sorted(item.typos.items()):
        place = setting * replicates
        block = distances[start : start + len(group), place : place + replicates]
        total += float(block.sum())
        count += block.size
        start += len(group)
    return total / count


def _example(left_out: Mapping[str, Mapping[str, int]]) -> str:
    """Return the first incomplete items with their reasons, for a message."""
    parts = [
        f"item {id!r}, " + ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        for id, reasons in list(left_out.items())[:3]
    ]
    return "; ".join([*parts, *([f"{len(left_out) - 3} more"] if len(left_out) > 3 else [])])
