"""The crossed layout of a table's items, without those that lack an output."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from muniment_analysis.errors import RepeatedRowError
from muniment_analysis.intervals import Floats

from .design import Design, check_factors
from .table import Row

Cell = tuple[str | None, ...]
"""A level of each factor. A level is None if it is not known which one is missing."""

_NAMED = 3


class Gap(NamedTuple):
    """A cell of an incomplete item, with the number of its outputs and the expected one."""

    cell: Cell
    outputs: int
    expected: int

    def describe(self, factors: Sequence[str]) -> str:
        """Return the cell and its outputs, as in `temperature=0.7: 4 of 5 outputs`."""
        pairs = zip(factors, self.cell, strict=True)
        levels = ", ".join(f"{name}={'?' if level is None else level}" for name, level in pairs)
        return f"{levels}: {self.outputs} of {self.expected} outputs"


@dataclass(frozen=True)
class Layout:
    """The complete items of a table.

    Attributes:
        design: The design of every item.
        items: The ids of the complete items.
        values: Their values [items, levels of each factor …, seeds]. Integers are those of an item
            minus its first one.
        left_out: The incomplete items with their gaps.
    """

    design: Design
    items: tuple[str, ...]
    values: Floats
    left_out: dict[str, list[Gap]]

    @property
    def lost(self) -> dict[tuple[str | None, ...], int]:
        """The number of missing outputs for each combination of control levels."""
        lost: Counter[tuple[str | None, ...]] = Counter()
        for gap in itertools.chain.from_iterable(self.left_out.values()):
            setting = tuple(gap.cell[axis] for axis in self.design.control_axes)
            lost[setting] += max(0, gap.expected - gap.outputs)
        return {setting: number for setting, number in lost.items() if number}

    @property
    def example(self) -> str:
        """The first gaps of the first incomplete items, for a message."""
        gaps = [
            f"item {item}, {gap.describe(self.design.factors)}"
            for item, gaps in self.left_out.items()
            for gap in gaps[:1]
        ]
        more = [f"{len(gaps) - _NAMED} more"] if len(gaps) > _NAMED else []
        return "; ".join([*gaps[:_NAMED], *more])

    def left_out_json(self) -> list[dict[str, Any]]:
        """Return the incomplete items with their gaps as JSON."""
        factors = self.design.factors
        return [
            {
                "item": item,
                "gaps": [
                    {
                        "cell": dict(zip(factors, gap.cell, strict=True)),
                        "outputs": gap.outputs,
                        "expected": gap.expected,
                    }
                    for gap in gaps
                ],
            }
            for item, gaps in self.left_out.items()
        ]


_Cells = Mapping[Cell, Mapping[str, Row]]


def layout_of(rows: Iterable[Row], factors: tuple[str, ...], controls: tuple[str, ...]) -> Layout:
    """Return the layout of the items of a table.

    Levels and their number, and the number of outputs in a cell, are those of most items. Factors
    that are not control parameters may have other levels in each item, such as its wordings. Raises
    RepeatedRowError for two rows with the same item, levels and seed, and DesignError.
    """
    check_factors(factors)
    items = _items(rows)
    seeds = _most_frequent(len(cell) for cells in items.values() for cell in cells.values())
    own = {
        item: [_ordered(levels) for levels in zip(*cells, strict=True)]
        for item, cells in items.items()
    }
    shared = [
        _shared_levels([levels[axis] for levels in own.values()], factor in controls)
        for axis, factor in enumerate(factors)
    ]
    names = [
        levels or tuple(map(str, range(1, _most_frequent(len(o[axis]) for o in own.values()) + 1)))
        for axis, levels in enumerate(shared)
    ]
    design = Design(factors, tuple(names), seeds, controls)
    complete: dict[str, list[float]] = {}
    left_out: dict[str, list[Gap]] = {}
    for item, cells in items.items():
        levels = [
            common or _padded(mine, count)
            for common, mine, count in zip(shared, own[item], design.shape, strict=True)
        ]
        expected = list(itertools.product(*levels))
        if gaps := _gaps(cells, expected, seeds):
            left_out[item] = gaps
        else:
            complete[item] = _values(cells, expected)
    values = np.array(list(complete.values()), dtype=np.float64)
    return Layout(
        design,
        tuple(complete),
        values.reshape(len(complete), *design.shape, seeds),
        left_out,
    )


def _items(rows: Iterable[Row]) -> dict[str, dict[Cell, dict[str, Row]]]:
    """Return the rows of each item by cell and seed, in the order of the table."""
    items: dict[str, dict[Cell, dict[str, Row]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        cell = items[row.item][row.levels]
        if row.seed in cell:
            raise RepeatedRowError(cell[row.seed].line, row.line)
        cell[row.seed] = row
    return items


def _shared_levels(own: Sequence[tuple[str, ...]], is_control: bool) -> tuple[str, ...] | None:
    """Return the levels of a factor, or None if each item has its own."""
    frequent, items = Counter(map(frozenset, own)).most_common(1)[0]
    union = _ordered(itertools.chain.from_iterable(own))
    if 2 * items > len(own):
        return tuple(level for level in union if level in frequent)
    if is_control or len(union) == max(map(len, own)):
        return union
    return None


def _ordered(levels: Iterable[str]) -> tuple[str, ...]:
    """Return distinct levels in the order in which they first occur."""
    return tuple(dict.fromkeys(levels))


def _padded(levels: tuple[str, ...], count: int) -> tuple[str | None, ...]:
    """Return the first levels of an item, with None for each one that it lacks."""
    return (*levels[:count], *[None] * (count - len(levels)))


def _gaps(cells: _Cells, expected: Sequence[Cell], seeds: int) -> list[Gap]:
    """Return the cells with too few or too many outputs."""
    gaps = [
        Gap(cell, len(cells.get(cell, ())), seeds)
        for cell in expected
        if len(cells.get(cell, ())) != seeds
    ]
    known = set(expected)
    return gaps + [Gap(cell, len(cells[cell]), 0) for cell in cells if cell not in known]


def _values(cells: _Cells, expected: Sequence[Cell]) -> list[float]:
    """Return the values of a complete item in the order of its cells."""
    values = [row.value for cell in expected for row in cells[cell].values()]
    if all(isinstance(value, int) for value in values):
        # A difference of large integers would be lost among the digits of a float.
        return [float(value - values[0]) for value in values]
    return [float(value) for value in values]


def _most_frequent(numbers: Iterable[int]) -> int:
    """Return the most frequent number, the largest of several."""
    counts = Counter(numbers)
    return max(counts, key=lambda number: (counts[number], number))
