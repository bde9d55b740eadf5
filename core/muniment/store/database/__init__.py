"""Access to the database: engines, tables, column types, migrations and leases.

`open_database` returns the `Database` of a URL. The backends `sqlite` and `postgresql` have the
parts that differ between the two databases, and are imported only when they are used.
"""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from muniment.errors import StoreError
from muniment.store.database.engine import Database, Dialect

__all__ = ["Database", "Dialect", "open_database"]


_USE = "use sqlite:////path/to/muniment.db or postgresql://user@host/database"


def open_database(url: str, *, read_only: bool = False) -> Database:
    """Return the database of a SQLAlchemy URL, without connecting to it.

    With `read_only`, SQLite cannot write to the file. Raise StoreError if the URL is malformed or
    names neither an SQLite file nor a PostgreSQL database.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError(
            url,
            f"{url!r} is not the URL of a store; {_USE}",
        ) from None
    return _database_of(parsed, read_only)


def _database_of(url: URL, read_only: bool) -> Database:
    match url.get_backend_name():
        case "sqlite":
            from muniment.store.database.sqlite import SqliteFile

            return Database(url, SqliteFile(url, read_only=read_only), "sqlite")
        case "postgresql" | "postgres":
            from muniment.store.database.postgresql import PostgresqlDatabase

            return Database(url, PostgresqlDatabase(url), "postgresql")
    display_url = url.render_as_string(hide_password=True)
    raise StoreError(
        display_url,
        f"{display_url} is neither an SQLite file nor a PostgreSQL database; {_USE}",
    )
