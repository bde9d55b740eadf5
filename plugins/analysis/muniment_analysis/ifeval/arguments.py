"""Read the arguments of instructions, which come from data and may have any value."""

from __future__ import annotations

from collections.abc import Callable

from .checks import AT_LEAST, LESS_THAN
from .languages import known_languages

Argument = int | str | tuple[str, ...]
Reader = Callable[[object], Argument]
"""A function that returns a valid argument. It raises ValueError with the valid values."""


def count(value: object) -> int:
    """Return a whole number of 0 or more. 3.0 is one, since tables write whole numbers so."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("must be a whole number of 0 or more")
    return value


def position(value: object) -> int:
    """Return a whole number of 1 or more."""
    number = count(value)
    if number == 0:
        raise ValueError("must be a whole number of 1 or more")
    return number


def relation(value: object) -> str:
    """Return a relation of two numbers."""
    if value not in (LESS_THAN, AT_LEAST):
        raise ValueError(f'must be "{LESS_THAN}" or "{AT_LEAST}"')
    return str(value)


def text(value: object) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty")
    return value


def texts(value: object) -> tuple[str, ...]:
    """Return a list of texts of which none is empty."""
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("must be a list of texts")
    return tuple(map(text, value))


def letter(value: object) -> str:
    """Return a character. It need not be a letter."""
    character = text(value).strip()
    if len(character) != 1:
        raise ValueError("must be one character")
    return character


def language(value: object) -> str:
    """Return the code of a language that can be detected."""
    if not isinstance(value, str) or value not in known_languages():
        raise ValueError(f"must be one of {', '.join(sorted(known_languages()))}")
    return value
