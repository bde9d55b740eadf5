"""Read the generations of an experiment, one item at a time."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import muniment
from muniment_analysis.errors import AnalysisError
from muniment_analysis.recorded_scores import problem_of

from .experiment_design import ExperimentDesign, ItemDesign, parse_design
from .layout import Layout


@dataclass(frozen=True)
class ItemOutputs:
    """The generations of an item.

    Attributes:
        item: The item of the design.
        generations: The completed generations in the order of the layout. Empty if one is missing.
        typos: Those of the misspelt prompts by setting, as far as they are completed.
        problems: The number of missing generations by setting and reason, such as `blocked`.
    """

    item: ItemDesign
    generations: Sequence[muniment.Generation]
    typos: Mapping[int, Sequence[muniment.Generation]]
    problems: Mapping[tuple[int, str], int]

    @property
    def all_generations(self) -> list[muniment.Generation]:
        """The generations of the layout, then those of the misspelt prompts by setting."""
        typos = (group for _, group in sorted(self.typos.items()))
        return [*self.generations, *itertools.chain.from_iterable(typos)]

    @property
    def is_complete(self) -> bool:
        """Whether every generation of the layout is completed and can be read."""
        return bool(self.generations)


def recorded_design(session: muniment.Session, run: str) -> ExperimentDesign:
    """Return the design of a recorded experiment. Raise AnalysisError if it cannot be read."""
    event = session.experiment(run)
    if event is None:
        raise AnalysisError(
            f"run {run} is no experiment, so its outputs have no layout; run a design by "
            "`muniment analyze controllability DESIGN.yaml`"
        )
    text = event.text("design")
    if text is None:
        raise AnalysisError(
            f"the design of run {run} was erased or altered, so its outputs have no layout; "
            "analyse another run"
        )
    return parse_design(text, f"of run {run}")


def layout_of(design: ExperimentDesign) -> Layout:
    """Return the layout of each item of a design."""
    return Layout(design.paraphrases, len(design.combinations), design.replicates)


def read_items(
    session: muniment.Session, run: str, design: ExperimentDesign
) -> Iterator[ItemOutputs]:
    """Yield the generations of each item of a recorded experiment, in the order of the design."""
    next_item = 0
    for number, group in itertools.groupby(session.cells(run), key=_item_number):
        for missing in range(next_item, number):
            yield _item_outputs(design, design.items[missing], ())
        if number < len(design.items):
            yield _item_outputs(design, design.items[number], group)
        next_item = number + 1
    for missing in range(next_item, len(design.items)):
        yield _item_outputs(design, design.items[missing], ())


def _item_number(generation: muniment.Generation) -> int:
    return 0 if generation.cell is None else generation.cell.item


def _item_outputs(
    design: ExperimentDesign, item: ItemDesign, generations: Iterable[muniment.Generation]
) -> ItemOutputs:
    cells = {
        generation.cell[1:]: generation for generation in generations if generation.cell is not None
    }
    layout = layout_of(design)
    grid, problems = [], Counter[tuple[int, str]]()
    for paraphrase in range(layout.paraphrases):
        for setting in range(layout.settings):
            for replicate in range(layout.replicates):
                generation = cells.get((paraphrase, setting, replicate))
                if problem := _problem(generation):
                    problems[setting, problem] += 1
                elif generation is not None:
                    grid.append(generation)
    typos: dict[int, list[muniment.Generation]] = {}
    for (paraphrase, setting, _), generation in sorted(cells.items()):
        if paraphrase >= layout.paraphrases and _problem(generation) is None:
            typos.setdefault(setting, []).append(generation)
    return ItemOutputs(item, () if problems else grid, typos, problems)


def _problem(generation: muniment.Generation | None) -> str | None:
    """Return why a generation has no value, or None."""
    return "missing" if generation is None else problem_of(generation)
