"""A column of text that holds any text on every database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Dialect, String, Text
from sqlalchemy.types import TypeDecorator

_ESCAPE = "\x1a"  # SUBSTITUTE: hardly any text has it, so that nearly all of it is kept as it is


class PortableText(TypeDecorator[str]):
    """Text, of a length at most where one is given.

    PostgreSQL refuses the character NUL; there it is written as two others, so that what is equal
    stays equal and nothing else becomes so.
    """

    impl = Text
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__()
        self.length = length

    @staticmethod
    def plain(text: str) -> bool:
        """Whether every database holds a text as it is."""
        return _ESCAPE not in text and "\0" not in text

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Return TEXT, or VARCHAR where there is a length, ordered by code points."""
        collation = "C" if dialect.name == "postgresql" else None
        return String(self.length, collation) if self.length else Text(collation=collation)

    def bind_processor(self, dialect: Dialect) -> Any:
        """Return nothing where texts are written as they are, so that no value is looked at."""
        return super().bind_processor(dialect) if dialect.name == "postgresql" else None

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return nothing where texts are read as they are."""
        return super().result_processor(dialect, coltype) if dialect.name == "postgresql" else None

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Write a text so that the database takes it."""
        if isinstance(value, str) and dialect.name == "postgresql":
            return value.replace(_ESCAPE, _ESCAPE + "1").replace("\0", _ESCAPE + "0")
        return value

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Read it as it was given; what is no text (SQLite holds anything) stays what it is."""
        if isinstance(value, str) and _ESCAPE in value:
            return value.replace(_ESCAPE + "0", "\0").replace(_ESCAPE + "1", _ESCAPE)
        return value
