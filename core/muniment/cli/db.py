"""The command group `muniment db`."""

from __future__ import annotations

from operator import itemgetter
from urllib.parse import unquote

import click

import muniment.store
from muniment.cli.context import CliContext
from muniment.cli.db_backup import backup, restore
from muniment.cli.db_sql import sql
from muniment.cli.emit import emit, emit_one
from muniment.cli.lazy import LazyGroup
from muniment.cli.options import json_option
from muniment.cli.output import write_data, write_json, write_note
from muniment.cli.progress import fraction


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
    url = _without_password(context.store_url)
    if as_json:
        write_json({"url": url, "path": _file(url)})
    else:
        write_data(_file(url) or url)


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
    with muniment.store.Store.open(context.store_url, create=True, outdated=True) as store:
        with fraction("upgrading") as progress:
            copy = store.upgrade(lambda step, done, total: progress(step, done / total))
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
        rows = store.rebuild(lambda step, done, total: progress(step, done / total))
    if as_json:
        write_json(rows)
    else:
        emit(rows.items(), [("table", itemgetter(0)), ("rows", itemgetter(1))], as_json)


def _without_password(url: str) -> str:
    """Return a URL with its password masked."""
    if url.startswith("sqlite:"):
        return url
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


db.add_command(backup)
db.add_command(restore)
db.add_command(sql)


def _file(url: str) -> str | None:
    """Return the file of an SQLite URL, or None for any other URL."""
    path, _, _ = url.removeprefix("sqlite:///").partition("?")
    return unquote(path) if url.startswith("sqlite:///") else None
