"""Searching prompts, outputs and reasons, the newest first, or the best among the newest.

The index yields those that hold all terms, as a picker's way in beside the filters. Where terms are
not yet the phrase that was asked for, the texts decide; from them the snippets are made, too.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from muniment.store.database.batches import chunks
from muniment.store.database.engine import Database
from muniment.store.database.tables import payload
from muniment.store.queries.loader import PAGE, load
from muniment.store.queries.planner import QueryPlanner, rows
from muniment.store.queries.query import GenerationRow, Query
from muniment.store.search.index import texts_of
from muniment.store.search.phrases import Phrase, Snippet, holds, phrases, snippets
from muniment.store.search.tokenizer import folded
from muniment.types import Generation

_JSON = ("request", "detail")  # kinds of payloads that are objects with texts in them
RANKED = 10_000  # newest generations with all terms, among which the best are found


@dataclass(frozen=True, slots=True)
class Hit:
    """A generation that was searched for, and the places where it was found."""

    generation: Generation
    snippets: tuple[Snippet, ...]


def search(database: Database, wanted: str, query: Query, *, ranked: bool = False) -> Iterator[Hit]:
    """Yield the generations that hold what is wanted and fit the query, the newest first.

    `ranked` yields the best first instead, among the newest `RANKED` that hold all terms. Nothing
    is found where there is no letter and no digit in what is wanted.
    """
    asked = phrases(wanted)
    if not asked:
        return
    found = _best(database, asked, query) if ranked else _newest(database, asked, query)
    for generation in itertools.islice(found, query.limit):
        yield Hit(generation, snippets(texts_of(generation), asked))


def searchable(wanted: str) -> bool:
    """Whether there is anything in a text that can be searched for."""
    return bool(phrases(wanted))


def _newest(database: Database, asked: Sequence[Phrase], query: Query) -> Iterator[Generation]:
    before: int | None = None
    size = min(PAGE, query.limit or PAGE)
    while True:
        with database.reading() as connection:
            picker = QueryPlanner(connection, query, _words(asked))
            numbers = picker.page(before, size)
            loaded = _loaded(connection, numbers)
        left = _unproved(asked, picker)
        for _, generation in loaded:
            if holds((text for _, text in texts_of(generation)), left):
                yield generation
        if len(numbers) < size:
            return
        before, size = numbers[-1], PAGE


def _words(asked: Sequence[Phrase]) -> frozenset[str]:
    return frozenset().union(*(phrase.terms for phrase in asked))


def _unproved(asked: Sequence[Phrase], picker: QueryPlanner) -> list[Phrase]:
    """Return the phrases that having been picked does not prove yet."""
    return [phrase for phrase in asked if not (phrase.exact and picker.matched)]


def _best(database: Database, asked: Sequence[Phrase], query: Query) -> Iterator[Generation]:
    """Yield the newest generations by how much of what was asked for is in them (BM25)."""
    with database.reading() as connection:
        numbers = QueryPlanner(connection, query, _words(asked)).page(None, RANKED)
        counted: list[tuple[int, int, list[int]]] = []
        for part in chunks(numbers):
            for number, texts in _texts(connection, part).items():
                counts = [
                    sum(len(phrase.pattern.findall(text)) for text in texts) for phrase in asked
                ]
                if all(counts):
                    counted.append((number, sum(map(len, texts)), counts))
        for part in chunks(_ranked(counted)):
            for start in range(0, len(part), PAGE):
                wanted = part[start : start + PAGE]
                loaded = dict(_loaded(connection, sorted(wanted)))
                yield from (loaded[number] for number in wanted)


def _ranked(counted: Sequence[tuple[int, int, list[int]]]) -> list[int]:
    """Return numbers, the best first, of (number, length, how often each phrase occurs).

    Every one holds every phrase, so that how rare a phrase is makes no difference.
    """
    average = sum(length for _, length, _ in counted) / max(1, len(counted)) or 1.0

    def score(length: int, counts: Sequence[int]) -> float:
        weight = 1.2 * (0.25 + 0.75 * length / average)
        return math.fsum(count * 2.2 / (count + weight) for count in counts)

    return [
        number
        for _, number in sorted(
            ((score(length, counts), number) for number, length, counts in counted), reverse=True
        )
    ]


def _texts(connection: Connection, numbers: Sequence[int]) -> dict[int, list[str]]:
    """Return the folded texts of generations by number; quicker than loading them whole."""
    owners: dict[int, int] = {}
    for row in rows(connection, numbers):
        owners |= {row.seq: row.seq, row.outcome or row.seq: row.seq}
    found: dict[int, list[str]] = {}
    for part in chunks(list(owners)):
        held = connection.execute(
            select(payload.c.entry, payload.c.kind, payload.c.content).where(
                payload.c.entry.in_(part), payload.c.kind.in_(("prompt", *_JSON, "output"))
            )
        )
        for entry, kind, content in held:
            texts = found.setdefault(owners[entry], [])
            if kind in _JSON:
                texts += map(folded, _strings(json.loads(content)))
            else:
                texts.append(folded(content.decode(errors="ignore")))
    return found


def _strings(value: Any) -> Iterator[str]:
    """Yield the texts of a request or a detail: system prompts, reasons, failures."""
    if isinstance(value, dict):
        for name, held in value.items():
            if isinstance(held, str) and name in ("system", "message", "failure"):
                yield held
            else:
                yield from _strings(held)
    elif isinstance(value, list):
        for held in value:
            yield from _strings(held)


def _loaded(connection: Connection, numbers: Sequence[int]) -> list[tuple[int, Generation]]:
    found: Sequence[GenerationRow] = rows(connection, numbers)
    loaded = load(connection, found, trace=False)
    return [(row.seq, generation) for row, generation in zip(found, loaded, strict=True)]
