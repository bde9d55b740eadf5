"""The command `muniment analyze import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import muniment
from muniment.command import overwrite_option, pluralize, progress, write_note

if TYPE_CHECKING:
    from muniment_analysis.logs.reading import Row, Table

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_HEADERS = ("item", "replicate", "model", "task", "measure", "value")


@click.command("import")
@click.argument("logs", metavar="LOG…", nargs=-1, required=True, type=_FILE)
@click.option(
    "--measure",
    "measures",
    metavar="NAME",
    multiple=True,
    help="Measure to write, such as exact_match. Can be repeated. By default, all.",
)
@click.option(
    "-o", "--output", metavar="FILE", required=True, help="New file of the table, as .csv."
)
@overwrite_option
def import_logs(
    logs: tuple[Path, ...], measures: tuple[str, ...], output: str, overwrite: bool
) -> None:
    """Write the measured outputs of Inspect and lm-evaluation-harness as a table.

    LOG is a file .eval or .json of Inspect, or samples_*.jsonl of lm-evaluation-harness. The
    columns are item, replicate, model, task, measure and value. The outputs of a further log of the
    same model and task are further replicates of its items. Use --measure for a table with one
    value for each output, as the other commands need it.
    """
    from muniment_analysis.logs.reading import read_logs
    from muniment_analysis.pages.csv_table import csv_text
    from muniment_analysis.pages.files import report_files, write_report_files

    files = report_files([output], [".csv"], overwrite=overwrite, inputs=map(str, logs))
    with progress("reading logs"):
        table = read_logs(logs)
    rows = _chosen(table, measures)
    _print_notes(table)
    write_report_files(files, {".csv": lambda: csv_text(_HEADERS, rows)})


def _chosen(table: Table, measures: tuple[str, ...]) -> list[Row]:
    """Return the rows of the measures, or raise UsageError for one without a row."""
    known = dict.fromkeys(row.measure for row in table.rows)
    if not known:
        raise muniment.UsageError("the logs have no number to write; use logs with scores")
    for name in measures:
        if name not in known:
            raise muniment.UsageError(f"no output has the measure {name!r}; use {', '.join(known)}")
    return [row for row in table.rows if not measures or row.measure in measures]


def _print_notes(table: Table) -> None:
    for path in table.incomplete:
        write_note(f"Warning: {path} was not finished, so outputs may be missing")
    if table.failed:
        write_note(
            f"Warning: {pluralize(table.failed, 'sample')} ended with an error and without a value"
        )
    for measure, count in table.not_numbers.items():
        write_note(f"left out {pluralize(count, 'non-numeric value')} of {measure}")
