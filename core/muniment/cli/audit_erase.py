"""`muniment audit erase`: texts destroyed for good, and what became of it."""

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

if TYPE_CHECKING:
    from muniment.store import Query
    from muniment.store.retention.erasure import ErasureRecord, ErasureResult


@click.command
@click.argument("references", metavar="[ID]...", nargs=-1)
@filter_options_without_status
@click.option("--older-than", type=Moment(), help="Begun before then: 90d, a date.")
@click.option("--reason", metavar="TEXT", help="Why; it is kept, and can be shown.")
@click.option("--status", "show_status", is_flag=True, help="List past erasures; finish pending.")
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
    """Destroy prompts, outputs and all other texts of generations, for good.

    All filters given must hold. Entries stay, and with them every proof and the ledger's root.
    With --actor the actor's name goes, too. What is under a hold, must be kept longer by the
    retention in force, or is under way is left as it is. `pending` means that bytes may still lie
    in the store's files, as while someone reads; whoever writes next, and --status, tries again.
    --status also names the backups that still hold what was erased.
    """
    given = any(value is not None for value in filters.values())
    if show_status:
        if references or given or older_than or reason:
            raise click.UsageError("--status takes nothing else.")
        return _status(context, as_json)
    if not (references or given or older_than):
        raise click.UsageError("say what to erase: ids, or filters such as --tag, --older-than.")
    query = wanted(context, references, filters)
    if older_than is not None:
        query = replace(query, until=min(filter(None, (query.until, older_than))))
    what = _what(context, query)
    if not confirm(f"{what} erased for good", yes=yes, otherwise="nothing was erased"):
        return exit_codes.FAILED
    session = context.session
    with counting("erasing", None) as bar:
        result = session.erase(query, reason, bar.advance)
    return erased(result, as_json)


def wanted(context: CliContext, references: tuple[str, ...], filters: dict[str, Any]) -> Query:
    """Return the query for ids or their ends, and filters."""
    query = query_of(context, filters, limit=0)
    if not references:
        return query
    store = context.session.store
    return replace(query, ids=list(dict.fromkeys(map(store.find, references))))


def erased(result: ErasureResult, as_json: bool) -> int:
    """Say what came of erasing; what was left on purpose makes the command fail."""
    if as_json:
        write_json(asdict(result))
    else:
        write_note(f"erased {pluralize(result.erased, 'generation')}")
        for number, why in (
            (result.held, "under a hold"),
            (result.kept, "to be kept longer"),
            (result.running, "under way"),
        ):
            if number:
                write_note(f"left {pluralize(number, 'generation')}: {why}")
        if result.pending:
            write_note("pending: bytes may still be there; `muniment audit erase --status` goes on")
    return exit_codes.FAILED if result.held or result.kept or result.running else exit_codes.DONE


def _what(context: CliContext, query: Query) -> str:
    number = context.session.store.count(query)
    return f"{pluralize(number, 'generation')} {'is' if number == 1 else 'are'}"


def _status(context: CliContext, as_json: bool) -> int:
    store = context.store
    store.finish_erasing()
    past = list(store.erasures())
    if as_json:
        for item in past:
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
                for item in past
            ),
            cut="reason",
        )
        backups = {backup.file: backup for item in past for backup in item.backups}
        for backup in backups.values():
            there = "" if backup.there else " (not there any more; a copy of it may be)"
            write_note(f"made before an erasure, and holds what it erased: {backup.file}{there}")
    return exit_codes.DONE


def _to_json(item: ErasureRecord) -> dict[str, Any]:
    from muniment.cli.output import utc

    return {
        **{name: getattr(item, name) for name in ("entry", "actor", "cause", "reason")},
        "at": utc(item.at),
        "generations": item.generations,
        "pending": item.pending,
        "backups": [str(backup.file) for backup in item.backups],
    }
