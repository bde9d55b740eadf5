"""Find or append the entries that others refer to: actors, policies, environments, plugins.

Other entries refer to them by number. They are appended in an earlier, short transaction of their
own, because the bytes of the other entries contain the numbers and are prepared without the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, func, select

from muniment.ledger import entries
from muniment.ledger.entries import Body
from muniment.ledger.payloads import Payload
from muniment.ledger.texts import policy_of
from muniment.store.database.engine import Database
from muniment.store.database.projections import ROWS
from muniment.store.database.tables import actor, environment, metadata, payload, plugin, policy
from muniment.store.recording.ledger import PreparedEntry, append, prepare
from muniment.types import PluginRef

Facts: TypeAlias = tuple[tuple[str, str | int], ...]
Numbers: TypeAlias = dict[tuple[str, Any], int]
"""Numbers of entries by kind and key."""


class _Kind(NamedTuple):
    find: Callable[[Connection, Sequence[Any]], dict[Any, int]]
    make: Callable[[Any], PreparedEntry]


def numbers(database: Database, wanted: Mapping[str, Iterable[Hashable]]) -> Numbers:
    """Return the number of each wanted entry by kind and key. Append the missing entries.

    The key of an `actor` is a name; of a `policy`, name and document; of a `plugin`, a PluginRef;
    of an `environment`, the items of its facts.
    """
    keys = {kind: list(dict.fromkeys(given)) for kind, given in wanted.items()}
    with database.reading() as connection:
        known = _find(connection, keys)
    made = {
        (kind, key): _KINDS[kind].make(key)
        for kind, held in keys.items()
        for key in held
        if (kind, key) not in known
    }
    if made:
        with database.writing() as connection:
            known |= _find(connection, keys)  # another process may have appended them
            for named, prepared in made.items():
                if named not in known:
                    known[named] = _add(connection, prepared)
    return known


def _find(connection: Connection, keys: Mapping[str, Sequence[Any]]) -> Numbers:
    return {
        (kind, key): number
        for kind, held in keys.items()
        if held
        for key, number in _KINDS[kind].find(connection, held).items()
    }


def _add(connection: Connection, prepared: PreparedEntry) -> int:
    number = append(connection, [prepared])
    rows = ROWS[prepared.body["kind"]](number, prepared.body, prepared.content)
    for table, held in rows.items():
        connection.execute(metadata.tables[table].insert(), held)
    return number


def _find_actors(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    rows = connection.execute(
        select(actor.c.name, func.min(actor.c.seq).label("seq"))
        .where(actor.c.name.in_(names))
        .group_by(actor.c.name)
    )
    return {row.name: row.seq for row in rows}


def _make_actor(name: str) -> PreparedEntry:
    held = Payload.new("actor", name.encode())
    return prepare(entries.actor(held.commitment), [held])


def _find_policy(connection: Connection, key: tuple[str, str]) -> int | None:
    return connection.scalar(
        select(policy.c.seq)
        .join(payload, (payload.c.entry == policy.c.seq) & (payload.c.kind == "policy"))
        .where(policy.c.name == key[0], payload.c.content == policy_of(*key))
        .order_by(policy.c.seq)
        .limit(1)
    )


def _make_policy(key: tuple[str, str]) -> PreparedEntry:
    held = Payload.new("policy", policy_of(*key))
    return prepare(entries.policy(held.commitment), [held])


def _find_environment(connection: Connection, facts: Facts) -> int | None:
    digest = entries.environment_digest(dict(facts))
    return connection.scalar(select(environment.c.seq).where(environment.c.digest == digest))


def _find_plugin(connection: Connection, found: PluginRef) -> int | None:
    return connection.scalar(
        select(plugin.c.seq).where(
            plugin.c.distribution == found.distribution,
            plugin.c.version == found.version,
            plugin.c.digest == found.digest,
        )
    )


def _make_environment(facts: Facts) -> PreparedEntry:
    return prepare(entries.environment(dict(facts)))


def _make_plugin(found: PluginRef) -> PreparedEntry:
    body: Body = entries.plugin(found)
    return prepare(body)


def _each(
    find: Callable[[Connection, Any], int | None],
) -> Callable[[Connection, Sequence[Any]], dict[Any, int]]:
    """Return a function that calls `find` for each key. Most kinds have few keys at a time."""

    def found(connection: Connection, keys: Sequence[Any]) -> dict[Any, int]:
        numbers = ((key, find(connection, key)) for key in keys)
        return {key: number for key, number in numbers if number is not None}

    return found


_KINDS: Mapping[str, _Kind] = {
    "actor": _Kind(_find_actors, _make_actor),
    "policy": _Kind(_each(_find_policy), _make_policy),
    "environment": _Kind(_each(_find_environment), _make_environment),
    "plugin": _Kind(_each(_find_plugin), _make_plugin),
}
