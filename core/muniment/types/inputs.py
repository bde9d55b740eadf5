"""Inputs of generators, as declared and as given."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from muniment.representation import showing
from muniment.types.media_types import BYTE_ORDER_MARK, shown_content, text_content


@dataclass(frozen=True, slots=True)
class Input:
    """A file that was given with a prompt, under a name that the generator declares.

    Erased or altered content is empty.

    Example:
        >>> given = muniment.Input("context", "text/plain", b"a report")
        >>> given.text, len(given.sha256)
        ('a report', 64)
    """

    name: str
    media_type: str
    data: bytes

    __repr__ = showing("name", "media_type", content=shown_content)

    @property
    def text(self) -> str | None:
        """The input as text, or None unless it is `text/*` or JSON.

        A byte order mark at its start is no part of the text.
        """
        text = text_content(self.media_type, self.data)
        return text and text.removeprefix(BYTE_ORDER_MARK)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes in hexadecimal. It is computed on each access, never stored."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input that a generator declares.

    Attributes:
        name: A lower-case letter, then lower-case letters, digits and `_`.
        media_types: The accepted media types. `text/plain` includes every `text/*`.
        max_bytes: The maximum size in bytes.
        help: A noun phrase for `--help`.
        option: An option of the generator's own, as in `--user TEXT` (the text itself) or
            `--only FILE` (the path of a file). Empty for an input that has only `--input`.

    Example:
        >>> muniment.InputSpec("context", ("text/plain",), help="text to summarise").max_bytes
        16000000
    """

    name: str
    media_types: tuple[str, ...]
    max_bytes: int = 16_000_000
    help: str = ""
    option: str = ""

    __repr__ = showing("name", "media_types", "max_bytes", "help", "option")
