"""Partial indexes, declared apart from the tables. Only migrations import this module."""

# SQLAlchemy imports the dialect of each condition below when the index is declared. Importing that
# of PostgreSQL took a twelfth of the time of `muniment audit list`.

from __future__ import annotations

from sqlalchemy import Index

from muniment.store.database.tables import generation

_is_line = generation.c.line.is_not(None)
_is_open = generation.c.status == "started"

Index(
    "ix_generation_run_line",
    generation.c.run,
    generation.c.line,
    sqlite_where=_is_line,
    postgresql_where=_is_line,
)
Index("ix_generation_open", generation.c.seq, sqlite_where=_is_open, postgresql_where=_is_open)
