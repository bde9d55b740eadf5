"""Find the numbers of the generations that match a query, a page at a time and without a scan.

Each filter, or group of filters, has an *access path*: an index in which the matching numbers
lie together and in order. The planner counts the first entries of every path and takes the path
with the fewest. The remaining filters are checked on the generations that this path yields.

Generator, model, status and decision share one path and one index. The index begins with generator
and model, of which there are only a few combinations, so each combination is looked up directly.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeAlias

from sqlalchemy import Connection, CursorResult

from muniment.store.database.engine import chunks
from muniment.store.queries import time_index
from muniment.store.queries.filters import MAX_NARROWING, Filters
from muniment.store.queries.query import Query, ScoreName, parse_order
from muniment.store.queries.score_conditions import ScoreConditions
from muniment.store.queries.statements import MAX_BRANCHES, AccessPath, Statements, union_sql

_COUNT_LIMITS = (2_000, 60_000)  # entries of each path that are counted to find the shortest
_MAX_DIRECT_READS = 200  # up to this many generations are read without the search index

Position: TypeAlias = tuple[float | None, int]
"""The place of a generation in a list: its score, if the list is ordered by one, and its number."""


class QueryPlanner:
    """Finds the numbers of the generations that match one query, in one snapshot of the store."""

    def __init__(self, connection: Connection, query: Query, words: Collection[str] = ()) -> None:
        """Prepare the checks and access paths of a query.

        `words` are terms that the search index must have for a generation. They have an access
        path but are no filter: see `used_search_index`.
        """
        self._query = query
        self._ranges = time_index.ranges(connection, *query.period)
        self._sql = Statements(connection)
        self._scores = ScoreConditions(self._sql)
        filters = Filters(self._sql, self._scores, query, words)
        self._checks, self._paths = filters.checks, filters.paths
        self._search_path = filters.search_path

    def page(self, before: int | None, size: int) -> list[int]:
        """Return up to `size` matching numbers below `before`, the newest first."""
        numbers: list[int] = []
        path = self._path
        for low, high in self._ranges:
            high = high if before is None else min(high, before - 1)
            if high >= low and len(numbers) < size:
                numbers += self._fetch_numbers(path, low, high, size - len(numbers))
        return numbers

    def ordered_page(self, after: Position | None, size: int) -> list[Position]:
        """Return up to `size` matches after a position, in the order of the query.

        In an order by score, generations without the score come last, the newest of them first.
        """
        positions: list[Position] = []
        if self._query.sort is not None:
            name, descending = parse_order(self._query.sort)
            score = self._scores.find(name)
            if after is None or after[0] is not None:
                positions = self._fetch_scored(score, descending, after, size)
                after = None
            if len(positions) == size:
                return positions
            self._checks["sort"] = f"NOT {self._scores.has(score)}"
        before = None if after is None else after[1]
        numbers = self.page(before, size - len(positions))
        return [*positions, *((None, number) for number in numbers)]

    def pages(self, size: int) -> Iterator[list[int]]:
        """Yield all matching numbers, up to `size` at a time, the newest first."""
        numbers = self.page(None, size)
        while numbers:
            yield numbers
            numbers = self.page(numbers[-1], size)

    def count(self) -> int:
        """Return the number of matches."""
        return self.select_all("count(*)").scalar() or 0

    def among(self, numbers: Sequence[int]) -> list[int]:
        """Return those of `numbers` that match the filters, the newest first."""
        matching: list[int] = []
        for part in chunks(numbers):
            within = f"g.seq IN ({', '.join(map(str, part))})"
            where = " AND ".join([within, *self._checks.values()])
            sql = f"SELECT g.seq FROM generation g WHERE {where}"
            matching += self._sql.execute(sql).scalars()
        return sorted(matching, reverse=True)

    def select_all(
        self, columns: str, join: str = "", group: str = "", *, yield_per: int | None = None
    ) -> CursorResult[*tuple[Any, ...]]:
        """Return SQL expressions over the table `g` for every match, in no particular order.

        `join` has JOIN clauses with other tables, and `group` a GROUP BY clause. With
        `yield_per`, that many rows are in memory at a time.
        """
        path = self._path
        checks = [check for name, check in self._checks.items() if name not in path.covers]
        if self._paths:
            checks.append(f"g.seq IN ({union_sql(path)})")
        ranges = [f"g.seq BETWEEN {low} AND {high}" for low, high in self._ranges]
        checks.append(f"({' OR '.join(ranges) or '1 = 0'})")
        where = " AND ".join(checks)
        sql = f"SELECT {columns} FROM generation g {join} WHERE {where} {group}"
        return self._sql.execute(sql, yield_per)

    @property
    def used_search_index(self) -> bool:
        """Whether the pages come from the search index, so that they have all `words`.

        Otherwise the caller must look for the words in the texts of the generations.
        """
        return self._path is self._search_path

    def _fetch_scored(
        self, score: ScoreName, descending: bool, after: Position | None, size: int
    ) -> list[Position]:
        """Return matches that have a score, in the order of the index of scores."""
        checks = dict(self._checks)
        conditions = [self._scores.indexed(score), "s.value IS NOT NULL", "g.seq = s.generation"]
        path = self._path
        if self._paths and self._sql.count(path, MAX_NARROWING) < MAX_NARROWING:
            checks = {name: check for name, check in checks.items() if name not in path.covers}
            conditions.append(f"s.generation IN ({union_sql(path)})")
        if after is not None:
            position = f"({self._sql.bind(after[0])}, {after[1]})"
            conditions.append(f"(s.value, s.generation) {'<' if descending else '>'} {position}")
        conditions += self._scores.is_newest("s")
        if score.full_name:  # of which a generation has one score
            conditions.append(self._scores.with_full_name(score))
        else:
            conditions.append(self._scores.is_first(descending))
        direction = "DESC" if descending else "ASC"
        result = self._sql.execute(
            "SELECT s.value, s.generation FROM score s CROSS JOIN generation g "
            f"WHERE {' AND '.join([*conditions, *checks.values()])} "
            f"ORDER BY s.value {direction}, s.generation {direction} LIMIT {size}"
        )
        return [(value, number) for value, number in result]

    def _fetch_numbers(self, path: AccessPath, low: int, high: int, size: int) -> list[int]:
        numbers: set[int] = set()
        for branches in chunks(path.branches, MAX_BRANCHES):
            selects = [self._branch_sql(path, *branch, low, high, size) for branch in branches]
            sql = selects[0]
            if len(selects) > 1:
                union = " UNION ".join(f"SELECT * FROM ({one}) AS branch" for one in selects)
                sql = f"{union} ORDER BY number DESC LIMIT {size}"
            numbers.update(self._sql.execute(sql).scalars())
        return sorted(numbers, reverse=True)[:size]

    def _branch_sql(
        self, path: AccessPath, source: str, condition: str, low: int, high: int, size: int
    ) -> str:
        number = path.number
        checks = [check for name, check in self._checks.items() if name not in path.covers]
        conditions = [condition, f"{number} BETWEEN {low} AND {high}"]
        if checks and number != "g.seq":
            source += " CROSS JOIN generation g"
            conditions.append(f"g.seq = {number}")
        where = " AND ".join(filter(None, [*conditions, *checks]))
        distinct = "DISTINCT " if path.distinct else ""
        return (
            f"SELECT {distinct}{number} AS number FROM {source} WHERE {where} "
            f"ORDER BY {number} DESC LIMIT {size}"
        )

    @cached_property
    def _path(self) -> AccessPath:
        """The path with the fewest entries."""
        paths = self._paths
        if not paths:
            return AccessPath(frozenset(), [("generation g", "")])
        if self._search_path is not None:
            return self._choose_beside_search(self._search_path)
        # The databases choose by averages. They would walk a million rows of a common status to
        # find the three generations of a rare tag, so the entries are counted here.
        for limit in _COUNT_LIMITS if len(paths) > 1 else ():
            counts = [self._sql.count(path, limit) for path in paths]
            if min(counts) < limit:
                return paths[counts.index(min(counts))]
        return paths[0]

    def _choose_beside_search(self, search_path: AccessPath) -> AccessPath:
        """Return the search path, possibly narrowed by another path, or that other path alone."""
        # The search index is slow to ask for one generation, and fast to read in sequence. So a
        # path with very few numbers replaces it, and one with few numbers narrows it.
        others = [path for path in self._paths if path is not search_path]
        counts = [self._sql.count(path, MAX_NARROWING) for path in others]
        least = min(counts, default=MAX_NARROWING)
        if least >= MAX_NARROWING:
            return search_path
        path = others[counts.index(least)]
        if least < _MAX_DIRECT_READS:
            return path
        self._checks = {name: v for name, v in self._checks.items() if name not in path.covers}
        (source, condition) = search_path.branches[0]
        number = self._sql.without_index(search_path.number)
        narrowed = f"{condition} AND {number} IN ({union_sql(path)})"
        self._search_path = replace(search_path, branches=[(source, narrowed)])
        return self._search_path
