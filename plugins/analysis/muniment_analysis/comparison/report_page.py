"""A comparison as a self-contained HTML page, and as rows of a CSV file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from muniment_analysis.pages import plots
from muniment_analysis.pages.csv_table import csv_text
from muniment_analysis.pages.html import render, trusted

from .comparing import Comparison
from .differences import sentence
from .gate import GateResult

_HEADERS = (
    *("score", "unit", "a", "b", "difference", "low", "high", "n", "finding"),
    *("left_out", "missing_a", "missing_b"),
)


def html(
    comparison: Comparison,
    runs: Sequence[str],
    gate: Iterable[GateResult],
    effect: float | None = None,
) -> str:
    """Return the page."""
    differences = comparison.differences.values()
    return render(
        "comparison.html",
        title=f"Comparison of {runs[0]} and {runs[1]}",
        runs=runs,
        comparison=comparison,
        warnings=list(comparison.all_warnings()),
        gate=list(gate),
        effect=effect,
        sentences=[sentence(one, effect) for one in differences],
        plots=[
            trusted(plots.interval(one.difference, x_label=f"{one.score}, B − A", effect=effect))
            for one in differences
        ],
    )


def csv(comparison: Comparison, effect: float | None = None) -> str:
    """Return each difference as a row of CSV."""
    rows = [
        (
            *(one.score, one.measure.unit, one.first, one.second),
            *(*one.difference, one.finding(effect)),
            *(len(one.left_out), *one.missing),
        )
        for one in comparison.differences.values()
    ]
    return csv_text(_HEADERS, rows)
