"""The command `muniment analyze labels`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muniment.command import emit, headers_option, json_option, write_data, write_json
from muniment_analysis.errors import TableError

if TYPE_CHECKING:
    from muniment_analysis.intervals import Estimate
    from muniment_analysis.labels import LabelReport

_SCORES = ("precision", "recall", "f1")
_COLUMNS = tuple((name, name) for name in ("label", "score", "value", "low", "high", "n"))


@click.command
@click.argument("table", metavar="FILE.csv", type=click.Path(path_type=Path))
@click.option("--item", metavar="COL", required=True, help="Column of the item.")
@click.option("--expected", metavar="COL", required=True, help="Column of the correct label.")
@click.option("--predicted", metavar="COL", required=True, help="Column of the label to measure.")
@headers_option
@json_option
def labels(table: Path, item: str, expected: str, predicted: str, as_json: bool) -> None:
    """Measure labels against the correct ones, by accuracy, precision, recall and F1.

    FILE.csv has a header and one row for each item. Macro scores are means over the labels.
    Intervals are of 95 %.
    """
    from muniment_analysis.labels import label_report
    from muniment_analysis.tables import read_records

    lines: dict[str, int] = {}
    pairs = []
    for line, (name, *pair) in read_records(table, (item, expected, predicted)):
        if not all((name, *pair)):
            raise TableError(f"{table}, line {line}: a field is empty; fill it, or remove the row")
        first = lines.setdefault(name, line)
        if first != line:
            raise TableError(
                f"{table}, line {line}: item {name!r} stands in line {first}, too, and outputs of "
                "one item are not independent; use one of them"
            )
        pairs.append(pair)
    report = label_report(*zip(*pairs, strict=True))
    if as_json:
        write_json(_to_json(report))
        return
    emit(_overall(report), _COLUMNS, as_json=False)
    write_data("")
    emit(_by_label(report), _COLUMNS, as_json=False)


def _overall(report: LabelReport) -> Iterator[dict[str, Any]]:
    yield _row("", "accuracy", report.accuracy)
    for name, estimate in report.macro.items():
        yield _row("", f"macro {name}", estimate)


def _by_label(report: LabelReport) -> Iterator[dict[str, Any]]:
    for label, scores in report.labels.items():
        for name in _SCORES:
            yield _row(label, name, getattr(scores, name))


def _row(label: str, score: str, estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        values: dict[str, Any] = dict.fromkeys(("value", "low", "high", "n"))
    else:
        values = estimate.to_json()
        values |= {name: f"{values[name]:.3f}" for name in ("value", "low", "high")}
    return {"label": label, "score": score, **values}


def _to_json(report: LabelReport) -> dict[str, Any]:
    return {
        "accuracy": report.accuracy.to_json(),
        "macro": {name: estimate.to_json() for name, estimate in report.macro.items()},
        "labels": {
            label: {
                field.name: _plain(getattr(scores, field.name))
                for field in dataclasses.fields(scores)
            }
            for label, scores in report.labels.items()
        },
        "confusion": {"labels": list(report.labels), "counts": report.confusion},
    }


def _plain(value: Estimate | int | None) -> object:
    return value if value is None or isinstance(value, int) else value.to_json()
