"""Misspell a prompt as a hasty person would, reproducibly."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

EVERY = 25
"""The number of characters for each mistake. A shorter prompt has one mistake."""
_PARTS = re.compile(r"\{[^{}]*\}|.", re.DOTALL)  # a setting between braces, or a character


def misspell(text: str, seed: int) -> str:
    """Return a text with a mistake in each 25 characters, at places that the seed chooses.

    A mistake swaps two characters, drops one or doubles one. Only letters are changed, which
    includes Chinese characters. The name of a setting between braces stays as it is. A text without
    two different letters side by side is returned unchanged.
    """
    drawn = random.Random(seed)
    characters = _PARTS.findall(text)
    for _ in range(max(1, len(text) // EVERY)):
        places = [
            place
            for place in range(len(characters) - 1)
            if characters[place].isalpha()
            and characters[place + 1].isalpha()
            and characters[place] != characters[place + 1]
        ]
        if not places:
            break
        drawn.choice(_MISTAKES)(characters, drawn.choice(places))
    return "".join(characters)


def _swap(characters: list[str], place: int) -> None:
    characters[place : place + 2] = characters[place + 1], characters[place]


def _drop(characters: list[str], place: int) -> None:
    del characters[place]


def _double(characters: list[str], place: int) -> None:
    characters.insert(place, characters[place])


_MISTAKES: tuple[Callable[[list[str], int], None], ...] = (_swap, _drop, _double)
