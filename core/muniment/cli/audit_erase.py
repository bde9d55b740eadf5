"""The command `muniment audit erase`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

import muniment
from muniment.cli import exit_codes
from muniment.cli.confirm import confirm
from muniment.cli.context import CliContext
from muniment.cli.emit import emit
from muniment.cli.filters import filter_options_without_status, query_of
from muniment.cli.options import Moment, json_option, yes_option
from muniment.cli.output import pluralize, write_json, write_note
from muniment.cli.progress import counting

if TYPE_CHECKING:
    from muniment.store.retention.erasure import ErasureResult


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
    filters["until"] = min(filter(None, (filters["until"], older_than)), default=None)
    if show_status:
        if references or reason or any(value is not None for value in filters.values()):
            raise click.UsageError("--status cannot be combined with ids, filters or --reason.")
        return _status(context, as_json)
    query = selection(context, references, filters)
    number = pluralize(context.session.store.count(query), "generation")
    if not confirm(
        f"this will erase the texts of {number}", yes=yes, otherwise="nothing was erased"
    ):
        return exit_codes.FAILED
    session = context.session
    with counting("erasing", None) as bar:
        result = session.erase(query, reason, bar.advance)
    return report_erasure(result, as_json)


def selection(
    context: CliContext, references: tuple[str, ...], filters: dict[str, Any]
) -> muniment.Query:
    """Return the query for ids, whole or abbreviated, and filters.

    Raises UsageError if there are neither.
    """
    if not references and all(value is None for value in filters.values()):
        raise click.UsageError("no generation is selected; add ids, or filters such as --tag.")
    query = query_of(context, filters, limit=0)
    if not references:
        return query
    store = context.session.store
    return replace(query, ids=list(dict.fromkeys(map(store.find, references))))


def report_erasure(result: ErasureResult, as_json: bool) -> int:
    """Print the result and return the exit code, which is 1 if generations were skipped."""
    if as_json:
        write_json(result)
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
    store.erasures.finish()
    erasures = list(store.erasures.records())
    emit(
        erasures,
        [
            ("entry", "entry"),
            ("when", "at"),
            ("by", "actor"),
            ("generations", "generations"),
            ("bytes", lambda item: "pending" if item.pending else "gone"),
            ("reason", "reason"),
        ],
        as_json,
        to_json=lambda item: {
            **{name: getattr(item, name) for name in _ERASURE},
            "backups": [backup.file for backup in item.backups],
        },
        empty="nothing was erased",
        cut="reason",
    )
    backups = {backup.file: backup for item in erasures for backup in item.backups}
    for backup in () if as_json else backups.values():
        advice = "delete it" if backup.there else "it is missing here, so delete any copies"
        write_note(f"backup {backup.file} contains erased texts; {advice}")
    return exit_codes.DONE


_ERASURE = ("entry", "actor", "cause", "reason", "at", "generations", "pending")
