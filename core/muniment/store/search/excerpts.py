"""Texts of generations as search results show them, in which JSON is readable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from muniment.store.search.index import texts_of
from muniment.types.generations import Generation


def shown_texts(generation: Generation) -> Iterator[tuple[str, str]]:
    """Yield the searchable texts, each after the name of its source.

    Before an output of JSON, such as a list, its strings are yielded, those of an object together.
    A search finds its words there first, and numbers and names of members in the JSON.
    """
    for source, text in texts_of(generation):
        if source == "output" and text.lstrip()[:1] in ("{", "["):
            yield from ((source, strings) for strings in _strings_by_object(text))
        yield source, text


def _strings_by_object(text: str) -> Iterator[str]:
    """Yield the strings of each object of a JSON document as one text. None for other texts."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    pending = [document]
    while pending:
        value = pending.pop()
        members = list(value.values() if isinstance(value, dict) else value)
        if strings := list(_strings(members)):
            yield " · ".join(strings)
        nested = [one for one in members if isinstance(one, dict | list) and not _is_flat(one)]
        pending += reversed(nested)


def _strings(members: list[Any]) -> Iterator[str]:
    """Yield the strings among members, and those of lists of strings."""
    for member in members:
        if isinstance(member, str) and member:
            yield member
        elif _is_flat(member) and member:
            yield ", ".join(member)


def _is_flat(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
