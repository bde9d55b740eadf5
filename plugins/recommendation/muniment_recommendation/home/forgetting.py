"""Find what a home has of a user: generations, and copies of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import muniment
from muniment_recommendation.model_folder.files import read_users
from muniment_recommendation.requests.query import user_of

_GENERATOR = "recommendation"
_ERASED_AT_ONCE = 500  # ids of one query


@dataclass(frozen=True, slots=True)
class UserGenerations:
    """The ids of the lists for a user, and of the generations that were made from them."""

    lists: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.lists) + len(self.derived)

    def queries(self) -> list[muniment.Query]:
        """Return queries for all of them.

        Derived ones come first, because they are found by the inputs of their lists.
        """
        return [
            muniment.Query(ids=ids[start : start + _ERASED_AT_ONCE])
            for ids in (self.derived, self.lists)
            for start in range(0, len(ids), _ERASED_AT_ONCE)
        ]


def find_generations(session: muniment.Session, user: str) -> UserGenerations:
    """Return the generations for a user that are not erased.

    Lists are found by their input `user`. Others, such as articles, are found by their parents. A
    list that was made from one of these for another user is not among them.
    """
    lists: list[str] = []
    earliest = None
    for made in session.generations(muniment.Query(generator=_GENERATOR)):
        if user_of({item.name: item for item in made.inputs}) == user:
            lists.append(made.id)
            earliest = made.started_at
    if earliest is None:
        return UserGenerations()
    later = session.generations(muniment.Query(since=earliest))
    parents = {m.id: m.parents for m in later if m.parents and m.generator != _GENERATOR}
    derived = dict.fromkeys(lists)
    for id in reversed(parents):  # the oldest first, so that a parent precedes its children
        if not derived.keys().isdisjoint(parents[id]):
            derived[id] = None
    return UserGenerations(tuple(lists), tuple(derived)[len(lists) :])


def erase_generations(session: muniment.Session, found: UserGenerations) -> tuple[int, list[str]]:
    """Erase generations, and return the number of erased ones and the ids of the others.

    The others are on hold, under retention or in progress.
    """
    erased, remaining = 0, []
    for query in found.queries():
        erased += session.erase(query, "the user was forgotten").erased
        remaining += [made.id for made in session.generations(query) if not made.erased]
    return erased, remaining


def copies_in_home(
    session: muniment.Session, digest: str, user: str
) -> tuple[list[str], list[str]]:
    """Return the names of the added models with a digest, and of other ones that have a user."""
    copies, others = [], []
    for added in session.models.added(on_error=lambda error: None):
        if added.digest == digest:
            copies.append(added.name)
        elif added.generator == _GENERATOR and user in _users(session.models.path(added.name)):
            others.append(added.name)
    return copies, others


def remove_copies(session: muniment.Session, names: Sequence[str]) -> None:
    """Delete added models, and record that they were removed. Raises ModelError."""
    for name in names:
        added = session.models.get(name)
        session.models.remove(name)
        session.record_model("removed", added)


def _users(folder: Path) -> tuple[str, ...]:
    try:
        return read_users(folder)
    except (OSError, ValueError, RecursionError):
        return ()
