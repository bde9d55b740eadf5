"""The problems that a verification finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from muniment.representation import showing

MAX_PROBLEMS = 1000  # longer lists are not read


@dataclass(frozen=True, slots=True)
class Problem:
    """A difference between the ledger and the rest of the store.

    Attributes:
        kind: The kind of the problem. One of `schema`, `tree`, `head`, `checkpoint`, `signature`,
            `entry`, `integrity`, `projection`, `payload` and `search`.
        where: The object of the schema, the index, the entry, the table and column, the checkpoint
            or the payload. For the search index the generation.
        message: The problem as a sentence.
    """

    kind: str
    where: str
    message: str

    __repr__ = showing()


class Report:
    """A list of at most `MAX_PROBLEMS` problems, and one more that marks an incomplete list."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def extend(self, problems: Iterable[Problem]) -> None:
        """Append the problems of another report."""
        for problem in problems:
            self.add(problem.kind, problem.where, problem.message)

    def add(self, kind: str, where: str, message: str) -> None:
        """Append a problem. Escape characters that cannot be encoded in UTF-8."""
        # Values from an altered database may contain surrogates, which cannot be printed.
        where, message = (s.encode(errors="backslashreplace").decode() for s in (where, message))
        if len(self.problems) == MAX_PROBLEMS:
            self.problems.append(Problem(kind, where, "… more problems are not listed"))
        elif len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(kind, where, message))
