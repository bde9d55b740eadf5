"""Media types that are shown as text, and the text in content of such a type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

BYTE_ORDER_MARK = "\ufeff"
_JSON_TYPE = re.compile(r"application/json|.*\+json")


def is_text_type(media_type: str) -> bool:
    """Return whether outputs of a media type are shown as text, which `text/*` and JSON are."""
    kind = media_type.partition(";")[0].strip()
    return kind.startswith("text/") or _JSON_TYPE.fullmatch(kind) is not None


def accepts_media_type(declared: Sequence[str], media_type: str) -> bool:
    """Return whether a plugin object with these declared media types accepts a media type.

    `text/plain` accepts every `text/*`. Parameters such as `charset` are ignored.
    """
    # A text filter must not be bypassed by labelling a text with another subtype.
    kind = media_type.partition(";")[0].strip()
    return kind in declared or (kind.startswith("text/") and "text/plain" in declared)


def text_content(media_type: str, data: bytes) -> str | None:
    """Return content as text, or None unless its type is `text/*` or it is JSON in UTF-8."""
    if media_type.startswith("text/"):
        return data.decode()
    try:
        return data.decode() if is_text_type(media_type) else None
    except UnicodeDecodeError:
        return None


def shown_content(content: Any) -> str | bytes:
    """Return an excerpt of a text, or the bytes of any other content, for a representation.

    The content has the attributes `media_type` and `data`.
    """
    data: bytes = content.data
    if is_text_type(content.media_type):
        return data[:400].decode(errors="replace") + "…" * (len(data) > 400)
    return data
