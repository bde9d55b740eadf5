"""The mean scores of a run in each cell of its items."""

from __future__ import annotations

import itertools
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import muniment
from muniment_analysis.recorded_scores import full_name, problem_of, source_of

from .pairing import Cell

Means = dict[tuple[str, str], float]
"""The mean of a score by paraphrase and setting, for the cells of an item that have one."""


class _Column:
    """Sums and numbers of the values of a score by the number of their cell.

    The numbers of 100,000 cells need 1.6 MB as arrays, and 10 MB as lists.
    """

    def __init__(self) -> None:
        self._sums = array("d")
        self._counts = array("Q")

    def add(self, cell: int, value: float) -> None:
        lacking = cell + 1 - len(self._sums)
        if lacking > 0:
            self._sums.extend(itertools.repeat(0.0, lacking))
            self._counts.extend(itertools.repeat(0, lacking))
        self._sums[cell] += value
        self._counts[cell] += 1

    def mean(self, cell: int) -> float | None:
        if cell >= len(self._counts) or not self._counts[cell]:
            return None
        return self._sums[cell] / self._counts[cell]


@dataclass
class ScoreTable:
    """The scores of a run or table by cell.

    Attributes:
        outputs: The number of outputs, with or without scores.
        problems: The number of outputs that have no scores, by the reason.
        measures: The measures of the scores, by their full names.
        sources: The number of values of each version of an evaluator, with the digests of its
            models, by full name.
    """

    outputs: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    measures: dict[str, muniment.Measure] = field(default_factory=dict)
    sources: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _cells: dict[Cell, int] = field(default_factory=dict)
    _columns: dict[str, _Column] = field(default_factory=lambda: defaultdict(_Column))
    _values: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[Cell]:
        return iter(self._cells)

    def __contains__(self, cell: Cell | None) -> bool:
        return cell in self._cells

    def add_cell(self, cell: Cell) -> None:
        """Add a cell without a value."""
        self._cells.setdefault(cell, len(self._cells))

    def add_value(self, cell: Cell, name: str, value: float) -> None:
        """Add the value of a score of one output."""
        self.add_cell(cell)
        self._columns[name].add(self._cells[cell], value)
        self._values[name] += 1

    def missing(self, name: str) -> int:
        """Return the number of outputs without a value of a score."""
        return self.outputs - self._values[name]

    @property
    def names(self) -> list[str]:
        """The full names of all scores that have a value."""
        return list(self._columns)

    def means(self, name: str, cells: Iterable[Cell]) -> Means:
        """Return the means of a score in some cells of an item."""
        column = self._columns.get(name)
        if column is None:
            return {}
        means = {cell[1:]: column.mean(self._cells[cell]) for cell in cells}
        return {place: mean for place, mean in means.items() if mean is not None}

    def describe_problems(self) -> str:
        """Return the outputs without scores, such as `20 outputs: 18 failed, 2 blocked`."""
        reasons = ", ".join(f"{number} {reason}" for reason, number in self.problems.items())
        return f"{self.outputs} outputs{': ' if reasons else ''}{reasons}"


def read_scores(
    generations: Iterable[muniment.Generation],
    place: Callable[[muniment.Generation], Cell | None],
) -> ScoreTable:
    """Return the scores of generations, which are read one by one."""
    table = ScoreTable()
    for generation in generations:
        cell = place(generation)
        # Generations come newest first, so a later attempt at an interrupted line has a cell.
        if cell in table and generation.status == "interrupted":
            continue
        table.outputs += 1
        if cell is None:
            table.problems["without a readable place"] += 1
            continue
        if problem := problem_of(generation):
            table.problems[problem] += 1
            table.add_cell(cell)
            continue
        table.add_cell(cell)
        for score in generation.newest_scores:
            if score.value is not None:
                name = full_name(score)
                table.add_value(cell, name, score.value)
                table.measures[name] = muniment.Measure(
                    score.name, score.unit, score.higher_is_better
                )
                table.sources[name][source_of(score)] += 1
    return table
