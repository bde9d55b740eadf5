"""The command `muniment audit report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import muniment
from muniment.command import (
    emit,
    generation_filters,
    headers_option,
    json_option,
    no_match,
    overwrite_option,
    pass_session,
    progress,
    write_data,
    write_json,
    write_note,
)

if TYPE_CHECKING:
    from muniment_analysis.audit.report import AuditReport
    from muniment_analysis.audit.tables import Table

_UNVERIFIED = 4  # exit code of `audit verify` and `audit replay` for a record that is contradicted
_COUNTS = (
    ("group", "group"),
    ("value", "value"),
    ("decision", "decision"),
    ("count", "count"),
)
_FINDINGS = (
    ("decision", "decision"),
    ("generation", "generation"),
    ("actor", "actor"),
    ("reasons", "reasons"),
    ("review", "review"),
)


@click.command("report")
@generation_filters()
@click.option(
    "--replay",
    "replays",
    type=click.IntRange(0, 10_000),
    metavar="N",
    default=0,
    help="Number of completed generations to generate again, chosen at random.",
)
@click.option("--sample-key", metavar="TEXT", help="Seed of the choice, to repeat it.")
@click.option("--no-record", is_flag=True, help="Do not record the results of replays.")
@click.option("--verify", is_flag=True, help="Verify the ledger, the query tables and the texts.")
@click.option("--names", is_flag=True, help="Names of people in place of numbers.")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(0, 10_000),
    metavar="N",
    default=20,
    show_default=True,
    help="Maximum number of blocked and of flagged generations to list.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    metavar="FILE",
    multiple=True,
    help="File of the report: .html with plots, .md, .json, or .csv with counts. Can be repeated.",
)
@overwrite_option
@headers_option
@json_option
@pass_session
def report(
    session: muniment.Session,
    query: muniment.Query,
    replays: int,
    sample_key: str | None,
    no_record: bool,
    verify: bool,
    names: bool,
    limit: int,
    outputs: tuple[str, ...],
    overwrite: bool,
    as_json: bool,
) -> int:
    """Report on the generations of a period: counts, blocked and flagged ones, and evidence.

    Counts are by policy, category, filter, decision, actor, reviewer, generator, model, status
    and day. The newest blocked and flagged generations are listed with reasons and reviews.
    People are numbers unless --names is given. Days and times are local, as those of --since and
    --until are, and the report names the time zone. TZ=UTC makes them UTC.

    The report is marked "not verified" unless --verify is given. The exit code is 4 if the
    verification finds a problem or a replay diverges. With -o, a line on standard error has the
    results of the verification and of the replays.

    Without -o the counts and the listed generations are printed. The period, the warnings and the
    state of the record go to standard error. Piped output has tab-separated columns: group, value,
    decision, count. After an empty line follow those of generations: decision, id, actor, reasons,
    review.
    """
    from muniment_analysis.pages.files import json_text, report_files, write_report_files

    if sample_key is not None and not replays:
        raise muniment.UsageError("--sample-key chooses replays; add --replay N")
    files = report_files(outputs, (".html", ".md", ".json", ".csv"), overwrite=overwrite)
    from muniment_analysis.audit.report import audit_report

    made = audit_report(
        session,
        query,
        replays=replays,
        sample_key=sample_key,
        record=not no_record,
        verify=verify,
        names=names,
        limit=limit,
        local_days=True,
        phase=progress,
    )
    write_report_files(
        files,
        {
            ".html": made.html,
            ".md": made.markdown,
            ".csv": made.csv,
            ".json": lambda: json_text(made.to_json()),
        },
    )
    if not made.total:
        write_note(no_match(session, query))
    if files:
        _note_outcome(made)
    if as_json:
        write_json(made.to_json())
    elif not files:
        _print(made)
    return 0 if made.ok else _UNVERIFIED


def _note_outcome(report: AuditReport) -> None:
    from muniment_analysis.audit import tables

    if outcome := tables.outcome(report):
        write_note(outcome)


def _print(report: AuditReport) -> None:
    from muniment_analysis.audit import tables

    write_note(tables.period(report))
    names = [name for name, _ in _COUNTS]
    counts = [dict(zip(names, row, strict=True)) for row in tables.count_rows(report)]
    emit(counts, _COUNTS, as_json=False)
    write_data("")
    emit(
        [
            {
                "decision": item.decision,
                "generation": item.id,
                "actor": tables.display("actor", item.actor),
                "reasons": tables.reasons_text(item),
                "review": tables.review_text(item),
            }
            for item in (*report.blocked.listed, *report.flagged.listed)
        ],
        _FINDINGS,
        as_json=False,
        empty="no generation was blocked or flagged",
    )
    write_note(tables.summary(report))
    if report.statuses.get("failed"):
        write_note(
            "For the failed ones, run `muniment audit list --status failed` with the same filters."
        )
    for warning in tables.warnings(report):
        write_note(f"Warning: {warning}")
    for table in tables.state_tables(report):
        _print_state(table)


def _print_state(table: Table) -> None:
    """Print a table as a line with its title and note, and a line for each row."""
    write_note(f"{table.title}: {table.note}" if table.note else f"{table.title}:")
    for name, *values in table.rows:
        write_note(f"  {name}: {', '.join(map(str, values))}")
