"""Find or append the entries that others refer to: actors, policies, environments, plugins.

Other entries contain their numbers, and are prepared without the write lock. So they are appended
in an earlier, short transaction of their own.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Connection

from muniment.ledger.canonical import encode_number
from muniment.ledger.division import plugin_fact
from muniment.ledger.entries import ActorEntry, EnvironmentEntry, PluginEntry, PolicyEntry
from muniment.ledger.payload_texts import PolicyText, encode_text
from muniment.ledger.payloads import Payloads
from muniment.store.database import bulk
from muniment.store.database.engine import Database
from muniment.store.database.projections import facts_digest
from muniment.store.recording.ledger import PreparedEntry, append_with_rows, prepare
from muniment.validation import check_name

Facts: TypeAlias = tuple[tuple[str, str | int], ...]
Numbers: TypeAlias = dict[tuple[str, Any], int]
"""Numbers of entries by kind and key."""


def numbers(database: Database, wanted: Mapping[str, Iterable[Hashable]]) -> Numbers:
    """Return the number of each wanted entry by kind and key. Append the missing entries.

    The key of an `actor` is its name, that of a `policy` its name and document. The key of a
    `plugin` is its PluginRef, that of an `environment` the items of its facts.
    """
    keys = list(dict.fromkeys((kind, key) for kind, given in wanted.items() for key in given))
    with database.reading() as connection:
        known = _find(connection, keys)
    made = {key: _prepare(*key) for key in keys if key not in known}
    if made:
        with database.writing() as connection:
            known |= _find(connection, list(made))  # another process may have appended them
            for key, prepared in made.items():
                if key not in known:
                    known[key] = append_with_rows(connection, prepared)
    return known


def actor_number(database: Database, name: str) -> int:
    """Return the number of an actor's entry. Append the entry if it is missing."""
    check_name("actor's name", name)
    return numbers(database, {"actor": [name]})["actor", name]


def _find(connection: Connection, keys: Sequence[tuple[str, Any]]) -> Numbers:
    found = ((key, _number_of(connection, *key)) for key in keys)
    return {key: number for key, number in found if number is not None}


def _number_of(connection: Connection, kind: str, key: Any) -> int | None:
    """Return the number of an entry, or None if it is missing."""
    match kind:
        case "actor":
            values: tuple[Any, ...] = (key,)
        case "policy":
            values = (key[0], _policy_content(*key))
        case "environment":
            values = (facts_digest(_facts(key)),)
        case _:
            values = (key.distribution, key.version, key.digest)
    rows = bulk.execute(connection, _LOOKUPS[kind], values)
    return rows[0][0] if rows else None


_LOOKUPS = {
    "actor": "SELECT min(seq) FROM actor WHERE name = ?",
    "policy": "SELECT min(seq) FROM policy JOIN payload ON entry = seq AND kind = 'policy' "
    "WHERE name = ? AND content = ?",
    "environment": "SELECT seq FROM environment WHERE digest = ?",
    "plugin": "SELECT seq FROM plugin WHERE distribution = ? AND version = ? AND digest = ?",
}


def _prepare(kind: str, key: Any) -> PreparedEntry:
    payloads = Payloads()
    match kind:
        case "actor":
            return prepare(ActorEntry(name=payloads.add("actor", key.encode())), payloads)
        case "policy":
            document = payloads.add("policy", _policy_content(*key))
            return prepare(PolicyEntry(document=document), payloads)
        case "environment":
            return prepare(EnvironmentEntry(facts=_facts(key)))
    return prepare(PluginEntry(plugin=plugin_fact(key)))


def _policy_content(name: str, document: str) -> bytes:
    return encode_text(PolicyText(name, document))


def _facts(key: Facts) -> dict[str, str | int]:
    return {name: fact if isinstance(fact, str) else encode_number(fact) for name, fact in key}
