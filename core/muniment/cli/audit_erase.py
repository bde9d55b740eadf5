"""The command `muniment audit erase`."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from muniment.cli import exit_codes
from muniment.cli.confirm import confirm
from muniment.cli.context import CliContext
from muniment.cli.filters import filter_options_without_status, query_of
from muniment.cli.options import Moment, json_option, yes_option
from muniment.cli.output import moment, pluralize, table, write_json, write_note
from muniment.cli.progress import counting
from muniment.times import iso

if TYPE_CHECKING:
    from muniment.store import Query
    from muniment.store.retention.erasure import ErasureRecord, ErasureResult


@click.command
@click.argument("references", metavar="[ID]...", nargs=-1)
@filter_options_without_status
@click.option("--older-than", type=Moment(), help="Minimum age, such as 90d, or latest start.")
@click.option("--reason", metavar="TEXT", help="Reason, recorded with the erasure.")
@click.option(
    "--status", "show_status", is_flag=True, help="List erasures, and retry pending ones."
)
@yes_option
@json_option
@click.pass_obj
def erase(
    context: CliContext,
    /,
    references: tuple[str, ...],
    older_than: Any,
    reason: str | None,
    show_status: bool,
    yes: bool,
    as_json: bool,
    **filters: Any,
) -> int:
    """Erase prompts, outputs and all other texts of generations permanently.

    A generation must match all given options. Ledger entries are not erased, so proofs stay valid.
    With --actor the actor's name is erased too. Skips generations on hold, under retention or
    still running.
    `pending` means that erased bytes may still be in the database files, for example while
    another process reads them. The next write, or --status, tries again. --status also lists the
    backups that still contain erased texts.
    """
    filtered = any(value is not None for value in filters.values())
    if show_status:
        if references or filtered or older_than or reason:
            raise click.UsageError("--status cannot be combined with ids, filters or --reason.")
        return _status(context, as_json)
    if not (references or filtered or older_than):
        raise click.UsageError(
            "no generation is selected; add ids, or filters such as --tag or --older-than."
        )
    query = selection(context, references, filters)
    if older_than is not None:
        query = replace(query, until=min(filter(None, (query.until, older_than))))
    number = pluralize(context.session.store.count(query), "generation")
    if not confirm(
        f"this will erase the texts of {number}", yes=yes, otherwise="nothing was erased"
    ):
        return exit_codes.FAILED
    session = context.session
    with counting("erasing", None) as bar:
        result = session.erase(query, reason, bar.advance)
    return report_erasure(result, as_json)


def selection(context: CliContext, references: tuple[str, ...], filters: dict[str, Any]) -> Query:
    """Return the query for ids, whole or abbreviated, and filters."""
    query = query_of(context, filters, limit=0)
    if not references:
        return query
    store = context.session.store
    return replace(query, ids=list(dict.fromkeys(map(store.find, references))))


def report_erasure(result: ErasureResult, as_json: bool) -> int:
    """Print the result and return the exit code, which is 1 if generations were skipped."""
    if as_json:
        write_json(asdict(result))
    else:
        write_note(f"erased {pluralize(result.erased, 'generation')}")
        for number, cause in (
            (result.held, "on hold"),
            (result.kept, "under retention"),
            (result.running, "still running"),
        ):
            if number:
                write_note(f"skipped {pluralize(number, 'generation')}: {cause}")
        if result.pending:
            write_note(
                "pending: erased bytes may still be in the database files; run "
                "`muniment audit erase --status` to try again"
            )
    return exit_codes.FAILED if result.held or result.kept or result.running else exit_codes.DONE


def _status(context: CliContext, as_json: bool) -> int:
    store = context.store
    store.finish_erasing()
    erasures = list(store.erasures())
    if as_json:
        for item in erasures:
            write_json(_to_json(item))
    else:
        table(
            ("entry", "when", "by", "generations", "state", "reason"),
            (
                (
                    str(item.entry),
                    moment(item.at),
                    item.actor,
                    str(item.generations),
                    "pending" if item.pending else "gone",
                    item.reason or "",
                )
                for item in erasures
            ),
            cut="reason",
        )
        backups = {backup.file: backup for item in erasures for backup in item.backups}
        for backup in backups.values():
            advice = "delete it" if backup.there else "it is missing here, so delete any copies"
            write_note(f"backup {backup.file} contains erased texts; {advice}")
    return exit_codes.DONE


def _to_json(item: ErasureRecord) -> dict[str, Any]:
    return {
        **{name: getattr(item, name) for name in ("entry", "actor", "cause", "reason")},
        "at": iso(item.at),
        "generations": item.generations,
        "pending": item.pending,
        "backups": [str(backup.file) for backup in item.backups],
    }
