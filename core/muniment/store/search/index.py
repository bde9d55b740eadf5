"""The search index: written while recording, in the same transaction as the outcome.

A row says by which terms a generation is found. SQLite keeps them in an FTS5 index that stores no
text beside it; to take a row out again its terms must be given, made from the texts while they
are there. PostgreSQL keeps them as an array under a GIN index. Neither holds where in a text a term
stands: what was found is looked at again in the payloads (`search.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from msgspec.json import decode
from sqlalchemy import Connection

from muniment.ledger.entries import Body
from muniment.ledger.texts import Contents
from muniment.store.database import bulk
from muniment.store.search.tokenizer import terms
from muniment.types import Generation

Row: TypeAlias = tuple[int, str]
"""The number of a generation, and its terms with spaces between."""


def texts_of(generation: Generation) -> Iterator[tuple[str, str]]:
    """Yield what of a generation can be searched, each text with what it is.

    That is `system`, `prompt`, `output` (those that are text), `reason` (of verdicts) and
    `failure` (of the generation, its filters and evaluators).
    """
    if generation.system:
        yield "system", generation.system
    yield "prompt", generation.prompt
    for output in generation.outputs:
        if output.text:
            yield "output", output.text
    for verdict in generation.verdicts:
        for reason in verdict.reasons:
            if reason.message:
                yield "reason", reason.message
    for failed in (generation.failure, *generation.verdicts, *generation.scores):
        message = getattr(failed, "message", None) or getattr(failed, "failure", None)
        if message:
            yield "failure", message


def recorded_texts(outcome: Body, contents: Contents) -> Iterator[str]:
    """Yield the same texts straight from an outcome and the payloads of its generation.

    That takes a fraction of the time of putting the generation together first.
    """
    request, detail = (
        decode(contents("request", 0) or b"{}"),
        decode(contents("detail", 0) or b"{}"),
    )
    yield request.get("system") or ""
    yield (contents("prompt", 0) or b"").decode()
    for position, output in enumerate(outcome["outputs"]):
        if output["media_type"].startswith("text/"):
            yield (contents("output", position) or b"").decode()
    if outcome["failure"]:
        yield detail.get("failure", "")
    for name in ("verdicts", "scores"):
        said = detail.get(name, {})
        for position, held in enumerate(outcome[name]):
            of_one = said.get(str(position), {})
            yield from [reason["message"] for reason in of_one.get("reasons", ())]
            if held["failed"]:
                yield of_one.get("failure", "")


def terms_of(generation: Generation) -> str:
    """Return the terms of a generation that has its outcome, as a row holds them.

    Pure and the costly part, to be called before the lock is taken.
    """
    return " ".join(terms(text for _, text in texts_of(generation)))


def insert(connection: Connection, rows: Sequence[Row]) -> None:
    """Make generations findable; each may be inserted once."""
    rows = [row for row in rows if row[1]]
    if rows:
        if _sqlite(connection):
            connection.exec_driver_sql(_INSERT, rows)
        else:
            # An array as text, at once: terms are letters and digits, with nothing to escape.
            arrays = [(number, '{"' + '","'.join(held.split()) + '"}') for number, held in rows]
            bulk.copy(connection, "search", ["generation", "terms"], arrays)


def delete(connection: Connection, rows: Sequence[Row]) -> None:
    """Take generations out again; the terms must be those that were inserted.

    The bytes are gone only after `purge`.
    """
    rows = [row for row in rows if row[1]]
    if not rows:
        return
    if _sqlite(connection):
        connection.exec_driver_sql(
            "INSERT INTO search (search, rowid, terms) VALUES ('delete', ?, ?)", rows
        )
        return
    numbers = [number for number, _ in rows]
    connection.exec_driver_sql("DELETE FROM search WHERE generation = ANY(%s)", (numbers,))


def held(connection: Connection) -> Iterator[tuple[Sequence[int], Sequence[str]]]:
    """Yield what the whole index holds: numbers of generations and terms that all of these have.

    SQLite is asked for each term that there is as searching asks for it, so that a generation that
    is not found is not there; its numbers come as one text, since a row for each takes ten times as
    long.
    """
    if _sqlite(connection):
        connection.exec_driver_sql(_VOCABULARY)
        for term, numbers in connection.exec_driver_sql(_FOUND):
            yield list(map(int, (numbers or "").split(","))), (term,)
        return
    rows = connection.exec_driver_sql(
        "SELECT generation, terms FROM search", execution_options={"yield_per": 1000}
    )
    for number, terms_ in rows:
        yield (number,), terms_


def purge(connection: Connection) -> None:
    """Rewrite the index without what was deleted, which stays in the file until then.

    Takes time in proportion to the whole index. On PostgreSQL vacuum does this (outside any
    transaction), for rows deleted here as for those of every other table.
    """
    if _sqlite(connection):
        connection.exec_driver_sql("INSERT INTO search (search) VALUES ('optimize')")


def clear(connection: Connection) -> None:
    """Empty the index, to be made again."""
    connection.exec_driver_sql(
        "INSERT INTO search (search) VALUES ('delete-all')"
        if _sqlite(connection)
        else "TRUNCATE search"
    )


def _sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


_INSERT = "INSERT INTO search (rowid, terms) VALUES (?, ?)"
_VOCABULARY = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.term USING fts5vocab(main, search, row)"
_FOUND = """
SELECT term, (SELECT group_concat(rowid) FROM search WHERE search MATCH '"' || term || '"')
FROM temp.term
"""
