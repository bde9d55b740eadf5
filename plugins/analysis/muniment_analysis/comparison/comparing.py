"""Compare the recorded scores of two runs, or the values of two tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import muniment
from muniment_analysis.errors import SampleError
from muniment_analysis.recorded_scores import find_score
from muniment_analysis.variance.table import Columns, read_rows

from .differences import ScoreDifference, differences_of
from .pairing import Cell, Pairing, item_names, outputs_of, pairings
from .scores import ScoreTable, read_scores


@dataclass(frozen=True)
class Comparison:
    """The differences of two runs.

    Attributes:
        paired_by: `item`, `prompt` or `line`.
        differences: The differences by the full name of the score.
        outputs: The numbers of outputs of both runs.
        warnings: Sentences about scores that cannot be compared.
    """

    paired_by: str
    differences: dict[str, ScoreDifference]
    outputs: tuple[int, int]
    warnings: list[str]

    def all_warnings(self) -> Iterator[str]:
        """Yield the warnings, those of the differences, and the outputs without a value.

        A warning of several scores is yielded once, after their names.
        """
        yield from self.warnings
        scores: dict[str, list[str]] = {}
        for score, one in self.differences.items():
            for warning in one.all_warnings():
                scores.setdefault(warning, []).append(score)
            for run, number in zip("AB", one.missing, strict=True):
                if number:
                    missing = f"outputs of {run} without a value: {number:,}"
                    scores.setdefault(missing, []).append(score)
        for warning, names in scores.items():
            yield f"{', '.join(names)}: {warning}"

    def to_json(self, effect: float | None = None) -> dict[str, Any]:
        """Return the comparison as JSON."""
        return {
            "paired_by": self.paired_by,
            "outputs": dict(zip("ab", self.outputs, strict=True)),
            "scores": [one.to_json(effect) for one in self.differences.values()],
            "warnings": self.warnings,
        }


def compare_runs(
    session: muniment.Session,
    runs: Sequence[str],
    scores: Sequence[str] = (),
    *,
    allow_incomplete: bool = False,
) -> Comparison:
    """Return the differences of scores between two runs, by default of all that both have.

    Raises UnknownNameError for an unknown run or score, and SampleError if the runs have too few
    items in common, or no scores.
    """
    first, second = (session.store.find_run(run) for run in runs)
    if first == second:
        raise muniment.UsageError(f"both runs are {first}; name two runs")
    for pairing in pairings(session, (first, second)):
        tables = [
            read_scores(outputs_of(session, run), place)
            for run, place in zip((first, second), pairing.places, strict=True)
        ]
        if {cell.item for cell in tables[0]} & {cell.item for cell in tables[1]}:
            break
    else:
        raise SampleError(
            f"the runs {runs[0]} and {runs[1]} have no item, prompt or line in common; compare "
            "runs of the same items",
            complete=0,
            needed=1,
        )
    compared = _compare(tables, runs, pairing.by, scores, allow_incomplete)
    return _with_names(session, (first, second), pairing, compared)


def compare_tables(
    paths: Sequence[Path],
    item: str,
    value: str,
    factors: tuple[str, ...] = (),
    *,
    allow_incomplete: bool = False,
) -> Comparison:
    """Return the difference of a column between two CSV files with a column of items.

    Rows with equal `factors` are compared within an item. Other rows of an item are averaged.
    Raises UsageError if both are the same file, TableError, and SampleError.
    """
    with contextlib.suppress(OSError):  # a missing file is refused where it is read
        if paths[0].samefile(paths[1]):
            raise muniment.UsageError(f"both tables are {paths[0]}; name two files")
    columns = Columns(item, factors, "", value)
    tables = []
    for path in paths:
        table = ScoreTable()
        for row in read_rows(path, columns):
            table.outputs += 1
            table.add_value(Cell(row.item, "", repr(row.levels)), value, row.value)
        tables.append(table)
    if not {cell.item for cell in tables[0]} & {cell.item for cell in tables[1]}:
        raise SampleError(
            f"{paths[0]} and {paths[1]} have no {item} in common; compare tables of the same items",
            complete=0,
            needed=1,
        )
    return _compare(tables, [str(path) for path in paths], "item", (), allow_incomplete)


def _compare(
    tables: Sequence[ScoreTable],
    runs: Sequence[str],
    paired_by: str,
    scores: Sequence[str],
    allow_incomplete: bool,
) -> Comparison:
    first, second = tables
    for table, run in zip(tables, runs, strict=True):
        _check_score(table, run)
    names = list(dict.fromkeys([*first.names, *second.names]))
    chosen = list(dict.fromkeys(find_score(score, names) for score in scores))
    for name in chosen:
        for table, run in zip(tables, runs, strict=True):
            _check_score(table, run, name)
    common = [name for name in first.names if name in second.names]
    warnings = [f"{name} is in one run only" for name in names if name not in common]
    if not common:
        raise SampleError(
            f"{runs[0]} and {runs[1]} have no score in common; evaluate both runs alike",
            complete=0,
            needed=1,
        )
    differences, errors = differences_of(
        first, second, chosen or common, allow_incomplete=allow_incomplete
    )
    if errors and (chosen or not differences):
        raise errors[0]
    return Comparison(
        paired_by,
        {one.score: one for one in differences},
        (first.outputs, second.outputs),
        [] if chosen else [*warnings, *map(str, errors)],
    )


def _check_score(table: ScoreTable, run: str, name: str = "") -> None:
    """Raise SampleError if a run has no value of a score, or without a name, of any score."""
    if name not in table.names if name else not table.names:
        raise SampleError(
            f"{run} has no {f'score {name}' if name else 'scores'} "
            f"({table.describe_problems()}); compare two runs with scores of the same evaluators",
            complete=0,
            needed=1,
        )


def _with_names(
    session: muniment.Session, runs: Iterable[str], pairing: Pairing, compared: Comparison
) -> Comparison:
    """Return a comparison in which the items without a pair have names for people."""
    items = {item for one in compared.differences.values() for item in one.left_out}
    names = item_names(pairing, (outputs_of(session, run) for run in runs), items)
    differences = {
        score: replace(one, left_out={names[item]: reason for item, reason in one.left_out.items()})
        for score, one in compared.differences.items()
    }
    return replace(compared, differences=differences)
