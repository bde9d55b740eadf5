"""Reading columns as the database holds them, for whoever does not believe the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Table, type_coerce
from sqlalchemy.types import NullType

from muniment.store.columns import Words


def raw(table: Table, *names: str) -> list[ColumnElement[Any]]:
    """Return the columns of a table, or those named, whatever type their values should have."""
    columns = [table.c[name] for name in names] if names else list(table.c)
    return [
        column
        if isinstance(column.type, Words)
        else type_coerce(column, NullType()).label(column.name)
        for column in columns
    ]
