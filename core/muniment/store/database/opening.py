"""The database of a URL. Only the module of its kind is imported."""

from __future__ import annotations

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from muniment.config import without_password
from muniment.errors import UsageError
from muniment.store.database.engine import Database

_USE = "use sqlite:////path/to/muniment.db or postgresql://user@host/database"


def open_database(url: str, *, read_only: bool = False) -> Database:
    """Return the database of a SQLAlchemy URL, without connecting to it.

    With `read_only`, SQLite cannot write to the file. Raise UsageError if the URL is malformed or
    names neither an SQLite file nor a PostgreSQL database.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the second for a port that is not a number
        raise UsageError(f"{without_password(url)!r} is not the URL of a store; {_USE}") from None
    match parsed.get_backend_name():
        case "sqlite":
            from muniment.store.database.sqlite import SqliteDatabase

            return SqliteDatabase(parsed, read_only=read_only)
        case "postgresql" | "postgres":
            from muniment.store.database.postgresql import PostgresqlDatabase

            return PostgresqlDatabase(parsed)
    raise UsageError(
        f"{without_password(url)} is neither an SQLite file nor a PostgreSQL database; {_USE}"
    )
