"""`muniment db`: the database that holds the evidence."""

from __future__ import annotations

import click

from muniment.cli.context import CliContext
from muniment.cli.db_backup import backup, restore
from muniment.cli.options import json_option
from muniment.cli.output import print_fields, table, write_data, write_json, write_note


@click.group
def db() -> None:
    """Look after the store."""


@db.command
@json_option
@click.pass_obj
def path(context: CliContext, as_json: bool) -> None:
    """Print where the store is, or would be: the file of an SQLite store, else the URL."""
    url = _shown(context.store_url)
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
        found = store.status()
    if as_json:
        write_json(
            {
                "url": found.url,
                "path": str(found.path) if found.path else None,
                "revision": found.revision,
                "head": found.head,
                "current": found.current,
                "entries": found.entries,
                "bytes": found.size,
            }
        )
        return
    schema = "current" if found.current else "older; `muniment db upgrade` brings it up to date"
    print_fields(
        [
            ("store", str(found.path or found.url)),
            ("schema", f"{found.revision} ({schema})"),
            ("entries", f"{found.entries:,}"),
            ("size", f"{found.size:,} bytes"),
        ]
    )


@db.command
@click.pass_obj
def upgrade(context: CliContext) -> None:
    """Make the store, or bring its schema up to date; entries stay as they are."""
    from muniment.store import Store

    with Store.open(context.store_url, create=True, outdated=True) as store:
        copy = store.upgrade()
        found = store.status()
    if copy:
        write_note(f"the store as it was is kept in {copy}; delete it when all is well")
    write_data(f"{found.path or found.url}  schema {found.revision}")


@db.command
@json_option
@click.pass_obj
def rebuild(context: CliContext, as_json: bool) -> None:
    """Make the tables to find by again, from entries and payloads.

    Lists and searches then answer as they should; the evidence itself is only read. Others can
    read meanwhile, but not write. Off a terminal the columns are: table, rows.
    """
    from muniment.cli.progress import fraction
    from muniment.store import Store

    with (
        Store.open(context.store_url, create=False) as store,
        fraction("rebuilding") as progress,
    ):
        made = store.rebuild(lambda what, done, total: progress(what, done / total))
    if as_json:
        write_json(made)
        return
    table(("table", "rows"), [(name, f"{rows}") for name, rows in made.items()])


def _shown(url: str) -> str:
    """Return a URL without its password; that of a file has none."""
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


def _file(url: str) -> str | None:
    """Return the file of an SQLite URL, whose path is escaped; None for any other."""
    from urllib.parse import unquote

    path, _, _ = url.removeprefix("sqlite:///").partition("?")
    return unquote(path) if url.startswith("sqlite:///") else None
