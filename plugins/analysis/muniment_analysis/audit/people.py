"""Numbers in place of the names of people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

_Value = TypeVar("_Value")

ERASED = ""
"""The name of a person whose name was erased."""


class People:
    """The labels of the people with one role, such as `actor 1`, or their names.

    A number has no meaning outside of its report. A person who is an actor and a reviewer has two
    numbers, which do not show that they belong together.
    """

    def __init__(self, role: str, *, names: bool) -> None:
        """Take the role, such as `actor`, and whether labels are names."""
        self._role = role
        self._names = names
        self._labels: dict[str, str] = {}

    def label(self, name: str) -> str:
        """Return the label of a person, with the next number for one that has none.

        An erased name stays an empty text.
        """
        if self._names or name == ERASED:
            return name
        return self._labels.setdefault(name, f"{self._role} {len(self._labels) + 1}")

    def labelled(self, values: Mapping[str, _Value]) -> dict[str, _Value]:
        """Return values by label in place of the name."""
        return {self.label(name): value for name, value in values.items()}
