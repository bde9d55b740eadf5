"""Find the numbers of the generations that match a query, a page at a time and without a scan.

Each filter, or group of filters, has an *access path*: an index in which the matching numbers
lie together and in order. The planner counts the first entries of every path and takes the path
with the fewest. The remaining filters are checked on the generations that this path yields.

Generator, model, status and decision share one path and one index. The index begins with generator
and model, of which there are only a few combinations, so each combination is looked up directly.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

from sqlalchemy import Connection, CursorResult

from muniment.ledger.fields import milliseconds
from muniment.store.database import leases
from muniment.store.database.engine import chunks
from muniment.store.database.projections import seed_number
from muniment.store.queries import time_index
from muniment.store.queries.full_names import full_name_sql, is_newest_sql, recorded_full_name
from muniment.store.queries.origins import plugin_sets, policy_numbers
from muniment.store.queries.query import (
    Query,
    ScoreName,
    digest_prefixes,
    distinct_origins,
    find_score,
    is_model,
    parse_condition,
    parse_order,
)
from muniment.types.verdicts import DECISIONS
from muniment.validation import check_text

_COUNT_LIMITS = (2_000, 60_000)  # entries of each path that are counted to find the shortest
_MAX_DIRECT_READS = 200  # up to this many generations are read without the search index
_MAX_NARROWING = 20_000  # up to this many numbers are joined with the search index
_MAX_BRANCHES = 200  # branches in one statement
_ENDED = ("completed", "blocked", "failed", "interrupted")
_NOT_DECIDED = ("failed", "interrupted")  # without a finding, nothing allowed their outputs
UNDECIDED = f"g.decision = 'allow' AND g.status IN {_NOT_DECIDED}"
"""SQL for an ended generation whose recorded `allow` is the lack of any finding."""


Position: TypeAlias = tuple[float | None, int]
"""The place of a generation in a list: its score, if the list is ordered by one, and its number."""


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


class QueryPlanner:
    """Finds the numbers of the generations that match one query, in one snapshot of the store."""

    def __init__(self, connection: Connection, query: Query, words: Collection[str] = ()) -> None:
        """Prepare the checks and access paths of a query.

        `words` are terms that the search index must have for a generation. They have an access
        path but are no filter: see `used_search_index`.
        """
        self._connection, self._query = connection, query
        self._parameters: dict[str, Any] = {}
        self._checks: dict[str, str] = {}  # an SQL condition on `g` for each filter
        self._paths: list[AccessPath] = []
        self._search_path: AccessPath | None = None
        self._ranges = time_index.ranges(connection, *query.period)
        self._add_filters(words)

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
            score = self._find_score(name)
            if after is None or after[0] is not None:
                positions = self._fetch_scored(score, descending, after, size)
                after = None
            if len(positions) == size:
                return positions
            self._checks["sort"] = f"NOT {self._has_score(score)}"
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
            matching += self._execute(sql).scalars()
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
            checks.append(f"g.seq IN ({_union_sql(path)})")
        ranges = [f"g.seq BETWEEN {low} AND {high}" for low, high in self._ranges]
        checks.append(f"({' OR '.join(ranges) or '1 = 0'})")
        where = " AND ".join(checks)
        sql = f"SELECT {columns} FROM generation g {join} WHERE {where} {group}"
        return self._execute(sql, yield_per)

    @property
    def used_search_index(self) -> bool:
        """Whether the pages come from the search index, so that they have all `words`.

        Otherwise the caller must look for the words in the texts of the generations.
        """
        return self._path is self._search_path

    # ---- reading a path -----------------------------------------------------------------------

    def _fetch_scored(
        self, score: ScoreName, descending: bool, after: Position | None, size: int
    ) -> list[Position]:
        """Return matches that have a score, in the order of the index of scores."""
        checks = dict(self._checks)
        conditions = [self._score_condition(score), "s.value IS NOT NULL", "g.seq = s.generation"]
        path = self._path
        if self._paths and self._count(path, _MAX_NARROWING) < _MAX_NARROWING:
            checks = {name: check for name, check in checks.items() if name not in path.covers}
            conditions.append(f"s.generation IN ({_union_sql(path)})")
        if after is not None:
            position = f"({self._bind(after[0])}, {after[1]})"
            conditions.append(f"(s.value, s.generation) {'<' if descending else '>'} {position}")
        conditions += self._is_newest("s")
        if score.full_name:  # of which a generation has one score
            conditions.append(self._with_full_name(score))
        else:
            conditions.append(self._is_first_score(descending))
        direction = "DESC" if descending else "ASC"
        result = self._execute(
            "SELECT s.value, s.generation FROM score s CROSS JOIN generation g "
            f"WHERE {' AND '.join([*conditions, *checks.values()])} "
            f"ORDER BY s.value {direction}, s.generation {direction} LIMIT {size}"
        )
        return [(value, number) for value, number in result]

    def _is_first_score(self, descending: bool) -> str:
        """Return a condition on `s`, which holds for one of the equally named scores of `g`.

        An evaluator can score a generation several times, with different parameters.
        """
        comes_before = ">" if descending else "<"
        earlier = "(t.value = s.value AND (t.entry, t.position) < (s.entry, s.position))"
        conditions = [
            "t.generation = s.generation",
            f"{self._without_index('t.name')} = s.name",
            f"{self._without_index('t.evaluator')} = s.evaluator",
            f"(t.value {comes_before} s.value OR {earlier})",
            *self._is_newest("t"),
        ]
        return f"NOT EXISTS (SELECT 1 FROM score t WHERE {' AND '.join(conditions)})"

    def _is_newest(self, score: str) -> Sequence[str]:
        """Return a condition that a score was not replaced, if there can be such scores."""
        return [is_newest_sql(self._connection, score)] if self._has_added_scores else []

    @cached_property
    def _has_added_scores(self) -> bool:
        return self._execute("SELECT 1 FROM event WHERE kind = 'scored' LIMIT 1").scalar() == 1

    def _fetch_numbers(self, path: AccessPath, low: int, high: int, size: int) -> list[int]:
        numbers: set[int] = set()
        for branches in chunks(path.branches, _MAX_BRANCHES):
            selects = [self._branch_sql(path, *branch, low, high, size) for branch in branches]
            sql = selects[0]
            if len(selects) > 1:
                union = " UNION ".join(f"SELECT * FROM ({one}) AS branch" for one in selects)
                sql = f"{union} ORDER BY number DESC LIMIT {size}"
            numbers.update(self._execute(sql).scalars())
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

    # ---- choosing a path ----------------------------------------------------------------------

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
            counts = [self._count(path, limit) for path in paths]
            if min(counts) < limit:
                return paths[counts.index(min(counts))]
        return paths[0]

    def _choose_beside_search(self, search_path: AccessPath) -> AccessPath:
        """Return the search path, possibly narrowed by another path, or that other path alone."""
        # The search index is slow to ask for one generation, and fast to read in sequence. So a
        # path with very few numbers replaces it, and one with few numbers narrows it.
        others = [path for path in self._paths if path is not search_path]
        counts = [self._count(path, _MAX_NARROWING) for path in others]
        least = min(counts, default=_MAX_NARROWING)
        if least >= _MAX_NARROWING:
            return search_path
        path = others[counts.index(least)]
        if least < _MAX_DIRECT_READS:
            return path
        self._checks = {name: v for name, v in self._checks.items() if name not in path.covers}
        (source, condition) = search_path.branches[0]
        number = self._without_index(search_path.number)
        narrowed = f"{condition} AND {number} IN ({_union_sql(path)})"
        self._search_path = replace(search_path, branches=[(source, narrowed)])
        return self._search_path

    def _count(self, path: AccessPath, limit: int) -> int:
        """Return the number of entries of a path, or at least `limit` if there are more."""
        count = 0
        for branches in chunks(path.branches, _MAX_BRANCHES):
            parts = [f"SELECT 1 FROM {source} WHERE {condition}" for source, condition in branches]
            sql = f"SELECT count(*) FROM ({' UNION ALL '.join(parts)} LIMIT {limit}) AS path"
            count += self._execute(sql).scalar() or 0
            if count >= limit:
                break
        return count

    # ---- filters: a check each, and their access paths ----------------------------------------

    def _add_filters(self, words: Collection[str]) -> None:
        """Add the checks and paths of the query, beginning with those that usually yield little."""
        query = self._query
        if query.ids is not None:
            names = [self._bind(id) for id in query.ids]
            within = f"g.id IN ({', '.join(names) or 'NULL'})"
            self._add({"ids": within}, [("generation g", within)])
        if query.seed is not None:
            self._add_equality("seed", seed_number(query.seed))
        if query.run is not None:
            sql = f"SELECT seq FROM run WHERE id = {self._bind(query.run)}"
            number = self._execute(sql).scalar()
            self._add_run(-1 if number is None else number)
        if query.tag is not None:
            has_tag = f"c.tag = {self._bind(query.tag)}"
            self._add_child("tag", "generation_tag", has_tag, [has_tag])
        if query.category is not None:
            self._add_category(query.category)
        if query.reviewed is not None:
            self._add_reviewed(query.reviewed)
        if words:
            self._search_path = self._path_of_search(sorted(words))
            self._paths.append(self._search_path)
        if query.actor is not None:
            self._add_actor(query.actor)
        if query.filter is not None:
            self._add_filter(query.filter, query.decision)
        if query.policy is not None:
            self._add_values("policy", policy_numbers(self._connection, query.policy))
        if query.made_with is not None:
            self._add_values("plugins", plugin_sets(self._connection, query.made_with))
        self._add_shared_index()
        for condition in query.scores or ():
            self._add_score(condition)
        for operator, at in zip((">=", "<"), query.period, strict=True):
            if at is not None:
                column, value = self._without_index("g.started_at"), self._bind(milliseconds(at))
                self._checks[operator] = f"{column} {operator} {value}"

    def _path_of_search(self, words: Sequence[str]) -> AccessPath:
        if self._connection.dialect.name == "sqlite":
            # Terms are letters, digits and marks: inside quotes, FTS5 sees no operator in them.
            match = self._bind(" AND ".join(f'"{word}"' for word in words))
            return AccessPath(frozenset(), [("search s", f"s.search MATCH {match}")], "s.rowid")
        terms = self._bind(list(words))
        return AccessPath(
            frozenset(), [("search s", f"s.terms @> {terms}::text[]")], "s.generation"
        )

    def _add_equality(self, column: str, value: int) -> None:
        self._add(
            {column: f"{self._without_index(f'g.{column}')} = {value}"},
            [("generation g", f"g.{column} = {value}")],
        )

    def _add_run(self, number: int) -> None:
        if self._query.item is None:
            self._add_equality("run", number)
            return
        in_item = f"c.run = {number} AND c.item = {self._query.item}"
        self._add_child("item", "cell", in_item, [in_item])

    def _add_actor(self, name: str) -> None:
        sql = f"SELECT seq FROM actor WHERE name = {self._bind(name)}"
        self._add_values("actor", self._execute(sql).scalars().all())

    def _add_values(self, column: str, values: Iterable[Any]) -> None:
        """Add a filter by several values of a column that an index begins with."""
        bound = [self._bind(value) for value in values]
        self._add(
            {column: f"{self._without_index(f'g.{column}')} IN ({', '.join(bound) or 'NULL'})"},
            [("generation g", f"g.{column} = {value}") for value in bound],
        )

    def _add_category(self, category: str) -> None:
        found = f"c.category = {self._bind(category)}"
        if self._query.filter is not None:
            found += (
                " AND EXISTS (SELECT 1 FROM verdict v WHERE v.generation = c.generation "
                f"AND v.position = c.position AND v.filter = {self._bind(self._query.filter)})"
            )
        self._add_child("category", "verdict_category", found, [found])

    def _add_reviewed(self, reviewed: bool) -> None:
        is_review = "c.kind = 'review'"
        exists = f"EXISTS (SELECT 1 FROM event c WHERE {is_review} AND c.subject = g.seq)"
        if reviewed:
            self._add({"reviewed": exists}, [("event c", is_review)], "c.subject", distinct=True)
        else:  # most generations, so that there is no path
            self._checks["reviewed"] = f"NOT {exists}"

    def _add_filter(self, filter: str, decision: str | None) -> None:
        name = self._bind(filter)
        decisions = DECISIONS if decision is None else (decision,)
        listed = ", ".join(f"'{one}'" for one in decisions)
        branches = [f"c.filter = {name} AND c.decision = '{one}'" for one in decisions]
        self._add_child(
            "filter", "verdict", f"c.filter = {name} AND c.decision IN ({listed})", branches
        )

    def _add_child(self, name: str, table: str, matching: str, branches: Sequence[str]) -> None:
        """Add a filter by rows of a table of which a generation has several."""
        self._add(
            {name: f"EXISTS (SELECT 1 FROM {table} c WHERE {matching} AND c.generation = g.seq)"},
            [(f"{table} c", branch) for branch in branches],
            "c.generation",
            distinct=True,
        )

    def _add_score(self, text: str) -> None:
        name, operator, value = parse_condition(text)
        score = self._find_score(name)
        compared = f"s.value {operator} {self._bind(value)}"
        self._checks[text] = self._has_score(score, compared)
        # The index is in the order of the values, so that each page sorts all numbers of this path.
        path = AccessPath(
            frozenset() if score.full_name or self._has_added_scores else frozenset({text}),
            [("score s", f"{self._score_condition(score)} AND {compared}")],
            self._without_index("s.generation"),
            distinct=True,
        )
        if self._count(path, _MAX_NARROWING) < _MAX_NARROWING:
            self._paths.append(path)

    def _find_score(self, reference: str) -> ScoreName:
        """Return the name of recorded scores. Raises as `find_score` does."""
        score = find_score(self._connection, reference)
        if not score.full_name:
            return score
        return score._replace(full_name=recorded_full_name(self._connection, score))

    def _score_condition(self, score: ScoreName) -> str:
        """Return a condition on `s` for the values of a measure, for use with their index."""
        evaluator, name = self._bind(score.evaluator), self._bind(score.measure)
        return f"s.name = {name} AND s.evaluator = {evaluator}"

    def _with_full_name(self, score: ScoreName) -> str:
        """Return a condition on `s` for the scores of an evaluator with certain parameters."""
        return f"{full_name_sql(self._connection)} = {self._bind(score.full_name)}"

    def _has_score(self, score: ScoreName, compared: str = "s.value IS NOT NULL") -> str:
        """Return a condition on `g` for a score that is looked up by its generation."""
        compared = " AND ".join([compared, *self._is_newest("s")])
        if score.full_name:
            compared += f" AND {self._with_full_name(score)}"
        evaluator, name = self._bind(score.evaluator), self._bind(score.measure)
        unindexed = self._without_index
        return (
            "EXISTS (SELECT 1 FROM score s WHERE s.generation = g.seq "
            f"AND {unindexed('s.name')} = {name} AND {unindexed('s.evaluator')} = {evaluator} "
            f"AND {compared})"
        )

    def _add_shared_index(self) -> None:
        """Add generator, model, status and decision, which share one index.

        A generation without an outcome is interrupted as soon as its process has ended.
        """
        query, unindexed = self._query, self._without_index
        checks: dict[str, str] = {}
        decision = query.decision if query.filter is None else None
        if query.generator is not None:
            checks["generator"] = f"{unindexed('g.generator')} = {self._bind(query.generator)}"
        if query.model is not None:
            checks["model"] = self._model_check(query.model)
        if decision is not None:
            checks["decision"] = f"{unindexed('g.decision')} = '{decision}'"
            if decision == "allow":
                checks["decision"] += f" AND NOT ({UNDECIDED})"
        # Interrupted generations whose interruption is not recorded: "started" in the index.
        unrecorded: list[str] = []
        statuses: tuple[str, ...] = ("started", *_ENDED)
        if query.status == "started":
            running = sorted(leases.running(self._connection))
            within = f"g.seq IN ({', '.join(map(str, running)) or 'NULL'})"
            self._add({"status": within}, [("generation g", within)])
        elif query.status == "interrupted":
            dead = [number for number, _ in leases.interrupted(self._connection)]
            checks["status"] = f"{unindexed('g.status')} = 'interrupted'"
            statuses = ("interrupted",)
            if dead:
                within = f"g.seq IN ({', '.join(map(str, dead))})"
                others = [check for name, check in checks.items() if name != "status"]
                unrecorded = [" AND ".join([within, *others])]
                checks["status"] = f"({checks['status']} OR {within})"
        elif query.status is not None:
            checks["status"] = f"{unindexed('g.status')} = '{query.status}'"
            statuses = (query.status,)
        if query.status == "started" or not checks:
            self._checks |= checks
            return
        origins = [
            f"g.generator = {self._bind(generator)} AND g.model_name = {self._bind(name)} "
            f"AND g.model_digest = {self._bind(digest)}"
            for generator, name, digest in distinct_origins(self._connection, query.generator)
            if query.model is None or is_model(query.model, name, digest)
        ]
        combinations = [
            f"{origin} AND g.status = '{status}' AND g.decision {value}"
            for origin in origins
            for status in statuses
            for value in _decision_conditions(status, decision)
        ]
        self._add(checks, [("generation g", condition) for condition in combinations + unrecorded])

    def _model_check(self, model: str) -> str:
        digest = self._without_index("g.model_digest")
        conditions = [f"{self._without_index('g.model_name')} = {self._bind(model)}"]
        for prefix in digest_prefixes(model):
            low, high = self._bind(prefix), self._bind(prefix + "~")
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
        empty = [("generation g", "g.seq = -1")]
        self._paths.append(AccessPath(frozenset(checks), branches or empty, number, distinct))

    # ---- SQL ----------------------------------------------------------------------------------

    def _execute(self, sql: str, yield_per: int | None = None) -> CursorResult[*tuple[Any, ...]]:
        # SQLAlchemy's compilation of statements takes longer than most of these statements run.
        options = {} if yield_per is None else {"yield_per": yield_per}
        return self._connection.exec_driver_sql(sql, self._parameters, execution_options=options)

    def _bind(self, value: Any) -> str:
        """Add a parameter and return its placeholder."""
        if isinstance(value, str):
            check_text("query", value)
        name = f"p{len(self._parameters)}"
        self._parameters[name] = value
        return f":{name}" if self._connection.dialect.name == "sqlite" else f"%({name})s"

    def _without_index(self, column: str) -> str:
        """Return a column as an expression for which SQLite does not use an index."""
        # In SQLite a unary plus rules out the index. The planner has chosen a path, and SQLite
        # must not replace it.
        return f"+{column}" if self._connection.dialect.name == "sqlite" else column


def _union_sql(path: AccessPath) -> str:
    """Return SQL for all numbers of a path.

    SQLite limits the terms of a compound SELECT, so that each has at most `_MAX_BRANCHES`.
    """
    selects = [
        f"SELECT {path.number} AS number FROM {source} WHERE {condition}"
        for source, condition in path.branches
    ]
    while len(selects) > _MAX_BRANCHES:
        selects = [
            f"SELECT number FROM ({' UNION '.join(part)}) AS part"
            for part in chunks(selects, _MAX_BRANCHES)
        ]
    return " UNION ".join(selects)


def _decision_conditions(status: str, decision: str | None) -> Sequence[str]:
    if status == "started":  # without an outcome there is no decision
        return () if decision else ("IS NULL",)
    if decision == "allow" and status in _NOT_DECIDED:
        return ()
    return [f"= '{decision}'"] if decision else [f"= '{one}'" for one in DECISIONS]
