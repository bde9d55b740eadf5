"""Score recorded generations, group by group.

A group has the generations of one item and setting of an experiment, or else those of a run with
equal prompts and parameters. If no evaluator reads groups, each generation is one. A few groups are
in memory at a time.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from muniment.errors import MunimentError
from muniment.generation.evaluation import Evaluators
from muniment.generation.pipeline import without_blocked_content
from muniment.generation.references import DesignItems, References
from muniment.representation import showing
from muniment.store import Query, Store
from muniment.store.recording.scores import Evaluation
from muniment.types.generations import Generation
from muniment.types.plugins import PluginRef
from muniment.types.scores import Score
from muniment.validation import check_texts

_BATCH = 32  # generations whose scores are recorded in one transaction
_DELAY = 1.0  # seconds after which fewer are recorded


@dataclass(frozen=True, slots=True)
class ScoredGroup:
    """The new scores of a group of recorded generations.

    Attributes:
        generations: The generations that were scored.
        single: The scores of evaluators that read one generation, by its id.
        compared: The scores of evaluators of groups, by the id of the generation.
        references: The references of the generations, by the id of the generation.
        omitted: The reason why another generation of the group was not scored, by its id. It is
            its status, `erased`, `altered`, or a sentence if its list cannot be read.
        plugins: The core, the plugins of the evaluators, and of the generators that they used.

    Example:
        >>> (group,) = session.evaluate([done.id], ["words"])
        >>> isinstance(group, muniment.ScoredGroup), group.scores(done.id)[0].value
        (True, 5.0)
    """

    generations: tuple[Generation, ...]
    single: Mapping[str, tuple[Score, ...]]
    compared: Mapping[str, tuple[Score, ...]]
    references: Mapping[str, tuple[str, ...]]
    omitted: Mapping[str, str]
    plugins: tuple[PluginRef, ...] = ()

    __repr__ = showing("generations", "omitted", "single", "compared")

    def scores(self, id: str) -> tuple[Score, ...]:
        """Return the new scores of the generation with a complete id."""
        return self.single.get(id, ()) + self.compared.get(id, ())


class RecordedScorer:
    """Scores recorded generations, and records the scores of each group together."""

    def __init__(
        self,
        store: Store,
        actor: str,
        evaluators: Evaluators,
        core: PluginRef,
        returned: Callable[[Generation], Generation],
        references: str | Path | None,
        report: Callable[[str], None] | None,
    ) -> None:
        """Read the file of references, if there is one. Raises UsageError.

        `returned` returns a generation with the outputs that its caller got. `report` receives a
        sentence about references that belong to no generation.
        """
        self._store = store
        self._actor = actor
        self._core = core
        self._evaluators = evaluators
        self._returned = returned
        self._references = None if references is None else References.read(Path(references))
        self._report = report or (lambda sentence: None)
        self._items: tuple[str, DesignItems] = ("", DesignItems(None))  # of the last run

    def scored(self, generations: Sequence[str] | Query) -> Generator[ScoredGroup, None, None]:
        """Yield the scores of each group after they were recorded.

        The groups are in the order of their first generations. Those that were yielded stay on
        record if the iterator is closed.

        `generations` are ids, which can be abbreviated, or a query. Raises UsageError for an id at
        once.
        """
        if isinstance(generations, Query):
            chosen = self._store.generations(generations)
        else:
            check_texts("generations", generations)
            ids = dict.fromkeys(self._store.find(reference) for reference in generations)
            chosen = (self._store.generation(id) for id in ids)
        return self._groups(chosen)

    def _groups(self, generations: Iterator[Generation]) -> Generator[ScoredGroup, None, None]:
        """Yield the groups, several of which are recorded in one transaction if they are small."""
        pending: list[ScoredGroup] = []
        begin = time.monotonic()
        try:
            for group in self._scored(generations):
                pending.append(group)
                size = sum(len(one.generations) for one in pending)
                if size >= _BATCH or time.monotonic() - begin >= _DELAY:
                    self._record(pending)
                    complete, pending = pending, []
                    yield from complete
                    begin = time.monotonic()
        finally:
            self._record(pending)
        yield from pending
        references = self._references
        if references is not None and references.unused:
            self._report(
                f"the references in {references.unused} of {len(references)} lines belong to no "
                "generation that was scored"
            )

    def _record(self, groups: Sequence[ScoredGroup]) -> None:
        evaluations = [evaluation for group in groups for evaluation in _evaluations(group)]
        self._store.scores.add(self._actor, evaluations)

    def _scored(self, generations: Iterator[Generation]) -> Iterator[ScoredGroup]:
        if self._evaluators.read_groups:
            for ids in _grouped(generations):
                yield self._score(self._store.with_ids(ids))
        else:
            remaining = (generation.id for generation in generations)
            for ids in iter(lambda: list(itertools.islice(remaining, _BATCH)), []):
                for generation in self._store.with_ids(ids):
                    yield self._score([generation])

    def _score(self, generations: Sequence[Generation]) -> ScoredGroup:
        measured: list[Generation] = []
        omitted: dict[str, str] = {}
        for generation in generations:
            reason = _omission(generation)
            if reason is None:
                try:
                    measured.append(without_blocked_content(self._returned(generation)))
                except MunimentError as error:
                    reason = str(error)
            if reason is not None:
                omitted[generation.id] = reason
        found = {generation.id: self._references_of(generation) for generation in measured}
        references = {id: texts for id, texts in found.items() if texts}
        single = {item.id: self._evaluators.scores(item) for item in measured}
        compared = self._evaluators.group_scores(measured, references)
        plugins = tuple(dict.fromkeys([self._core, *self._evaluators.plugins]))
        return ScoredGroup(tuple(measured), single, compared, references, omitted, plugins)

    def _references_of(self, generation: Generation) -> tuple[str, ...]:
        """Return the references in the file, or without a file those of the design."""
        items = self._items_of(generation)
        if self._references is not None:
            return self._references.of(generation, items)
        return () if generation.cell is None else items.references(generation.cell.item)

    def _items_of(self, generation: Generation) -> DesignItems:
        if generation.cell is None:
            return DesignItems(None)
        if self._items[0] != generation.run_id:
            experiment = self._store.experiments.of(generation.run_id)
            design = None if experiment is None else experiment.text("design")
            self._items = generation.run_id, DesignItems(design)
        return self._items[1]


def _evaluations(group: ScoredGroup) -> Iterator[Evaluation]:
    """Yield the scores of each generation as they are recorded.

    Siblings and references belong only to the scores of evaluators of groups.
    """
    ids = [generation.id for generation in group.generations]
    for id in ids:
        if group.single[id]:
            yield Evaluation(id, group.single[id], group.plugins)
        if group.compared[id]:
            texts = group.references.get(id)
            yield Evaluation(
                id,
                group.compared[id],
                group.plugins,
                siblings=[other for other in ids if other != id],
                references=None if texts is None else json.dumps(texts, ensure_ascii=False),
            )


def _omission(generation: Generation) -> str | None:
    """Return the reason why a generation cannot be scored, or None."""
    if generation.erased:
        return "erased"
    if generation.altered:
        return "altered"
    return None if generation.status == "completed" else generation.status


def _grouped(generations: Iterable[Generation]) -> list[list[str]]:
    """Return the ids of each group. In memory is only a digest of each generation's request."""
    groups: dict[bytes, list[str]] = {}
    for generation in generations:
        groups.setdefault(_group_key(generation), []).append(generation.id)
    return list(groups.values())


def _group_key(generation: Generation) -> bytes:
    """Return a digest of everything that the generations of a group have in common."""
    cell = generation.cell
    shared: list[object] = [generation.run_id]
    if cell is not None:
        shared += [cell.item, cell.setting]
    else:
        shared += [
            generation.generator,
            generation.model.digest if generation.model else None,
            generation.prompt,
            generation.system,
            dict(generation.parameters),
            [[item.name, item.sha256] for item in generation.inputs],
        ]
    return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).digest()[:16]
