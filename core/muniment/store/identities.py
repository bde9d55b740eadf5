"""Actors, policies and environments: written once each, then referred to by id.

They have short transactions of their own, before the generations that need them: their ids must
be known before an entry can be made canonical outside the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Table, select

from muniment.ids import new_id
from muniment.ledger import entries
from muniment.ledger.payloads import Payload
from muniment.ledger.texts import policy_of
from muniment.store import projections
from muniment.store.database import Database
from muniment.store.ledger import Prepared, append, prepare
from muniment.store.tables import actor, environment, payload, policy

Facts = Mapping[str, str | int]


def actors(database: Database, names: Iterable[str]) -> dict[str, str]:
    """Return the id of each actor by name, making those that are new."""

    def find(connection: Connection, name: str) -> str | None:
        found: str | None = connection.scalar(
            select(actor.c.id).where(actor.c.name == name).order_by(actor.c.seq)
        )
        return found

    def make(name: str) -> tuple[str, Prepared]:
        held = Payload.new(new_id(), "actor", name.encode())
        return held.owner, prepare(entries.actor(held.owner, held.ref), [held])

    def row(seq: int, made: Prepared) -> dict[str, Any]:
        return projections.actor_row(seq, made.body, made.content("actor"))

    return _ensure(database, actor, dict.fromkeys(names), find, make, row)


def policies(database: Database, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the id of each policy by (name, document), making those that are new."""

    def find(connection: Connection, key: tuple[str, str]) -> str | None:
        found: str | None = connection.scalar(
            select(policy.c.id)
            .join(payload, (payload.c.owner == policy.c.id) & (payload.c.kind == "policy"))
            .where(policy.c.name == key[0], payload.c.content == policy_of(*key))
            .order_by(policy.c.seq)
        )
        return found

    def make(key: tuple[str, str]) -> tuple[str, Prepared]:
        held = Payload.new(new_id(), "policy", policy_of(*key))
        return held.owner, prepare(entries.policy(held.owner, held.ref), [held])

    def row(seq: int, made: Prepared) -> dict[str, Any]:
        return projections.policy_row(seq, made.body, made.content("policy"))

    return _ensure(database, policy, dict.fromkeys(wanted), find, make, row)


def environments(database: Database, wanted: Iterable[Facts]) -> list[str | None]:
    """Return the id of each environment, the digest of its facts, making those that are new.

    Where there are no facts there is no environment.
    """
    ids: list[str | None] = []
    facts: dict[str, Facts] = {}
    digests: dict[tuple[tuple[str, str | int], ...], str] = {}
    for item in wanted:
        key = tuple(item.items())
        if key and key not in digests:
            digests[key] = entries.environment_id(item)
            facts[digests[key]] = item
        ids.append(digests.get(key))

    def find(connection: Connection, key: str) -> str | None:
        found: str | None = connection.scalar(
            select(environment.c.id).where(environment.c.id == key)
        )
        return found

    def make(key: str) -> tuple[str, Prepared]:
        return key, prepare(entries.environment(facts[key]))

    def row(seq: int, made: Prepared) -> dict[str, Any]:
        return projections.environment_row(seq, made.body)

    _ensure(database, environment, facts, find, make, row)
    return ids


def _ensure(
    database: Database,
    table: Table,
    wanted: Collection[Any],
    find: Callable[[Connection, Any], str | None],
    make: Callable[[Any], tuple[str, Prepared]],
    row: Callable[[int, Prepared], dict[str, Any]],
) -> dict[Any, str]:
    """Find what is there; make the rest, unless another process did so in the meantime."""
    if not wanted:
        return {}
    with database.reading() as connection:
        known = {key: id for key in wanted if (id := find(connection, key))}
    made = {key: make(key) for key in wanted if key not in known}
    if made:
        with database.writing() as connection:
            for key, (id, prepared) in made.items():
                found = find(connection, key)
                if found is None:
                    seq = append(connection, [prepared])
                    connection.execute(table.insert(), row(seq, prepared))
                known[key] = found or id
    return known
