"""Facts that a file states about itself. Anyone can write them, so none of them is trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

MAX_TEXT = 4_000_000
"""Characters of a text that are parsed or returned. A workflow of a thousand nodes has fewer."""
MAX_LINE = 100_000
"""Characters of a line of settings that is parsed, since a search takes 60 steps for each."""
MAX_NAME = 100
"""Characters of a fact's name."""
MAX_FACTS = 2_000
"""Facts of a file that are returned."""

# Different programs have different names for the same quantity.
_COMMON_NAMES = {
    "positive prompt": "prompt",
    "uc": "negative prompt",
    "cfg": "guidance",
    "cfg scale": "guidance",
    "guidance scale": "guidance",
    "noise seed": "seed",
    "sampler name": "sampler",
    "base model": "model",
    "ckpt name": "model",
    "unet name": "model",
    "lora name": "lora",
    "resolution": "size",
}


class Fact(NamedTuple):
    """One fact. `source` is one of a fixed set of names. `name` and `value` can be from a file."""

    source: str
    name: str
    value: str


class Text(NamedTuple):
    """A text with a key, from a place such as `PNG text` or `EXIF`."""

    place: str
    key: str
    text: str


def bounded(facts: Iterable[Fact]) -> list[Fact]:
    """Return the facts that have a value, with short names, and at most MAX_FACTS of them."""
    usable = (
        Fact(source, name[:MAX_NAME], value[:MAX_TEXT]) for source, name, value in facts if value
    )
    return list(islice(usable, MAX_FACTS))


def common_name(key: str) -> str:
    """Return a key in small letters, with the name that all programs share if there is one."""
    name = re.sub("[_ ]+", " ", key[:MAX_NAME]).strip().lower()
    return _COMMON_NAMES.get(name, name)


def object_of(text: str) -> dict[str, Any] | None:
    """Return the JSON object in a text, or None for any other text."""
    if len(text) > MAX_TEXT or text.lstrip()[:1] != "{":
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def value_text(value: object) -> str:
    """Return a value of JSON as text. None has no text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def facts_of(source: str, values: Mapping[str, Any]) -> Iterator[Fact]:
    """Yield the values of a JSON object as facts with their common names."""
    for name, value in values.items():
        yield Fact(source, common_name(name), value_text(value))
