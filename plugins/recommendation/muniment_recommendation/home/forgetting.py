"""Find what a home has of a user, and replace the folder of a model."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import muniment
from muniment_recommendation.model_folder.files import read_users
from muniment_recommendation.requests.query import user_of

_GENERATOR = "recommendation"
_ERASED_AT_ONCE = 500  # ids of one query
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of linux/fcntl.h and linux/fs.h


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


class Replacement:
    """The replacement of a model's folder by a new one beside it.

    A kill at any time leaves the old or the new folder at its path. Where the system cannot
    exchange two folders, `recover` completes a replacement that was killed between two renames.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.new = folder.with_name(f".{folder.name}.new")
        """The path at which the new folder must be written."""
        self._old = folder.with_name(f".{folder.name}.old")

    def recover(self) -> None:
        """Delete what a killed replacement left. Raises UsageError."""
        try:
            if not self._folder.exists() and self._old.exists():
                self._old.rename(self._folder)
            for path in (self.new, self._old):
                if path.exists():
                    shutil.rmtree(path)
        except OSError as error:
            raise self._error(error) from None

    def finish(self) -> None:
        """Put the new folder in the place of the old one, and delete that. Raises UsageError."""
        try:
            if not _exchange(self.new, self._folder):
                self._folder.rename(self._old)
                self.new.rename(self._folder)
        except OSError as error:
            raise self._error(error) from None
        self.recover()

    def _error(self, error: OSError) -> muniment.UsageError:
        return muniment.UsageError(
            f"the model {self._folder} cannot be replaced: {error.strerror}; check the folder and "
            "run the command again"
        )


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders atomically. Return False where the system cannot do that."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):  # not Linux, or an old C library
        return False
    paths = os.fsencode(one), os.fsencode(other)
    return bool(rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0)
