"""Search prompts, inputs, outputs and reasons, with the newest or the most relevant results first.

The search index yields the generations that have all terms. It is one of the access paths of the
query planner, beside the filters. Phrases that the index cannot prove are looked for in the texts,
from which the snippets are taken as well.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from muniment.errors import UsageError
from muniment.representation import showing
from muniment.store.database.engine import Database, chunks
from muniment.store.database.tables import payload
from muniment.store.queries.loader import PAGE, load_numbers, rows, text_inputs_of
from muniment.store.queries.planner import QueryPlanner
from muniment.store.queries.query import Query
from muniment.store.search.excerpts import shown_texts
from muniment.store.search.index import texts_of
from muniment.store.search.phrases import Phrase, Snippet, contain_all, phrases, snippets
from muniment.store.search.tokenizer import fold
from muniment.types.generations import Generation

_JSON = ("request", "detail")  # kinds of payloads that are JSON objects
MAX_TERMS = 256  # of one search; each takes a lookup in the index
RANKED = 10_000  # number of the newest generations with all terms that are ranked


@dataclass(frozen=True, slots=True)
class Hit:
    """A generation that matches a search.

    Attributes:
        snippets: At most three parts of its texts that match. A word can be without one.
    """

    generation: Generation
    snippets: tuple[Snippet, ...]

    __repr__ = showing()


def search(database: Database, text: str, query: Query, *, ranked: bool = False) -> Iterator[Hit]:
    """Yield the generations that contain every phrase of `text` and match `query`, newest first.

    Args:
        database: The database of the store.
        text: The words and quoted phrases to search for. Without a letter or digit it matches
            nothing. Raises UsageError if it has more than `MAX_TERMS` terms.
        query: The filters, and the maximum number of results.
        ranked: Yield the most relevant first, among the newest `RANKED` that have all terms.
    """
    query_phrases = phrases(text)
    if not query_phrases:
        return
    _raise_if_too_long(query_phrases)
    matches = (_ranked if ranked else _newest)(database, query_phrases, query)
    for generation in itertools.islice(matches, query.limit):
        yield Hit(generation, snippets(shown_texts(generation), query_phrases))


def count(database: Database, text: str, query: Query) -> int | None:
    """Return the number of generations that `search` finds without a limit.

    It is None if the search index cannot prove all phrases, so that texts have to be read.
    """
    query_phrases = phrases(text)
    if not query_phrases:
        return 0
    _raise_if_too_long(query_phrases)
    with database.reading() as connection:
        planner = QueryPlanner(connection, query, _terms(query_phrases))
        proved = planner.used_search_index and all(phrase.exact for phrase in query_phrases)
        return planner.count() if proved else None


def _raise_if_too_long(query_phrases: Sequence[Phrase]) -> None:
    """Raise UsageError if a search has too many terms."""
    if (terms := len(_terms(query_phrases))) > MAX_TERMS:
        raise UsageError(
            f"the search has {terms:,} words or pairs of characters; use at most {MAX_TERMS}"
        )


def searchable(text: str) -> bool:
    """Return whether a text has a letter or digit to search for."""
    return bool(phrases(text))


def _newest(
    database: Database, query_phrases: Sequence[Phrase], query: Query
) -> Iterator[Generation]:
    """Yield the generations that contain all phrases, the newest first."""
    before: int | None = None
    size = min(PAGE, query.limit or PAGE)
    while True:
        with database.reading() as connection:
            planner = QueryPlanner(connection, query, _terms(query_phrases))
            numbers = planner.page(before, size)
            loaded = load_numbers(connection, numbers)
        # The search index proves a phrase of one term, unless the page comes from another index.
        proved = planner.used_search_index
        unproved = [phrase for phrase in query_phrases if not (phrase.exact and proved)]
        for _, generation in loaded:
            if contain_all((text for _, text in texts_of(generation)), unproved):
                yield generation
        if len(numbers) < size:
            return
        before, size = numbers[-1], PAGE


def _terms(query_phrases: Sequence[Phrase]) -> frozenset[str]:
    return frozenset().union(*(phrase.terms for phrase in query_phrases))


def _ranked(
    database: Database, query_phrases: Sequence[Phrase], query: Query
) -> Iterator[Generation]:
    """Yield the newest `RANKED` generations that contain all phrases, by descending BM25 score."""
    with database.reading() as connection:
        numbers = QueryPlanner(connection, query, _terms(query_phrases)).page(None, RANKED)
        counted: list[tuple[int, int, list[int]]] = []
        for part in chunks(numbers):
            for number, texts in _folded_texts(connection, part).items():
                counts = [
                    sum(len(phrase.pattern.findall(text)) for text in texts)
                    for phrase in query_phrases
                ]
                if all(counts):
                    counted.append((number, sum(map(len, texts)), counts))
        for page in chunks(_by_score(counted), PAGE):
            loaded = dict(load_numbers(connection, sorted(page)))
            yield from (loaded[number] for number in page)


def _by_score(counted: Sequence[tuple[int, int, list[int]]]) -> list[int]:
    """Return numbers of generations by descending BM25 score.

    `counted` has number, length of the texts and occurrences of each phrase.
    """
    # Every generation contains every phrase, so the inverse document frequency is left out.
    average = sum(length for _, length, _ in counted) / max(1, len(counted)) or 1.0

    def score(length: int, counts: Sequence[int]) -> float:
        weight = 1.2 * (0.25 + 0.75 * length / average)
        return math.fsum(count * 2.2 / (count + weight) for count in counts)

    scored = [(score(length, counts), number) for number, length, counts in counted]
    return [number for _, number in sorted(scored, reverse=True)]


def _folded_texts(connection: Connection, numbers: Sequence[int]) -> dict[int, list[str]]:
    """Return the folded texts of generations by number, without loading whole generations."""
    owners: dict[int, int] = {}
    for row in rows(connection, numbers):
        owners |= {row.seq: row.seq, row.outcome or row.seq: row.seq}
    texts: dict[int, list[str]] = {}
    for part in chunks(list(owners)):
        payloads = connection.execute(
            select(payload.c.entry, payload.c.kind, payload.c.content).where(
                payload.c.entry.in_(part), payload.c.kind.in_(("prompt", *_JSON, "output"))
            )
        )
        for entry, kind, content in payloads:
            is_json = kind in _JSON
            of_payload = (
                _strings(json.loads(content)) if is_json else [content.decode(errors="ignore")]
            )
            texts.setdefault(owners[entry], []).extend(map(fold, of_payload))
    for number, inputs in text_inputs_of(connection, numbers).items():
        folded = [fold(item.data.decode(errors="ignore")) for item in inputs]
        texts.setdefault(number, []).extend(folded)
    return texts


def _strings(value: Any) -> Iterator[str]:
    """Yield the searchable texts of a request or detail: system prompts, reasons and failures."""
    if isinstance(value, dict):
        for name, member in value.items():
            if isinstance(member, str) and name in ("system", "message", "failure"):
                yield member
            else:
                yield from _strings(member)
    elif isinstance(value, list):
        for element in value:
            yield from _strings(element)
