"""Checks and conversions of texts, ids and times that callers pass."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime

from muniment.errors import PromptError, UsageError
from muniment.ids import ALPHABET, LENGTH

MAX_NAME = 255  # characters of a name or a tag; PostgreSQL cannot index 2,700 bytes
# Control characters and line ends, which would break a line of a table or a file.
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")
_INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})  # general categories of Unicode


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


def check_name(name: str, text: str) -> None:
    """Raise PromptError unless a text is a name.

    It must pass `check_text`, have from 1 to 255 characters, not only spaces and format characters,
    and no line ends or other control characters.
    """
    check_text(name, text)
    if not text:
        raise PromptError(f"the {name} is empty; write a text or remove it")
    if control := _CONTROL.search(text):
        raise PromptError(
            f"the {name} contains the control character {control[0]!r} "
            f"(at character {control.start() + 1}); remove it"
        )
    if not _has_visible(text):
        raise PromptError(f"the {name} has no visible character; write a text or remove it")
    if len(text) > MAX_NAME:
        raise PromptError(f"the {name} has {len(text):,} characters; use at most {MAX_NAME}")


def split_list(text: str) -> list[str]:
    """Return the parts of a text between commas, which can be full-width."""
    return [part.strip() for part in re.split("[,\N{FULLWIDTH COMMA}]", text)]


def refuse_empty(**texts: object) -> None:
    """Raise UsageError for a text without a visible character, since a caller meant some value."""
    for name, text in texts.items():
        if isinstance(text, str) and not text.strip():
            raise UsageError(f"the {name} is empty; write a text or leave it out")


def check_texts(name: str, texts: object) -> None:
    """Raise UsageError unless `texts` is a list or tuple of texts."""
    if not isinstance(texts, list | tuple) or not all(isinstance(item, str) for item in texts):
        raise UsageError(f"{name} must be a list of texts, such as ['a', 'b'], not {texts!r}")


def check_counts(
    name: str, counts: object, names: Sequence[str], *, least: int = 0
) -> tuple[int, ...]:
    """Return numbers that a caller gives for several names, none below `least`.

    Raise UsageError for anything else.
    """
    if (
        isinstance(counts, list | tuple)
        and len(counts) == len(names)
        and all(type(count) is int and least <= count < 2**53 for count in counts)
    ):
        return tuple(counts)
    raise UsageError(
        f"a {name} has {len(names)} whole numbers from {least}, which are {', '.join(names)}; it "
        f"cannot be {counts!r:.80}"
    )


def check_reference(kind: str, reference: object) -> None:
    """Raise UsageError unless the reference to something recorded is a text."""
    if not isinstance(reference, str):
        raise UsageError(
            f"a {kind} is named by its id as a text, such as 'last', not by {reference!r:.80}"
        )


def check_id(reference: str, kind: str = "generation") -> None:
    """Raise UsageError unless `reference` has the shape of a whole id. `kind` names its object."""
    if len(reference) != LENGTH or not set(reference) <= set(ALPHABET) or reference[0] > "7":
        raise UsageError(
            f"{reference!r} is not the whole id of a {kind}; use all {LENGTH} characters"
        )


def escape_unencodable(text: str) -> str:
    """Return `text` with NUL and the characters escaped that UTF-8 cannot encode."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def recordable_name(text: str) -> str:
    """Return the form in which a name that `check_name` may refuse is recorded."""
    escaped = _CONTROL.sub(
        lambda match: match[0].encode("unicode_escape").decode(), escape_unencodable(text)
    )
    truncated = escaped[:MAX_NAME]
    return truncated if _has_visible(truncated) else "(empty)"


def _has_visible(text: str) -> bool:
    """Return whether a text has characters other than spaces, controls and format characters."""
    return any(unicodedata.category(char) not in _INVISIBLE for char in text)


def now() -> datetime:
    """Return the current time in UTC, truncated to milliseconds."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def is_text(data: bytes) -> bool:
    """Return whether a content is text, which is UTF-8 without NUL characters."""
    if b"\0" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
