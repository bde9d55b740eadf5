"""Which generations a query wants, by number, the newest first: a page at a time, never a scan.

Each filter, or group of filters, is a *way* into the table: an index in which what it wants lies
together, ordered by number. Of the ways that a query offers the one with the fewest entries is
taken, which a look at the beginning of each tells; the other filters are checked on what it yields.
Databases choose by averages, and would walk a million rows of a common status to find the three of
a rare tag.

Generator, model, status and decision are one way together: their index begins with the few
combinations of generator and model that there are, so that every combination of these filters is
looked up, and none is walked to.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from sqlalchemy import Connection, Result, select

from muniment.ledger.entries import milliseconds
from muniment.store.database import leases
from muniment.store.database.batches import chunks
from muniment.store.database.projections import seed_number
from muniment.store.database.tables import actor, generation, run
from muniment.store.database.types import PortableText
from muniment.store.queries import time_index
from muniment.store.queries.query import COLUMNS, GenerationRow, Query
from muniment.types import DECISIONS

MOST = 2**63 - 1
_LOOKS = (2_000, 60_000)  # entries of each way that are counted to find the shortest
_READ = 200  # generations that are rather read than looked up in an index of words
_NARROW = 20_000  # numbers that a search is narrowed to
_BRANCHES = 200  # in one statement
_DIGEST = re.compile(r"(?:[a-z0-9-]+:)?[0-9a-f]{4,}")
_SCHEMES = ("", "file-sha256:", "tree1-sha256:")
_ENDED = ("completed", "blocked", "failed", "interrupted")

Origin: TypeAlias = tuple[str, str, str]
"""A generator's name, a model's name and its digest; these are empty where no model runs."""


@dataclass(frozen=True, slots=True)
class AccessPath:
    """One way in: branches of SQL that yield numbers, each ordered by an index.

    A branch is a FROM clause and conditions; `number` is the column that holds the numbers.
    `covers` names the filters that need no further check, `distinct` says that a number may come
    more than once.
    """

    covers: frozenset[str]
    branches: Sequence[tuple[str, str]]
    number: str = "g.seq"
    distinct: bool = False


def page(
    connection: Connection, query: Query, before: int | None, size: int
) -> Sequence[GenerationRow]:
    """Return up to `size` of the wanted generations before number `before`, the newest first."""
    return rows(connection, QueryPlanner(connection, query).page(before, size))


def rows(connection: Connection, numbers: Sequence[int]) -> Sequence[GenerationRow]:
    """Return the rows of generations in the order of their numbers, the newest first."""
    found: list[GenerationRow] = []
    for part in chunks(numbers):
        found += connection.execute(
            select(*COLUMNS).where(generation.c.seq.in_(part)).order_by(generation.c.seq.desc())
        ).all()
    return found


class QueryPlanner:
    """Finds the numbers of one query's generations in one state of the store."""

    def __init__(self, connection: Connection, query: Query, words: Collection[str] = ()) -> None:
        """Read what the query asks; `words` are terms of the search index that all must have."""
        self._connection, self._query = connection, query
        self._parameters: dict[str, Any] = {}
        self._checks: dict[str, str] = {}
        self._ways: list[AccessPath] = []
        self._way: AccessPath | None = None
        self._match: AccessPath | None = None
        self._ranges: Sequence[tuple[int, int]] = [(0, MOST)]
        self._read(words)
        if query.since is not None or query.until is not None:
            since = None if query.since is None else milliseconds(query.since)
            until = None if query.until is None else milliseconds(query.until)
            self._ranges = time_index.ranges(connection, since, until)

    def page(self, before: int | None, size: int) -> list[int]:
        """Return up to `size` numbers below `before`, the newest first."""
        found: list[int] = []
        if self._way is None:
            self._way = self._shortest()
        for low, high in self._ranges:
            high = high if before is None else min(high, before - 1)
            if high >= low and len(found) < size:
                found += self._numbers(self._way, low, high, size - len(found))
        return found

    def among(self, numbers: Sequence[int]) -> list[int]:
        """Return those of some numbers that the query wants, the newest first."""
        found: list[int] = []
        for part in chunks(numbers):
            within = f"g.seq IN ({', '.join(map(str, part))})"
            where = " AND ".join([within, *self._checks.values()])
            sql = f"SELECT g.seq FROM generation g WHERE {where}"
            found += self._run(sql).scalars()
        return sorted(found, reverse=True)

    def all(self, columns: str) -> Result[*tuple[Any, ...]]:
        """Return columns of the table `g` for every wanted generation, in no order."""
        way = self._shortest()
        checks = [check for name, check in self._checks.items() if name not in way.covers]
        if self._ways:
            checks.append(f"g.seq IN ({_union(way)})")
        spans = [f"g.seq BETWEEN {low} AND {high}" for low, high in self._ranges]
        checks.append(f"({' OR '.join(spans) or '1 = 0'})")
        sql = f"SELECT {columns} FROM generation g WHERE {' AND '.join(checks)}"
        return self._run(sql)

    def _numbers(self, way: AccessPath, low: int, high: int, size: int) -> list[int]:
        found: set[int] = set()
        for start in range(0, len(way.branches), _BRANCHES):
            branches = way.branches[start : start + _BRANCHES]
            selects = [self._select(way, *branch, low, high, size) for branch in branches]
            sql = selects[0]
            if len(selects) > 1:
                union = " UNION ".join(f"SELECT * FROM ({one}) AS branch" for one in selects)
                sql = f"{union} ORDER BY number DESC LIMIT {size}"
            found.update(self._run(sql).scalars())
        return sorted(found, reverse=True)[:size]

    def _select(
        self, way: AccessPath, source: str, condition: str, low: int, high: int, size: int
    ) -> str:
        number = way.number
        checks = [check for name, check in self._checks.items() if name not in way.covers]
        conditions = [condition, f"{number} BETWEEN {low} AND {high}"]
        if checks and number != "g.seq":
            source += " CROSS JOIN generation g"
            conditions.append(f"g.seq = {number}")
        where = " AND ".join(filter(None, [*conditions, *checks]))
        distinct = "DISTINCT " if way.distinct else ""
        return (
            f"SELECT {distinct}{number} AS number FROM {source} WHERE {where} "
            f"ORDER BY {number} DESC LIMIT {size}"
        )

    @property
    def matched(self) -> bool:
        """Whether what a page has was found by the match; otherwise nobody looked at it yet."""
        return self._way is self._match

    def _shortest(self) -> AccessPath:
        ways = self._ways
        if not ways:
            return AccessPath(frozenset(), [("generation g", "")])
        if self._match is not None:
            return self._beside(self._match)
        for look in _LOOKS if len(ways) > 1 else ():
            counted = [self._count(way, look) for way in ways]
            if min(counted) < look:
                return ways[counted.index(min(counted))]
        return ways[0]

    def _beside(self, match: AccessPath) -> AccessPath:
        """Return the match, narrowed by a way that leads to few, or a way that leads to very few.

        An index of words is slow to ask about one generation, and fast to run through.
        """
        others = [way for way in self._ways if way is not match]
        counted = [self._count(way, _NARROW) for way in others]
        least = min(counted, default=_NARROW)
        if least >= _NARROW:
            return match
        way = others[counted.index(least)]
        if least < _READ:
            return way
        self._checks = {name: v for name, v in self._checks.items() if name not in way.covers}
        (source, condition) = match.branches[0]
        narrowed = f"{condition} AND {self._plain(match.number)} IN ({_union(way)})"
        self._match = replace(match, branches=[(source, narrowed)])
        return self._match

    def _count(self, way: AccessPath, most: int) -> int:
        """Return how many entries a way has, up to `most`."""
        counted = 0
        for start in range(0, len(way.branches), _BRANCHES):
            parts = [
                f"SELECT 1 FROM {source} WHERE {condition}"
                for source, condition in way.branches[start : start + _BRANCHES]
            ]
            sql = f"SELECT count(*) FROM ({' UNION ALL '.join(parts)} LIMIT {most}) AS way"
            counted += self._run(sql).scalar() or 0
            if counted >= most:
                break
        return counted

    # ---- what the query offers and asks -------------------------------------------------------

    def _read(self, words: Collection[str]) -> None:
        """Note the ways in, those first that lead to little more often, and all that is asked."""
        query = self._query
        if query.ids is not None:
            names = [self._parameter(id) for id in query.ids]
            within = f"g.id IN ({', '.join(names) or 'NULL'})"
            self._add({"ids": within}, [("generation g", within)])
        if query.seed is not None:
            self._equal("seed", seed_number(query.seed))
        if query.run is not None:
            number = self._connection.scalar(select(run.c.seq).where(run.c.id == query.run))
            self._equal("run", -1 if number is None else number)
        if query.tag is not None:
            self._tag(query.tag)
        if words:
            self._match = self._search(sorted(words))
            self._ways.append(self._match)
        if query.actor is not None:
            self._actor(query.actor)
        if query.filter is not None:
            self._filter(query.filter, query.decision)
        self._kinds()
        if query.since is not None:
            since = self._parameter(milliseconds(query.since))
            self._checks["since"] = f"{self._plain('g.started_at')} >= {since}"
        if query.until is not None:
            until = self._parameter(milliseconds(query.until))
            self._checks["until"] = f"{self._plain('g.started_at')} < {until}"

    def _search(self, words: Sequence[str]) -> AccessPath:
        if self._connection.dialect.name == "sqlite":
            # Terms are letters, digits and marks: between quotes nothing in them is an operator.
            match = self._parameter(" AND ".join(f'"{word}"' for word in words))
            return AccessPath(frozenset(), [("search s", f"s.search MATCH {match}")], "s.rowid")
        held = self._parameter(list(words))
        return AccessPath(frozenset(), [("search s", f"s.terms @> {held}::text[]")], "s.generation")

    def _equal(self, column: str, value: int) -> None:
        self._add(
            {column: f"{self._plain(f'g.{column}')} = {value}"},
            [("generation g", f"g.{column} = {value}")],
        )

    def _actor(self, name: str) -> None:
        numbers = self._connection.scalars(select(actor.c.seq).where(actor.c.name == name)).all()
        within = ", ".join(map(str, numbers)) or "NULL"
        self._add(
            {"actor": f"{self._plain('g.actor')} IN ({within})"},
            [("generation g", f"g.actor = {number}") for number in numbers],
        )

    def _tag(self, tag: str) -> None:
        name = self._parameter(tag)
        check = f"SELECT 1 FROM generation_tag t WHERE t.tag = {name} AND t.generation = g.seq"
        self._add(
            {"tag": f"EXISTS ({check})"},
            [("generation_tag t", f"t.tag = {name}")],
            "t.generation",
            distinct=True,
        )

    def _filter(self, filter: str, decision: str | None) -> None:
        name = self._parameter(filter)
        decisions = DECISIONS if decision is None else (decision,)
        listed = ", ".join(f"'{one}'" for one in decisions)
        check = (
            f"SELECT 1 FROM verdict v WHERE v.filter = {name} AND v.decision IN ({listed}) "
            "AND v.generation = g.seq"
        )
        self._add(
            {"filter": f"EXISTS ({check})"},
            [("verdict v", f"v.filter = {name} AND v.decision = '{one}'") for one in decisions],
            "v.generation",
            distinct=True,
        )

    def _kinds(self) -> None:
        """Note generator, model, status and decision, which share an index.

        A started generation counts as interrupted as soon as its process is gone.
        """
        query, plain = self._query, self._plain
        checks: dict[str, str] = {}
        decision = query.decision if query.filter is None else None
        if query.generator is not None:
            checks["generator"] = f"{plain('g.generator')} = {self._parameter(query.generator)}"
        if query.model is not None:
            checks["model"] = self._model(query.model)
        if decision is not None:
            checks["decision"] = f"{plain('g.decision')} = '{decision}'"
        others: list[str] = []  # numbers that the index has under another status
        statuses: tuple[str, ...] = ("started", *_ENDED)
        if query.status == "started":
            running = sorted(leases.running(self._connection))
            within = f"g.seq IN ({', '.join(map(str, running)) or 'NULL'})"
            self._add({"status": within}, [("generation g", within)])
        elif query.status == "interrupted":
            dead = [number for number, _ in leases.interrupted(self._connection)]
            checks["status"] = f"{plain('g.status')} = 'interrupted'"
            statuses = ("interrupted",)
            if dead:
                within = f"g.seq IN ({', '.join(map(str, dead))})"
                others = [" AND ".join([within, *(v for k, v in checks.items() if k != "status")])]
                checks["status"] = f"({checks['status']} OR {within})"
        elif query.status is not None:
            checks["status"] = f"{plain('g.status')} = '{query.status}'"
            statuses = (query.status,)
        if query.status == "started" or not checks:
            self._checks |= checks
            return
        combinations = [
            f"{origin} AND g.status = '{status}' AND g.decision {wanted}"
            for origin in self._origins()
            for status in statuses
            for wanted in _decisions(status, decision)
        ]
        self._add(checks, [("generation g", condition) for condition in combinations + others])

    def _origins(self) -> Iterator[str]:
        """Yield conditions for the wanted ones of all pairs of generator and model there are."""
        query = self._query
        for generator, name, digest in _origins(self._connection, query.generator):
            if query.model is not None and not _is_model(query.model, name, digest):
                continue
            yield (
                f"g.generator = {self._parameter(generator)} "
                f"AND g.model_name = {self._parameter(name)} "
                f"AND g.model_digest = {self._parameter(digest)}"
            )

    def _model(self, wanted: str) -> str:
        digest = self._plain("g.model_digest")
        conditions = [f"{self._plain('g.model_name')} = {self._parameter(wanted)}"]
        for prefix in _prefixes(wanted):
            low, high = self._parameter(prefix), self._parameter(prefix + "~")
            conditions.append(f"({digest} >= {low} AND {digest} < {high})")
        return f"({' OR '.join(conditions)})"

    def _add(
        self,
        checks: dict[str, str],
        branches: Sequence[tuple[str, str]],
        number: str = "g.seq",
        *,
        distinct: bool = False,
    ) -> None:
        self._checks |= checks
        nothing = [("generation g", "g.seq = -1")]
        self._ways.append(AccessPath(frozenset(checks), branches or nothing, number, distinct))

    def _run(self, sql: str) -> Result[*tuple[Any, ...]]:
        # Past SQLAlchemy's reading of statements, which takes longer than most of these do.
        return self._connection.exec_driver_sql(sql, self._parameters)

    def _parameter(self, value: Any) -> str:
        dialect = self._connection.dialect
        name = f"p{len(self._parameters)}"
        self._parameters[name] = (
            PortableText().process_bind_param(value, dialect) if isinstance(value, str) else value
        )
        return f":{name}" if dialect.name == "sqlite" else f"%({name})s"

    def _plain(self, column: str) -> str:
        """Return a column so that SQLite does not take its index: the way in is chosen here."""
        return f"+{column}" if self._connection.dialect.name == "sqlite" else column


def _union(way: AccessPath) -> str:
    return " UNION ".join(
        f"SELECT {way.number} FROM {source} WHERE {condition}" for source, condition in way.branches
    )


def _decisions(status: str, wanted: str | None) -> Sequence[str]:
    if status == "started":  # nothing is decided yet
        return () if wanted else ("IS NULL",)
    return [f"= '{wanted}'"] if wanted else [f"= '{decision}'" for decision in DECISIONS]


def _prefixes(model: str) -> Sequence[str]:
    if not _DIGEST.fullmatch(model):
        return ()
    return [scheme + model for scheme in (_SCHEMES[:1] if ":" in model else _SCHEMES)]


def _is_model(wanted: str, name: str, digest: str) -> bool:
    return name == wanted or any(map(digest.startswith, _prefixes(wanted)))


def _origins(connection: Connection, generator: str | None) -> Iterator[Origin]:
    """Yield every generator and model that there are together, each found by a step in the index.

    SQLite takes no more than the first column of a comparison of rows, so each has its own step.
    """
    generators = [generator] if generator is not None else _steps(connection, "generator")
    for found in generators:
        held = ("generator", found)
        for name in _steps(connection, "model_name", held):
            for digest in _steps(connection, "model_digest", held, ("model_name", name)):
                yield found, name, digest


def _steps(connection: Connection, column: str, *within: tuple[str, str]) -> Iterator[str]:
    """Yield the different values of a column, each by one look into the index."""
    sign = ":{}" if connection.dialect.name == "sqlite" else "%({})s"
    conditions = [f"{name} = {sign.format(name)}" for name, _ in within]
    values = dict(within)
    more = ""
    while True:
        where = " AND ".join([*conditions, more] if more else conditions) or "1 = 1"
        sql = f"SELECT {column} FROM generation WHERE {where} ORDER BY {column} LIMIT 1"
        value = connection.exec_driver_sql(sql, values).scalar()
        if value is None:
            return
        yield value
        more, values = f"{column} > {sign.format('after')}", values | {"after": value}
