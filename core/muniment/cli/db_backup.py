"""The commands `muniment db backup` and `muniment db restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import muniment.store
from muniment.cli import exit_codes
from muniment.cli.confirm import confirm
from muniment.cli.context import CliContext
from muniment.cli.options import json_option, overwrite_option, yes_option
from muniment.cli.output import pluralize, short_digest, write_data, write_json, write_note
from muniment.cli.output_file import OutputFile
from muniment.cli.progress import fraction
from muniment.errors import UsageError

if TYPE_CHECKING:
    from muniment.store.backup import RestorePlan


@click.command
@click.argument("file", metavar="FILE")
@overwrite_option
@json_option
@click.pass_obj
def backup(context: CliContext, file: str, overwrite: bool, as_json: bool) -> None:
    """Copy the store to a new file while it is in use.

    The copy is read back and checked: it must have the entries and the root hash that the store
    had at that moment. The store records the file's path, so that `audit erase --status` can list
    backups that contain erased texts. For PostgreSQL, the program pg_dump is required.
    """
    destination = OutputFile(file, overwrite=overwrite)
    if destination.stdout or destination.special:
        raise UsageError(f"{file} is not a regular file; use another file for the backup")
    with fraction("backing up") as progress:
        copy = context.store.backup(
            destination.target,
            lambda step, done, total: progress(step, done / total if total else 1.0),
        )
    if as_json:
        write_json(
            {
                "file": copy.file,
                "made_at": copy.made_at,
                "entries": copy.entries,
                "root": copy.root,
                "bytes": copy.file.stat().st_size,
            }
        )
        return
    entries, root = pluralize(copy.entries, "entry"), short_digest(copy.root)
    write_data(f"{copy.file}  {entries} · root {root}")


@click.command
@click.argument("file", metavar="FILE")
@yes_option
@json_option
@click.pass_obj
def restore(context: CliContext, file: str, yes: bool, as_json: bool) -> int:
    """Replace the store with a backup.

    The backup is checked first. The store is then replaced completely or not at all, and entries
    recorded since the backup are lost. Generations erased since the backup come back. Their ids
    are printed, one per line, so that they can be erased again. For PostgreSQL, the programs
    pg_restore and psql are required.
    """
    with fraction("checking") as progress:

        def report(step: str, done: int, total: int) -> None:
            progress(step, done / total if total else 1.0)

        plan = muniment.store.plan_restore(context.store_url, Path(file), report)
    loss = _loss(plan)
    if loss and not confirm(loss, yes=yes, otherwise="nothing was restored"):
        return exit_codes.FAILED
    with fraction("restoring") as progress:
        muniment.store.restore(context.store_url, plan, report)
    contents = plan.contents
    if as_json:
        write_json(
            {
                "file": plan.file,
                "entries": contents.entries,
                "root": contents.root,
                "lost": plan.lost_entries,
                "erase_again": plan.erased_since,
            }
        )
    else:
        for identifier in plan.erased_since:
            write_data(identifier)
    write_note(f"restored {pluralize(contents.entries, 'entry')} · root {contents.root}")
    if plan.erased_since:
        number = pluralize(len(plan.erased_since), "generation")
        write_note(
            f"{number} erased since the backup came back; run `muniment audit erase ID... "
            "--reason TEXT` to erase again"
        )
    elif plan.present is None or plan.present.unreadable or plan.other_ledger:
        write_note(
            "erasures since the backup are not known, because the previous store was not its "
            "continuation; erase those generations again"
        )
    return exit_codes.DONE


def _loss(plan: RestorePlan) -> str:
    """Return what restoring will replace, or an empty text if there is no store yet."""
    present = plan.present
    if present is None:
        return ""
    if present.unreadable:
        return f"this will replace the store, which cannot be read ({present.unreadable})"
    entries = pluralize(present.entries, "entry")
    if plan.other_ledger:
        return f"this will replace the store, another ledger of {entries}"
    return (
        f"this will replace the store of {entries} with the backup of {plan.contents.entries:,}: "
        f"{plan.lost_entries:,} will be lost"
    )
