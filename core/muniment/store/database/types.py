"""A column type that stores any text on every database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Dialect, String, Text
from sqlalchemy.types import TypeDecorator

_ESCAPE = "\x1a"  # SUBSTITUTE, which hardly any text contains: nearly all are stored unchanged


class PortableText(TypeDecorator[str]):
    """Text with an optional maximum length in characters.

    PostgreSQL rejects the character NUL, so NUL is stored there as two other characters. The
    conversion is reversible: equal texts stay equal, and different texts stay different.
    """

    impl = Text
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__()
        self.length = length

    @staticmethod
    def plain(text: str) -> bool:
        """Return whether every database stores a text unchanged."""
        return _ESCAPE not in text and "\0" not in text

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Return TEXT, or VARCHAR if there is a length, sorted by code points."""
        collation = "C" if dialect.name == "postgresql" else None
        return String(self.length, collation) if self.length else Text(collation=collation)

    def bind_processor(self, dialect: Dialect) -> Any:
        """Return None except for PostgreSQL, so that SQLAlchemy binds values without conversion."""
        return super().bind_processor(dialect) if dialect.name == "postgresql" else None

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return None except for PostgreSQL, so that SQLAlchemy reads values without conversion."""
        return super().result_processor(dialect, coltype) if dialect.name == "postgresql" else None

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return a text as PostgreSQL stores it, or any other value unchanged."""
        if isinstance(value, str) and dialect.name == "postgresql":
            return value.replace(_ESCAPE, _ESCAPE + "1").replace("\0", _ESCAPE + "0")
        return value

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return a stored text as it was written, or a value that is not text unchanged."""
        if isinstance(value, str) and _ESCAPE in value:
            return value.replace(_ESCAPE + "0", "\0").replace(_ESCAPE + "1", _ESCAPE)
        return value
