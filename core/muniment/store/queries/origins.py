"""The recorded models, generators and scores, and which of them a filter means."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from sqlalchemy import Connection

from muniment.errors import AmbiguousNameError, UnknownNameError

_DIGEST = re.compile(r"(?:[a-z0-9-]+:)?[0-9a-f]{4,}")
_SCHEMES = ("", "file-sha256:", "tree1-sha256:")

Origin: TypeAlias = tuple[str, str, str]
"""Generator, model name and model digest; the latter two are empty if no model runs."""


def distinct_origins(connection: Connection, generator: str | None) -> Iterator[Origin]:
    """Yield the recorded combinations of generator and model, each by lookups in the index."""
    table = "generation"
    # SQLite uses only the first column of a comparison of rows, so each column has its own loop.
    generators = [generator] if generator is not None else distinct(connection, table, "generator")
    for value in generators:
        of_generator = ("generator", value)
        for name in distinct(connection, table, "model_name", of_generator):
            of_model = ("model_name", name)
            for digest in distinct(connection, table, "model_digest", of_generator, of_model):
                yield value, name, digest


def is_model(model: str, name: str, digest: str) -> bool:
    """Return whether a filter's `model` is the name, the digest or a prefix of the digest."""
    return name == model or any(map(digest.startswith, digest_prefixes(model)))


def digest_prefixes(model: str) -> Sequence[str]:
    """Return the prefixes of digests that a filter's `model` can mean, if it can be a digest."""
    if not _DIGEST.fullmatch(model):
        return ()
    return [scheme + model for scheme in (_SCHEMES[:1] if ":" in model else _SCHEMES)]


def distinct(
    connection: Connection, table: str, column: str, *within: tuple[str, str]
) -> Iterator[str]:
    """Yield the distinct values of an indexed column, with one lookup for each.

    `within` has the preceding columns of the index with their values.
    """
    placeholder = ":{}" if connection.dialect.name == "sqlite" else "%({})s"
    conditions = [f"{name} = {placeholder.format(name)}" for name, _ in within]
    parameters = dict(within)
    greater = ""
    while True:
        where = " AND ".join([*conditions, greater] if greater else conditions) or "1 = 1"
        sql = f"SELECT {column} FROM {table} WHERE {where} ORDER BY {column} LIMIT 1"
        value = connection.exec_driver_sql(sql, parameters).scalar()
        if value is None:
            return
        yield value
        greater = f"{column} > {placeholder.format('after')}"
        parameters = parameters | {"after": value}


def find_score(connection: Connection, reference: str) -> tuple[str, str]:
    """Return the evaluator and the measure of a recorded score.

    Raise UnknownNameError if no recorded score has this name, and AmbiguousNameError if several
    evaluators use it.
    """
    pairs = [
        (evaluator, name)
        for name in distinct(connection, "score", "name")
        for evaluator in distinct(connection, "score", "evaluator", ("name", name))
    ]
    matches = [(one, name) for one, name in pairs if reference in (name, f"{one}.{name}")]
    if not matches:
        raise UnknownNameError("score", reference, sorted({name for _, name in pairs}))
    if len(matches) > 1:
        raise AmbiguousNameError("score", reference, sorted(map(".".join, matches)))
    return matches[0]
