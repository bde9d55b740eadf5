"""The command group `muniment db`."""

from __future__ import annotations

import click

from muniment.cli.context import CliContext
from muniment.cli.db_backup import backup, restore
from muniment.cli.db_sql import sql
from muniment.cli.lazy import LazyGroup
from muniment.cli.options import json_option
from muniment.cli.output import print_fields, table, write_data, write_json, write_note


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
    from muniment.store import Store

    with Store.open(context.store_url, create=False, outdated=True) as store:
        state = store.status()
    if as_json:
        write_json(
            {
                "url": state.url,
                "path": str(state.path) if state.path else None,
                "revision": state.revision,
                "head": state.head,
                "current": state.current,
                "entries": state.entries,
                "bytes": state.size,
            }
        )
        return
    schema = "current" if state.current else "outdated; run `muniment db upgrade`"
    print_fields(
        [
            ("store", str(state.path or state.url)),
            ("schema", f"{state.revision} ({schema})"),
            ("entries", f"{state.entries:,}"),
            ("size", f"{state.size:,} bytes"),
        ]
    )


@db.command
@click.pass_obj
def upgrade(context: CliContext) -> None:
    """Create the store, or upgrade its schema.

    Entries are not changed.
    """
    from muniment.store import Store

    with Store.open(context.store_url, create=True, outdated=True) as store:
        copy = store.upgrade()
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
    from muniment.cli.progress import fraction
    from muniment.store import Store

    with (
        Store.open(context.store_url, create=False) as store,
        fraction("rebuilding") as progress,
    ):
        rows = store.rebuild(lambda step, done, total: progress(step, done / total))
    if as_json:
        write_json(rows)
        return
    table(("table", "rows"), [(name, f"{count}") for name, count in rows.items()])


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
    from urllib.parse import unquote

    path, _, _ = url.removeprefix("sqlite:///").partition("?")
    return unquote(path) if url.startswith("sqlite:///") else None
