"""The reasons why no generation can match a query, such as a misspelt tag."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, select

from muniment.errors import similar_names
from muniment.store.database.tables import (
    actor,
    generation_tag,
    plugin,
    verdict,
    verdict_category,
)
from muniment.store.queries.origins import plugin_sets, policy_numbers
from muniment.store.queries.query import Query, distinct, distinct_origins, is_model

_MOST = 1_000  # recorded names that are compared with an unknown one; a store can have many tags


def obstacles(connection: Connection, query: Query) -> list[str]:
    """Return a clause for each reason why no generation can match a query.

    These are an empty period, and each name that nothing recorded has, with similar names.
    """
    clauses = []
    since, until = query.period
    if since is not None and until is not None and since >= until:
        clauses.append("the period is empty, because it ends before it begins")
    for kind, (is_recorded, names) in _KINDS.items():
        wanted = getattr(query, kind)
        if wanted is None or is_recorded(connection, wanted):
            continue
        similar = similar_names(wanted, islice(filter(None, names(connection)), _MOST))
        hint = f" (did you mean {' or '.join(similar)}?)" if similar else ""
        clauses.append(f"no {_NOUNS.get(kind, kind)} {wanted!r} is recorded{hint}")
    return clauses


_NOUNS = {"made_with": "plugin"}


def _has(table: Table, column: str) -> Callable[[Connection, str], bool]:
    def is_recorded(connection: Connection, name: str) -> bool:
        statement = select(table.c[column]).where(table.c[column] == name).limit(1)
        return connection.scalar(statement) is not None

    return is_recorded


def _values(table: Table, column: str) -> Callable[[Connection], Iterable[str]]:
    return lambda connection: distinct(connection, table.name, column)


def _has_generator(connection: Connection, name: str) -> bool:
    return name in distinct(connection, "generation", "generator")


def _has_model(connection: Connection, model: str) -> bool:
    origins = distinct_origins(connection, None)
    return any(is_model(model, name, digest) for _, name, digest in origins)


def _models(connection: Connection) -> Iterator[str]:
    yield from dict.fromkeys(name for _, name, _ in distinct_origins(connection, None))


def _policies(connection: Connection) -> Iterator[str]:
    """Yield the names of policies, with and without versions."""
    for name in distinct(connection, "policy", "name"):
        yield from dict.fromkeys((name.partition("@")[0], name))


def _plugins(connection: Connection) -> Iterator[str]:
    """Yield the distributions of plugins, and those with a version."""
    for row in connection.execute(select(plugin.c.distribution, plugin.c.version).distinct()):
        yield row.distribution
        yield f"{row.distribution}=={row.version}"


_KINDS: Mapping[
    str, tuple[Callable[[Connection, str], Any], Callable[[Connection], Iterable[str]]]
] = {
    "generator": (_has_generator, lambda c: distinct(c, "generation", "generator")),
    "model": (_has_model, _models),
    "filter": (_has(verdict, "filter"), _values(verdict, "filter")),
    "category": (_has(verdict_category, "category"), _values(verdict_category, "category")),
    "policy": (policy_numbers, _policies),
    "made_with": (lambda c, name: any(plugin_sets(c, name)), _plugins),
    "actor": (_has(actor, "name"), _values(actor, "name")),
    "tag": (_has(generation_tag, "tag"), _values(generation_tag, "tag")),
}
