"""SQL conditions on the scores of generations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from muniment.store.queries.full_names import full_name_sql, is_newest_sql, recorded_full_name
from muniment.store.queries.query import ScoreName, find_score
from muniment.store.queries.statements import Statements


class ScoreConditions:
    """Conditions on rows `s` of scores, or on the generation `g` that has them."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql

    def find(self, reference: str) -> ScoreName:
        """Return the name of recorded scores. Raises as `find_score` does."""
        score = find_score(self._sql.connection, reference)
        if not score.full_name:
            return score
        return score._replace(full_name=recorded_full_name(self._sql.connection, score))

    def indexed(self, score: ScoreName) -> str:
        """Return a condition on `s` for the values of a measure, for use with their index."""
        evaluator, name = self._sql.bind(score.evaluator), self._sql.bind(score.measure)
        return f"s.name = {name} AND s.evaluator = {evaluator}"

    def with_full_name(self, score: ScoreName) -> str:
        """Return a condition on `s` for the scores of an evaluator with certain parameters."""
        return f"{full_name_sql(self._sql.connection)} = {self._sql.bind(score.full_name)}"

    def has(self, score: ScoreName, compared: str = "s.value IS NOT NULL") -> str:
        """Return a condition on `g` for a score that is looked up by its generation."""
        compared = " AND ".join([compared, *self.is_newest("s")])
        if score.full_name:
            compared += f" AND {self.with_full_name(score)}"
        evaluator, name = self._sql.bind(score.evaluator), self._sql.bind(score.measure)
        unindexed = self._sql.without_index
        return (
            "EXISTS (SELECT 1 FROM score s WHERE s.generation = g.seq "
            f"AND {unindexed('s.name')} = {name} AND {unindexed('s.evaluator')} = {evaluator} "
            f"AND {compared})"
        )

    def is_first(self, descending: bool) -> str:
        """Return a condition on `s`, which holds for one of the equally named scores of `g`.

        An evaluator can score a generation several times, with different parameters.
        """
        comes_before = ">" if descending else "<"
        earlier = "(t.value = s.value AND (t.entry, t.position) < (s.entry, s.position))"
        conditions = [
            "t.generation = s.generation",
            f"{self._sql.without_index('t.name')} = s.name",
            f"{self._sql.without_index('t.evaluator')} = s.evaluator",
            f"(t.value {comes_before} s.value OR {earlier})",
            *self.is_newest("t"),
        ]
        return f"NOT EXISTS (SELECT 1 FROM score t WHERE {' AND '.join(conditions)})"

    def is_newest(self, score: str) -> Sequence[str]:
        """Return a condition that a score was not replaced, if there can be such scores."""
        return [is_newest_sql(self._sql.connection, score)] if self.has_added else []

    @cached_property
    def has_added(self) -> bool:
        """Whether a score was added to a recorded generation."""
        return self._sql.execute("SELECT 1 FROM event WHERE kind = 'scored' LIMIT 1").scalar() == 1
