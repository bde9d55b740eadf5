"""Metadata of Fooocus: a JSON object in `parameters`, with names that changed between versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .facts import Fact, facts_of

SOURCE = "Fooocus"

_KEYS = ({"performance", "prompt"}, {"Performance", "Prompt"})


def parse(metadata: Mapping[str, Any]) -> Iterator[Fact]:
    """Yield the facts of the object."""
    yield from facts_of(SOURCE, metadata)


def recognises(metadata: Mapping[str, Any]) -> bool:
    """Return whether a JSON object is one of Fooocus."""
    return any(keys <= metadata.keys() for keys in _KEYS)
