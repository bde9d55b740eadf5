"""Checks and conversions of texts, ids and times before they are recorded."""

from __future__ import annotations

from datetime import UTC, datetime

from muniment.errors import PromptError, UsageError
from muniment.ids import ALPHABET, LENGTH


def check_text(name: str, text: str) -> None:
    """Raise PromptError unless `text` can be encoded as UTF-8 and contains no NUL character."""
    if "\0" in text:
        raise PromptError(
            f"the {name} contains a NUL character (at character {text.index(chr(0)) + 1}); "
            "remove it"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PromptError(
            f"the {name} is not valid UTF-8 (at character {error.start + 1}); encode it as UTF-8"
        ) from None


def check_id(reference: str) -> None:
    """Raise UsageError unless `reference` has the shape of a generation's id."""
    if len(reference) != LENGTH or not set(reference) <= set(ALPHABET) or reference[0] > "7":
        raise UsageError(
            f"{reference!r} is not the whole id of a generation; use all {LENGTH} characters"
        )


def escape_unencodable(text: str) -> str:
    """Return `text` with NUL and the characters escaped that UTF-8 cannot encode."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def now() -> datetime:
    """Return the current time in UTC, truncated to milliseconds."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
