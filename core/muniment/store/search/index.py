"""The search index, written in the same transaction as the outcome of a generation.

A row has the terms of one generation. SQLite has them in an FTS5 index without stored content.
Deleting a row there needs its terms, so they are computed before the texts are erased. PostgreSQL
has them as an array with a GIN index. Neither index has the positions of terms, so a search looks
for phrases in the payloads (`engine.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from sqlalchemy import Connection

from muniment.ledger.entries import OutcomeEntry
from muniment.ledger.payload_texts import DetailText, RequestText, decode_text
from muniment.store.database import bulk
from muniment.store.search import tokenizer
from muniment.types.generations import Generation
from muniment.types.inputs import Input
from muniment.types.media_types import is_text_type
from muniment.types.outputs import Output
from muniment.types.scores import Score
from muniment.types.verdicts import Verdict

Contents: TypeAlias = Callable[[str, int], bytes | None]
"""A function that returns the content of a generation's payload, or None if it is gone.

The arguments are the kind and the position of the payload.
"""

Row: TypeAlias = tuple[int, str]
"""The number of a generation, and its terms separated by spaces."""


def texts_of(generation: Generation) -> Iterator[tuple[str, str]]:
    """Yield the searchable texts of a generation, each after the name of its source.

    The sources are `system`, `prompt`, `input` and `output` (texts only), `reason` (of verdicts)
    and `failure` (of the generation, its filters and its evaluators).
    """
    if generation.system:
        yield "system", generation.system
    yield "prompt", generation.prompt
    for item in generation.inputs:
        if item.text:
            yield "input", item.text
    for output in generation.outputs:
        if text := output.text:
            yield "output", text
    for verdict in generation.verdicts:
        for reason in verdict.reasons:
            if reason.message:
                yield "reason", reason.message
    if generation.failure and generation.failure.message:
        yield "failure", generation.failure.message
    results: list[Verdict | Score] = [*generation.verdicts, *generation.scores]
    for result in results:
        if result.failure:
            yield "failure", result.failure


def recorded_texts(
    outcome: OutcomeEntry, content: Contents, inputs: Sequence[Input]
) -> Iterator[str]:
    """Yield the same texts, without sources, from an outcome and the generation's payloads.

    `inputs` are the inputs that are texts.
    """
    # Takes a fraction of the time of loading the generation first.
    yield decode_text(RequestText, content("request", 0)).system or ""
    yield (content("prompt", 0) or b"").decode()
    for item in inputs:
        yield item.text or ""
    for position, output in enumerate(outcome.outputs):
        if is_text_type(output.media_type):
            yield Output(output.media_type, content("output", position) or b"").text or ""
    if outcome.detail is None:
        return
    detail = decode_text(DetailText, content("detail", 0))
    yield detail.failure
    for verdict in detail.verdicts.values():
        yield from [reason.message for reason in verdict.reasons]
        yield verdict.failure or ""
    for score in detail.scores.values():
        yield score.failure or ""


def terms_of(generation: Generation) -> str:
    """Return the terms of a generation with an outcome, as in a `Row`.

    This is the slow part of indexing and needs no database: call it before taking the write lock.
    """
    return " ".join(tokenizer.terms(text for _, text in texts_of(generation)))


def insert(connection: Connection, rows: Sequence[Row]) -> None:
    """Add generations to the index, which must not have them already."""
    rows = [row for row in rows if row[1]]
    if rows:
        if _is_sqlite(connection):
            connection.exec_driver_sql(_INSERT, rows)
        else:
            # Array literals. Terms are letters, digits and marks, so nothing needs escaping.
            arrays = [(number, '{"' + '","'.join(terms.split()) + '"}') for number, terms in rows]
            bulk.copy(connection, "search", ["generation", "terms"], arrays)


def delete(connection: Connection, rows: Sequence[Row]) -> None:
    """Delete generations from the index, given the same terms that were inserted.

    The bytes stay in the database until `purge`.
    """
    if _is_sqlite(connection):
        if rows := [row for row in rows if row[1]]:
            connection.exec_driver_sql(
                "INSERT INTO search (search, rowid, terms) VALUES ('delete', ?, ?)", rows
            )
        return
    numbers = [number for number, _ in rows]
    connection.exec_driver_sql("DELETE FROM search WHERE generation = ANY(%s)", (numbers,))


def delete_altered(connection: Connection, numbers: Sequence[int]) -> None:
    """Delete generations whose texts were altered, so that these do not give the inserted terms.

    On SQLite the terms are read from the index, which takes time in proportion to its size.
    """
    if not numbers:
        return
    rows: list[Row] = [(number, "") for number in numbers]
    if _is_sqlite(connection):
        connection.exec_driver_sql(_INSTANCES)
        placeholders = ",".join(map(str, numbers))
        found = connection.exec_driver_sql(_TERMS_BY_NUMBER.format(numbers=placeholders))
        rows = [(number, terms) for number, terms in found]
    delete(connection, rows)


def contents(connection: Connection) -> Iterator[tuple[Sequence[int], Sequence[str]]]:
    """Yield the whole index as numbers of generations with terms that each of these has."""
    if _is_sqlite(connection):
        # Each term is looked up with MATCH, as a search does, so that the result has exactly the
        # generations that a search finds. Their numbers are one text a term, because one row a
        # number takes ten times as long.
        connection.exec_driver_sql(_VOCABULARY)
        for term, numbers in connection.exec_driver_sql(_NUMBERS_BY_TERM):
            yield list(map(int, (numbers or "").split(","))), (term,)
        return
    rows = connection.exec_driver_sql(
        "SELECT generation, terms FROM search", execution_options={"yield_per": 1000}
    )
    for number, terms in rows:
        yield (number,), terms


def purge(connection: Connection) -> None:
    """Remove the bytes of deleted rows from the index of SQLite.

    Takes time in proportion to the size of the index. Does nothing on PostgreSQL, where VACUUM does
    this for every table, outside a transaction.
    """
    if _is_sqlite(connection):
        connection.exec_driver_sql("INSERT INTO search (search) VALUES ('optimize')")


def clear(connection: Connection) -> None:
    """Delete all rows of the index, so that it can be rebuilt."""
    connection.exec_driver_sql(
        "INSERT INTO search (search) VALUES ('delete-all')"
        if _is_sqlite(connection)
        else "TRUNCATE search"
    )


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


_INSERT = "INSERT INTO search (rowid, terms) VALUES (?, ?)"
_VOCABULARY = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.term USING fts5vocab(main, search, row)"
_INSTANCES = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS temp.instance USING fts5vocab(main, search, instance)"
)
_TERMS_BY_NUMBER = (
    "SELECT doc, group_concat(term, ' ') FROM temp.instance WHERE doc IN ({numbers}) GROUP BY doc"
)
_NUMBERS_BY_TERM = """
SELECT term, (SELECT group_concat(rowid) FROM search WHERE search MATCH '"' || term || '"')
FROM temp.term
"""
