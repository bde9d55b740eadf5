"""SQL statements with bound parameters, and the access paths that they read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, CursorResult

from muniment.store.database.engine import chunks
from muniment.validation import check_text

MAX_BRANCHES = 200  # branches in one statement


@dataclass(frozen=True, slots=True)
class AccessPath:
    """SQL that yields the numbers of matching generations in the order of an index.

    Attributes:
        covers: Names of the filters that need no further check.
        branches: Pairs of a FROM clause and a condition. Each yields numbers in order.
        number: The column that has the numbers.
        distinct: Whether one branch can yield a number more than once.
    """

    covers: frozenset[str]
    branches: Sequence[tuple[str, str]]
    number: str = "g.seq"
    distinct: bool = False


class Statements:
    """SQL statements on one connection, which share the parameters that were bound."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._parameters: dict[str, Any] = {}

    def execute(self, sql: str, yield_per: int | None = None) -> CursorResult[*tuple[Any, ...]]:
        """Run SQL with the parameters. With `yield_per`, that many rows are in memory at a time."""
        # SQLAlchemy's compilation of statements takes longer than most of these statements run.
        options = {} if yield_per is None else {"yield_per": yield_per}
        return self.connection.exec_driver_sql(sql, self._parameters, execution_options=options)

    def bind(self, value: Any) -> str:
        """Add a parameter and return its placeholder."""
        if isinstance(value, str):
            check_text("query", value)
        name = f"p{len(self._parameters)}"
        self._parameters[name] = value
        return f":{name}" if self.connection.dialect.name == "sqlite" else f"%({name})s"

    def count(self, path: AccessPath, limit: int) -> int:
        """Return the number of entries of a path, or at least `limit` if there are more."""
        count = 0
        for branches in chunks(path.branches, MAX_BRANCHES):
            parts = [f"SELECT 1 FROM {source} WHERE {condition}" for source, condition in branches]
            sql = f"SELECT count(*) FROM ({' UNION ALL '.join(parts)} LIMIT {limit}) AS path"
            count += self.execute(sql).scalar() or 0
            if count >= limit:
                break
        return count

    def without_index(self, column: str) -> str:
        """Return a column as an expression for which SQLite does not use an index."""
        # In SQLite a unary plus rules out the index. The planner has chosen a path, and SQLite
        # must not replace it.
        return f"+{column}" if self.connection.dialect.name == "sqlite" else column


def union_sql(path: AccessPath) -> str:
    """Return SQL for all numbers of a path.

    SQLite limits the terms of a compound SELECT, so that each has at most `MAX_BRANCHES`.
    """
    selects = [
        f"SELECT {path.number} AS number FROM {source} WHERE {condition}"
        for source, condition in path.branches
    ]
    while len(selects) > MAX_BRANCHES:
        selects = [
            f"SELECT number FROM ({' UNION '.join(part)}) AS part"
            for part in chunks(selects, MAX_BRANCHES)
        ]
    return " UNION ".join(selects)
