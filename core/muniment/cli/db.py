"""The command group `muniment db`."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import click

import muniment.store
from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.lazy import LazyGroup
from muniment.cli.listing import emit, emit_line, emit_one
from muniment.cli.options import confirm, json_option, overwrite_option, yes_option
from muniment.cli.output import (
    json_text,
    on_terminal,
    one_line,
    printable,
    write_bytes,
    write_data,
    write_json,
    write_note,
)
from muniment.cli.output_file import OutputFile
from muniment.cli.progress import fraction
from muniment.cli.values import pluralize, short_digest
from muniment.errors import MunimentError, UsageError
from muniment.language import gettext, ngettext

if TYPE_CHECKING:
    from muniment.store.backup import RestorePlan


@click.group(cls=LazyGroup)
def db() -> None:
    """Manage the store."""


@db.command
@json_option
@click.pass_obj
def path(context: CliContext, as_json: bool) -> None:
    """Print the location of the store.

    Prints the file of an SQLite store, or else the URL. The store need not exist.
    """
    url = muniment.config.without_password(context.store_url)
    emit_line({"url": url, "path": _file(url)}, _file(url) or url, as_json)


@db.command
@json_option
@click.pass_obj
def status(context: CliContext, as_json: bool) -> None:
    """Show the store's size and whether its schema is current."""
    with muniment.store.Store.open(context.store_url, create=False, outdated=True) as store:
        state = store.status()
    schema = "current" if state.current else "outdated; run `muniment db upgrade`"
    emit_one(
        state,
        [
            ("store", lambda _: state.path or state.url),
            ("schema", lambda _: f"{state.revision} ({schema})"),
            ("entries", lambda _: f"{state.entries:,}"),
            ("size", lambda _: f"{state.size:,} bytes"),
        ],
        as_json,
        to_json=lambda _: {
            **{name: getattr(state, name) for name in _STATUS},
            "bytes": state.size,
        },
    )


_STATUS = ("url", "path", "revision", "head", "current", "entries")


@db.command
@click.pass_obj
def upgrade(context: CliContext) -> None:
    """Create the store, or upgrade its schema.

    Entries are not changed.
    """
    from muniment.signing import open_store

    with open_store(context.home, context.store_url, create=True, outdated=True) as store:
        with fraction("upgrading") as progress:
            copy = store.upgrade(progress)
        state = store.status()
    if copy:
        write_note(f"the previous store was copied to {copy}; delete it when all is well")
    write_data(f"{state.path or state.url}  schema {state.revision}")


@db.command
@json_option
@click.pass_obj
def rebuild(context: CliContext, as_json: bool) -> None:
    """Rebuild the search and list tables.

    The tables are derived from entries and payloads, which are only read. Meanwhile other
    processes can read the store but not write to it. Piped output has tab-separated columns:
    table, rows.
    """
    with (
        muniment.store.Store.open(context.store_url, create=False) as store,
        fraction("rebuilding") as progress,
    ):
        rows = store.rebuild(progress)
    if as_json:
        write_json(rows)
    else:
        emit(rows.items(), [("table", itemgetter(0)), ("rows", itemgetter(1))], as_json)


def _file(url: str) -> str | None:
    """Return the absolute path of an SQLite URL's file, or None for any other URL."""
    path, _, _ = url.removeprefix("sqlite:///").partition("?")
    return str(Path(unquote(path)).absolute()) if url.startswith("sqlite:///") else None


@db.command
@click.argument("file", metavar="FILE")
@overwrite_option
@json_option
@click.pass_obj
def backup(context: CliContext, file: str, overwrite: bool, as_json: bool) -> None:
    """Copy the store to a new file while it is in use.

    The copy is read back and checked: it must have the entries and the root hash that the store
    had at that moment. The store records the file's path, so that `audit erase --status` can list
    backups that contain erased texts. For PostgreSQL, the program pg_dump is required.

    A store with an altered schema is copied with it, and a message on standard error says so.
    """
    destination = OutputFile(file, overwrite=overwrite)
    if destination.stdout or destination.special:
        raise UsageError(f"{file} is not a regular file; use another file for the backup")
    with fraction("backing up") as progress:
        copy = context.store.backup(destination.target, progress)
    emit_line(
        {
            "file": copy.file,
            "made_at": copy.made_at,
            "entries": copy.entries,
            "root": copy.root,
            "bytes": copy.file.stat().st_size,
        },
        f"{copy.file}  {pluralize(copy.entries, 'entry')} · root {short_digest(copy.root)}",
        as_json,
    )
    if problem := context.store.altered_schema():
        write_note(
            f"the schema of the store was altered, and with it that of the backup: {problem}; run "
            "`muniment audit verify` to list the problems, and undo the changes before you make "
            "a backup to restore"
        )


@db.command
@click.argument("file", metavar="FILE")
@click.option(
    "--replace-ledger",
    metavar="LEDGER",
    help="Identity of the store's ledger, to replace it by the other ledger of the backup.",
)
@yes_option
@json_option
@click.pass_obj
def restore(
    context: CliContext, file: str, replace_ledger: str | None, yes: bool, as_json: bool
) -> int:
    """Replace the store with a backup.

    The backup is verified first, as `audit verify --all` does. The store is then replaced
    completely or not at all, and entries recorded since the backup are lost. Generations erased
    since the backup come back. Their ids are printed, one per line, so that they can be erased
    again.

    Of a backup for PostgreSQL, or with an older schema, only the entries are verified first. The
    rest is verified after the store was replaced, or after `db upgrade`. For PostgreSQL, the
    programs pg_restore and psql are required.

    A backup of another ledger is refused without --replace-ledger. The key and the last signed
    checkpoint of the replaced ledger stay in the home folder.

    If entries are lost that were signed, commands that record exit with 4 afterwards. The files to
    move away are then printed.
    """
    with fraction("checking") as progress:
        plan = muniment.store.plan_restore(context.store_url, Path(file), progress)
    _raise_if_other_ledger(plan, replace_ledger)
    if not plan.contents.whole:
        note = gettext(
            "only the entries of {file} were verified; the rest is verified after it has replaced "
            "the store, or if its schema is older, by `muniment audit verify --all` after "
            "`muniment db upgrade`"
        )
        write_note(note.format(file=plan.file))
    loss = _loss(plan)
    if loss and not confirm(loss, yes=yes, otherwise=gettext("nothing was restored")):
        return exit_codes.FAILED
    with fraction("restoring") as progress:
        muniment.store.restore(context.store_url, plan, progress)
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
    _write_restored(plan)
    if plan.other_ledger:
        _write_kept_checkpoint(context, plan)
    else:
        _write_newer_checkpoint(context, plan)
    return exit_codes.DONE


def _write_restored(plan: RestorePlan) -> None:
    """Print what the store contains after a restoration, and which generations came back."""
    restored = ngettext(
        "restored {number} entry · root {root}",
        "restored {number} entries · root {root}",
        plan.contents.entries,
    )
    write_note(restored.format(number=f"{plan.contents.entries:,}", root=plan.contents.root))
    if number := len(plan.erased_since):
        back = ngettext(
            "{number} generation erased since the backup came back; run `muniment audit erase "
            "ID... --reason TEXT` to erase again",
            "{number} generations erased since the backup came back; run `muniment audit erase "
            "ID... --reason TEXT` to erase again",
            number,
        )
        write_note(back.format(number=f"{number:,}"))
    elif plan.unknown_since:
        write_note(
            gettext(
                "erasures since the backup are not known, because the previous store was not its "
                "continuation with the current schema; erase those generations again"
            )
        )


def _raise_if_other_ledger(plan: RestorePlan, named: str | None) -> None:
    """Raise UsageError unless the ledger that a backup would replace is its own or is named."""
    present = plan.present
    if present is None or present.unreadable or named == present.log:
        return
    if named is not None:
        raise UsageError(
            f"the store has ledger {present.log}, not {named}; use --replace-ledger with its "
            "identity"
        )
    if plan.other_ledger:
        raise UsageError(
            f"the backup {plan.file} is of ledger {plan.contents.log}, but the store has ledger "
            f"{present.log} of {pluralize(present.entries, 'entry')}; use --store to restore to "
            f"another store, or --replace-ledger {present.log} to replace it"
        )


def _write_kept_checkpoint(context: CliContext, plan: RestorePlan) -> None:
    """Print what to do with the checkpoint of a replaced ledger, if one was signed here."""
    from muniment.signing import KeyStore

    assert plan.present is not None
    path = KeyStore(context.home).checkpoint_path(plan.present.log)
    if path.exists():
        note = gettext(
            "the replaced ledger {ledger} was signed here, so commands that record and `audit "
            "verify` exit with 4 as long as its last checkpoint {file} is there; remove that file, "
            "and run `muniment keys generate` to sign the restored ledger"
        )
        write_note(note.format(ledger=plan.present.log, file=path))


def _write_newer_checkpoint(context: CliContext, plan: RestorePlan) -> None:
    """Print how to sign again if more entries were signed here than the backup has."""
    from muniment.signing import KeyStore

    keys, log = KeyStore(context.home), plan.contents.log
    try:
        last = keys.last_checkpoint(log)
    except MunimentError as error:  # the store was restored
        write_note(f"Warning: {one_line(str(error))}")
        return
    if last is None or last.checkpoint.size <= plan.contents.entries:
        return
    note = gettext(
        "{number} entries were signed here, more than the backup has, so commands that record and "
        "`audit verify` exit with 4 as long as the last checkpoint {file} is there; move it and "
        "{key} away, run `muniment keys generate` to sign the restored store, and give the new "
        "public key to your verifiers"
    )
    size = f"{last.checkpoint.size:,}"
    write_note(note.format(number=size, file=keys.checkpoint_path(log), key=keys.path(log)))


def _loss(plan: RestorePlan) -> str:
    """Return what restoring will replace, or an empty text if there is no store yet."""
    present = plan.present
    if present is None:
        return ""
    if present.unreadable:
        return gettext(
            "replace the store, which cannot be read ({reason}), so its legal holds and erasures "
            "since the backup are not known"
        ).format(reason=present.unreadable)
    if plan.other_ledger:
        text = ngettext(
            "replace the store, another ledger of {number} entry",
            "replace the store, another ledger of {number} entries",
            present.entries,
        )
    else:
        text = ngettext(
            "replace the store of {number} entry with the backup of {backup}: {lost} will be lost",
            "replace the store of {number} entries with the backup of {backup}: {lost} will be "
            "lost",
            present.entries,
        )
    return text.format(
        number=f"{present.entries:,}",
        backup=f"{plan.contents.entries:,}",
        lost=f"{plan.lost_entries:,}",
    ) + _lost_holds(plan)


def _lost_holds(plan: RestorePlan) -> str:
    """Return a phrase that names the holds that restoring ends, or an empty text."""
    if plan.present is not None and plan.present.outdated:
        return gettext(
            ", and its legal holds and erasures since the backup are not known, because the store "
            "has another schema; run `muniment db upgrade` first to list them"
        )
    if not plan.holds_since:
        return ""
    return gettext(", and with them the legal holds {holds}; place them again").format(
        holds=", ".join(plan.holds_since)
    )


_ROWS_PER_TABLE = 500  # a terminal gets a table with headers for each of these, while rows arrive


@db.command
@click.argument("statement", metavar="SELECT")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with a line of column names.")
@click.pass_obj
def sql(context: CliContext, statement: str, as_json: bool, as_csv: bool) -> None:
    """Run a SELECT statement on the store.

    The statement can read but not write. docs/reference/sql.md describes the views v_generation,
    v_verdict, v_score, v_event and v_cell. Their texts are not compared with the commitments in
    the ledger, for which there is `muniment audit verify --payloads`.

    Piped output has tab-separated columns. Bytes are printed in hexadecimal. NULL is empty, except
    in JSON.
    """
    from muniment.store import Store

    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other; remove one.")
    with (
        Store.open(context.store_url, create=False, read_only=True) as store,
        store.select(statement) as selected,
    ):
        for name, count in Counter(selected.columns).items():
            if as_json and count > 1:
                raise UsageError(
                    f"{count} columns are named {name!r}, which JSON cannot tell apart; rename "
                    "them with AS"
                )
        write_note("Note: texts are not compared with their commitments; see `audit verify`")
        if as_json:
            for row in selected.rows:
                write_json(dict(zip(selected.columns, map(_json_value, row), strict=True)))
        elif as_csv:
            _write_csv(itertools.chain([selected.columns], selected.rows))
        else:
            _write_tables(selected.columns, selected.rows)


def _write_tables(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as tables of limited length, so that memory does not hold a large result."""
    texts = ([_text(value) for value in row] for row in rows)
    shown = [(name, itemgetter(index)) for index, name in enumerate(columns)]
    while part := list(itertools.islice(texts, _ROWS_PER_TABLE)):
        emit(part, shown, False)


def _write_csv(rows: Iterable[Sequence[Any]]) -> None:
    """Write CSV (RFC 4180) as UTF-8 in every locale."""
    escape = printable if on_terminal() else str
    for row in rows:
        line = io.StringIO()
        csv.writer(line).writerow([escape(_text(value)) for value in row])
        write_bytes(line.getvalue().encode())


def _text(value: object) -> str:
    """Return a value as text, and NULL as no text."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case bytes():
            return value.hex()
        case dict() | list():
            return json_text(_json_value(value))
    return str(value)


def _json_value(value: Any) -> Any:
    """Return a value with types that JSON has. Text replaces infinite numbers."""
    match value:
        case bytes():
            return value.hex()
        case float() if not math.isfinite(value):
            return str(value)
        case list():
            return [_json_value(item) for item in value]
        case dict():
            return {key: _json_value(item) for key, item in value.items()}
    return value
