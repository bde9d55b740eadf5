"""Metadata of NovelAI: the prompt in `Description`, and the settings as JSON in `Comment`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .facts import Fact, facts_of, object_of

SOURCE = "NovelAI"

KEYS = ("Title", "Description", "Software", "Source", "Comment", "Generation time")


def parse(texts: Mapping[str, str]) -> Iterator[Fact]:
    """Yield the facts of the texts of a file, by their keys."""
    yield Fact(SOURCE, "prompt", texts.get("Description", ""))
    yield Fact(SOURCE, "model", texts.get("Source", ""))
    settings = object_of(texts.get("Comment", ""))
    if settings is None:
        yield Fact(SOURCE, "comment", texts.get("Comment", ""))
    else:
        # The prompt stands in `Description`, too.
        yield from facts_of(SOURCE, {k: v for k, v in settings.items() if k != "prompt"})


def recognises(texts: Mapping[str, str]) -> bool:
    """Return whether the texts of a file are those of NovelAI."""
    return texts.get("Software") == SOURCE
