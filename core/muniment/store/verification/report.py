"""What verifying finds wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MOST = 1000  # a store with more problems than this needs no longer list


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as the ledger says.

    `kind` is `tree`, `head`, `checkpoint`, `signature`, `entry`, `projection`, `payload` or
    `search`; `where` names the entry, the table and column, the checkpoint, the payload, or the
    generation that is searched for.
    """

    kind: str
    where: str
    message: str


class Report:
    """Collects problems, up to a number that people still read."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def extend(self, problems: Iterable[Problem]) -> None:
        """Note the problems of another report, after these."""
        for problem in problems:
            self.add(problem.kind, problem.where, problem.message)

    def add(self, kind: str, where: str, message: str) -> None:
        """Note a problem; what it tells of and is no text is written so that it can be printed."""
        where, message = (s.encode(errors="backslashreplace").decode() for s in (where, message))
        if len(self.problems) == MOST:
            self.problems.append(Problem(kind, where, "… and more problems, which are not listed"))
        elif len(self.problems) < MOST:
            self.problems.append(Problem(kind, where, message))
