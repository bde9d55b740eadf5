"""The command `muniment analyze compare`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import muniment
from muniment.command import (
    emit,
    headers_option,
    json_option,
    overwrite_option,
    pass_session,
    progress,
    write_json,
    write_note,
)

if TYPE_CHECKING:
    from muniment_analysis.comparison.comparing import Comparison

_COLUMNS = (
    ("score", "score"),
    ("A", "a"),
    ("B", "b"),
    ("B − A", "value"),
    ("low", "low"),
    ("high", "high"),
    ("items", "items"),
    ("finding", "finding"),
)


@click.command
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--score",
    "scores",
    metavar="NAME",
    multiple=True,
    help="Score to compare. By default, those of --fail-on, or all that both runs have.",
)
@click.option(
    "--fail-on",
    "conditions",
    metavar="CONDITION",
    multiple=True,
    help="Condition on B − A that fails the gate, such as 'score<-0.02' or 'score:low<-0.02'.",
)
@click.option("--effect", metavar="NUMBER", type=float, help="Smallest difference of interest.")
@click.option("--item", metavar="COL", help="Column of the item, for two CSV files.")
@click.option("--value", metavar="COL", help="Column of the compared number, for two CSV files.")
@click.option(
    "--factor",
    "factors",
    metavar="COL",
    multiple=True,
    help="Column whose equal values are compared within an item, for two CSV files.",
)
@click.option(
    "--allow-incomplete",
    is_flag=True,
    help="Leave out more than 10 % of the items, and pass a gate with missing values.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    metavar="FILE",
    multiple=True,
    help="File of the comparison, as .html with plots, .csv or .json. Can be repeated.",
)
@overwrite_option
@headers_option
@json_option
@pass_session
def compare(
    session: muniment.Session,
    first: str,
    second: str,
    scores: tuple[str, ...],
    conditions: tuple[str, ...],
    effect: float | None,
    item: str | None,
    value: str | None,
    factors: tuple[str, ...],
    allow_incomplete: bool,
    outputs: tuple[str, ...],
    overwrite: bool,
    as_json: bool,
) -> int:
    """Compare the recorded scores of two runs, or a column of two CSV files.

    Outputs are paired by their item: that of an experiment, else the prompt with its inputs, else
    the line of a batch. Outputs of an item are averaged first. Differences are B − A, with
    intervals of 95 % from resampled items.

    With --fail-on, exits with 1 if a condition holds, or if a value is missing.
    """
    from muniment_analysis.comparison.comparing import compare_runs, compare_tables
    from muniment_analysis.comparison.gate import check_gate, parse_gate
    from muniment_analysis.pages.files import json_text, report_files, write_report_files

    inputs = [] if value is None else [first, second]
    files = report_files(outputs, (".html", ".csv", ".json"), overwrite=overwrite, inputs=inputs)
    gate = [parse_gate(text) for text in conditions]
    if effect is not None and not 0 < effect < float("inf"):
        raise muniment.UsageError(f"--effect is {effect:g}; use a number above 0")
    with progress("comparing"):
        if item is None and value is None and not factors:
            _check_runs(first, second)
            wanted = (*scores, *(condition.score for condition in gate))
            compared = compare_runs(
                session, (first, second), wanted, allow_incomplete=allow_incomplete
            )
        elif item is None or value is None or scores:
            raise muniment.UsageError("two CSV files need --item and --value, and no --score")
        else:
            compared = compare_tables(
                (Path(first), Path(second)), item, value, factors, allow_incomplete=allow_incomplete
            )
    results = check_gate(gate, compared.differences, allow_incomplete=allow_incomplete)
    for warning in compared.all_warnings():
        write_note(f"Warning: {warning}")
    record = {
        **compared.to_json(effect),
        "gate": [result.to_json() for result in results],
    }
    if as_json:
        write_json(record)
    else:
        _print(compared, effect)
    if files:
        from muniment_analysis.comparison import report_page

        write_report_files(
            files,
            {
                ".html": lambda: report_page.html(compared, (first, second), results, effect),
                ".csv": lambda: report_page.csv(compared, effect),
                ".json": lambda: json_text(record),
            },
        )
    for result in results:
        write_note(str(result))
    return int(any(result.failed for result in results))


def _check_runs(*runs: str) -> None:
    """Raise UsageError for a file in place of a run, before the store is opened."""
    for run in runs:
        path = Path(run)
        # The id of a run has neither a suffix nor a folder.
        if path.suffix or path.name != run:
            raise muniment.UsageError(
                f"{run} is a file and not a run; add --item and --value to compare two CSV files"
            )


def _print(compared: Comparison, effect: float | None) -> None:
    from muniment_analysis.comparison.differences import sentence

    emit(_rows(compared, effect), _COLUMNS, as_json=False)
    for one in compared.differences.values():
        write_note(sentence(one, effect))


def _rows(compared: Comparison, effect: float | None) -> Iterator[dict[str, Any]]:
    for score, one in compared.differences.items():
        estimate = one.difference
        yield {
            "score": score,
            "a": f"{one.first:.4g}",
            "b": f"{one.second:.4g}",
            **{name: f"{getattr(estimate, name):.4g}" for name in ("value", "low", "high")},
            "items": estimate.n,
            "finding": one.finding(effect),
        }
