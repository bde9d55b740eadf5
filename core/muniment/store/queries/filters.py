"""The filters of a query as SQL, with a check and an access path for each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from muniment.ledger.fields import milliseconds
from muniment.store.database import leases
from muniment.store.database.projections import seed_number
from muniment.store.queries.origins import plugin_sets, policy_numbers
from muniment.store.queries.query import (
    Query,
    digest_prefixes,
    distinct_origins,
    is_model,
    names_of_model,
    parse_condition,
)
from muniment.store.queries.score_conditions import ScoreConditions
from muniment.store.queries.statements import AccessPath, Statements
from muniment.types.generations import UNDECIDED_STATUSES
from muniment.types.verdicts import DECISIONS, UNDECIDED

MAX_NARROWING = 20_000  # up to this many numbers are joined with another index
_ENDED = ("completed", "blocked", "failed", "interrupted")
IS_UNDECIDED = f"(g.decision IS NULL OR g.decision = 'allow' AND g.status IN {UNDECIDED_STATUSES})"
"""SQL for an undecided generation. The column is NULL without an outcome.

Of an ended generation without a finding it is `allow`, whatever the status.
"""


class Filters:
    """The filters of one query.

    Attributes:
        checks: An SQL condition on `g` for each filter.
        paths: The access paths, beginning with those that usually yield little.
        search_path: The path of the search index, which is one of them, or None.
    """

    def __init__(
        self,
        sql: Statements,
        scores: ScoreConditions,
        query: Query,
        words: Collection[str],
    ) -> None:
        self._sql, self._scores, self._query = sql, scores, query
        self.checks: dict[str, str] = {}
        self.paths: list[AccessPath] = []
        self.search_path: AccessPath | None = None
        self._add_filters(words)

    def _add_filters(self, words: Collection[str]) -> None:
        """Add the checks and paths of the query, beginning with those that usually yield little."""
        query = self._query
        if query.ids is not None:
            names = [self._sql.bind(id) for id in query.ids]
            within = f"g.id IN ({', '.join(names) or 'NULL'})"
            self._add({"ids": within}, [("generation g", within)])
        if query.seed is not None:
            self._add_equality("seed", seed_number(query.seed))
        if query.run is not None:
            sql = f"SELECT seq FROM run WHERE id = {self._sql.bind(query.run)}"
            number = self._sql.execute(sql).scalar()
            self._add_run(-1 if number is None else number)
        if query.tag is not None:
            has_tag = f"c.tag = {self._sql.bind(query.tag)}"
            self._add_child("tag", "generation_tag", has_tag, [has_tag])
        if query.category is not None:
            self._add_category(query.category)
        if query.reviewed is not None:
            self._add_reviewed(query.reviewed)
        if words:
            self.search_path = self._path_of_search(sorted(words))
            self.paths.append(self.search_path)
        if query.actor is not None:
            self._add_actor(query.actor)
        if query.filter is not None:
            self._add_filter(query.filter, query.decision)
        if query.policy is not None:
            self._add_values("policy", policy_numbers(self._sql.connection, query.policy))
        if query.made_with is not None:
            self._add_values("plugins", plugin_sets(self._sql.connection, query.made_with))
        self._add_shared_index()
        for condition in query.scores or ():
            self._add_score(condition)
        for operator, at in zip((">=", "<"), query.period, strict=True):
            if at is not None:
                column = self._sql.without_index("g.started_at")
                self.checks[operator] = f"{column} {operator} {self._sql.bind(milliseconds(at))}"

    def _path_of_search(self, words: Sequence[str]) -> AccessPath:
        if self._sql.connection.dialect.name == "sqlite":
            # Terms are letters, digits and marks: inside quotes, FTS5 sees no operator in them.
            match = self._sql.bind(" AND ".join(f'"{word}"' for word in words))
            return AccessPath(frozenset(), [("search s", f"s.search MATCH {match}")], "s.rowid")
        terms = self._sql.bind(list(words))
        return AccessPath(
            frozenset(), [("search s", f"s.terms @> {terms}::text[]")], "s.generation"
        )

    def _add_equality(self, column: str, value: int) -> None:
        self._add(
            {column: f"{self._sql.without_index(f'g.{column}')} = {value}"},
            [("generation g", f"g.{column} = {value}")],
        )

    def _add_run(self, number: int) -> None:
        if self._query.item is None:
            self._add_equality("run", number)
            return
        in_item = f"c.run = {number} AND c.item = {self._query.item}"
        self._add_child("item", "cell", in_item, [in_item])

    def _add_actor(self, name: str) -> None:
        sql = f"SELECT seq FROM actor WHERE name = {self._sql.bind(name)}"
        self._add_values("actor", self._sql.execute(sql).scalars().all())

    def _add_values(self, column: str, values: Iterable[Any]) -> None:
        """Add a filter by several values of a column that an index begins with."""
        bound = [self._sql.bind(value) for value in values]
        self._add(
            {column: f"{self._sql.without_index(f'g.{column}')} IN ({', '.join(bound) or 'NULL'})"},
            [("generation g", f"g.{column} = {value}") for value in bound],
        )

    def _add_category(self, category: str) -> None:
        found = f"c.category = {self._sql.bind(category)}"
        if self._query.filter is not None:
            found += (
                " AND EXISTS (SELECT 1 FROM verdict v WHERE v.generation = c.generation "
                f"AND v.position = c.position AND v.filter = {self._sql.bind(self._query.filter)})"
            )
        self._add_child("category", "verdict_category", found, [found])

    def _add_reviewed(self, reviewed: bool) -> None:
        is_review = "c.kind = 'review'"
        exists = f"EXISTS (SELECT 1 FROM event c WHERE {is_review} AND c.subject = g.seq)"
        if reviewed:
            self._add({"reviewed": exists}, [("event c", is_review)], "c.subject", distinct=True)
        else:  # most generations, so that there is no path
            self.checks["reviewed"] = f"NOT {exists}"

    def _add_filter(self, filter: str, decision: str | None) -> None:
        name = self._sql.bind(filter)
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
        score = self._scores.find(name)
        compared = f"s.value {operator} {self._sql.bind(value)}"
        self.checks[text] = self._scores.has(score, compared)
        # The index is in the order of the values, so that each page sorts all numbers of this path.
        path = AccessPath(
            frozenset() if score.full_name or self._scores.has_added else frozenset({text}),
            [("score s", f"{self._scores.indexed(score)} AND {compared}")],
            self._sql.without_index("s.generation"),
            distinct=True,
        )
        if self._sql.count(path, MAX_NARROWING) < MAX_NARROWING:
            self.paths.append(path)

    def _add_shared_index(self) -> None:
        """Add generator, model, status and decision, which share one index.

        A generation without an outcome is interrupted as soon as its process has ended.
        """
        query, unindexed = self._query, self._sql.without_index
        checks: dict[str, str] = {}
        decision = query.decision if query.filter is None else None
        if query.generator is not None:
            checks["generator"] = f"{unindexed('g.generator')} = {self._sql.bind(query.generator)}"
        if query.model is not None:
            checks["model"] = self._model_check(query.model)
        if decision is not None:
            recorded = f"{unindexed('g.decision')} = '{decision}'"
            if decision == UNDECIDED:
                recorded = IS_UNDECIDED
            elif decision == "allow":
                recorded += f" AND NOT {IS_UNDECIDED}"
            checks["decision"] = recorded
        # Interrupted generations whose interruption is not recorded: "started" in the index.
        unrecorded: list[str] = []
        statuses: tuple[str, ...] = ("started", *_ENDED)
        if query.status == "started":
            running = sorted(leases.running(self._sql.connection))
            within = f"g.seq IN ({', '.join(map(str, running)) or 'NULL'})"
            self._add({"status": within}, [("generation g", within)])
        elif query.status == "interrupted":
            dead = [number for number, _ in leases.interrupted(self._sql.connection)]
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
            self.checks |= checks
            return
        origins = [
            f"g.generator = {self._sql.bind(generator)} AND g.model_name = {self._sql.bind(name)} "
            f"AND g.model_digest = {self._sql.bind(digest)}"
            for generator, name, digest in distinct_origins(self._sql.connection, query.generator)
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
        digest = self._sql.without_index("g.model_digest")
        names = ", ".join(map(self._sql.bind, names_of_model(model)))
        conditions = [f"{self._sql.without_index('g.model_name')} IN ({names})"]
        for prefix in digest_prefixes(model):
            low, high = self._sql.bind(prefix), self._sql.bind(prefix + "~")
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
        self.checks |= checks
        empty = [("generation g", "g.seq = -1")]
        self.paths.append(AccessPath(frozenset(checks), branches or empty, number, distinct))


def _decision_conditions(status: str, decision: str | None) -> Sequence[str]:
    if status == "started":  # without an outcome there is no decision
        return ("IS NULL",) if decision in (None, UNDECIDED) else ()
    if decision in ("allow", UNDECIDED):
        is_undecided = status in UNDECIDED_STATUSES
        return ("= 'allow'",) if is_undecided == (decision == UNDECIDED) else ()
    return [f"= '{decision}'"] if decision else [f"= '{one}'" for one in DECISIONS]
