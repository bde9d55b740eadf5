"""`muniment db backup` and `restore`: copies of the whole store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from muniment.cli import exit_codes
from muniment.cli.confirm import confirm
from muniment.cli.context import CliContext
from muniment.cli.options import json_option, overwrite_option, yes_option
from muniment.cli.output import (
    on_terminal,
    pluralize,
    shortened,
    utc,
    write_data,
    write_json,
    write_note,
)
from muniment.cli.output_file import OutputFile
from muniment.cli.progress import fraction
from muniment.errors import UsageError

if TYPE_CHECKING:
    from muniment.store.backup.restore import RestorePlan


@click.command
@click.argument("file", metavar="FILE")
@overwrite_option
@json_option
@click.pass_obj
def backup(context: CliContext, file: str, overwrite: bool, as_json: bool) -> None:
    """Copy the store to a new file while it is in use.

    What was copied is read again: its entries must be as many, and make the same root, as the
    store had at that moment. The store remembers the file, so that `audit erase --status` can
    name the copies that hold what was erased since. PostgreSQL needs its program pg_dump.
    """
    destination = OutputFile(file, overwrite=overwrite)
    if destination.stdout or destination.special:
        raise UsageError(f"a backup is a file; {file} is none")
    with fraction("backing up") as progress:
        made = context.store.backup(
            destination.target,
            lambda what, done, total: progress(what, done / total if total else 1.0),
        )
    if as_json:
        write_json(
            {
                "file": str(made.file),
                "made_at": utc(made.made_at),
                "entries": made.entries,
                "root": made.root,
                "bytes": made.file.stat().st_size,
            }
        )
        return
    root = shortened(made.root) if on_terminal() else made.root
    write_data(f"{made.file}  {pluralize(made.entries, 'entry')} · root {root}")


@click.command
@click.argument("file", metavar="FILE")
@yes_option
@json_option
@click.pass_obj
def restore(context: CliContext, file: str, yes: bool, as_json: bool) -> int:
    """Make the store what a backup holds.

    The backup is checked first; what the store holds now is replaced, whole or not at all, and
    what was recorded since the backup is lost. Generations that were erased since come back with
    it: their ids are printed, one a line, to be erased again.
    """
    from pathlib import Path

    from muniment.store import Store

    with fraction("checking") as progress:

        def show(what: str, done: int, total: int) -> None:
            progress(what, done / total if total else 1.0)

        planned = Store.plan_restore(context.store_url, Path(file), show)
    replaces = _replaces(planned)
    if replaces and not confirm(replaces, yes=yes, otherwise="nothing was restored"):
        return exit_codes.FAILED
    with fraction("restoring") as progress:
        Store.restore(context.store_url, planned, show)
    contents = planned.contents
    if as_json:
        write_json(
            {
                "file": str(planned.file),
                "entries": contents.entries,
                "root": contents.root,
                "lost": planned.lost,
                "erase_again": planned.erased_since,
            }
        )
    else:
        for identifier in planned.erased_since:
            write_data(identifier)
    write_note(f"restored {pluralize(contents.entries, 'entry')} · root {contents.root}")
    if planned.erased_since:
        write_note(
            f"{pluralize(len(planned.erased_since), 'generation')} erased since the backup came "
            "back; erase them again: `muniment audit erase ID... --reason TEXT`"
        )
    elif planned.present is None or planned.present.unreadable or planned.other:
        write_note(
            "what was erased since the backup was made cannot be told from what was here; erase "
            "it again"
        )
    return exit_codes.DONE


def _replaces(planned: RestorePlan) -> str:
    """Say what restoring would destroy; empty where there is no store yet."""
    present = planned.present
    if present is None:
        return ""
    if present.unreadable:
        return f"the store, which cannot be read ({present.unreadable}), is replaced"
    held = pluralize(present.entries, "entry")
    if planned.other:
        return f"the store, another ledger of {held}, is replaced"
    return (
        f"the store of {held} is replaced by the backup of {planned.contents.entries:,}, "
        f"{planned.lost:,} are lost"
    )
