"""The recorded policies and sets of plugins that a filter means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256

from sqlalchemy import Connection, select

from muniment.config import normalised
from muniment.ledger.assembly import Texts
from muniment.ledger.payload_texts import PolicyText, decode_text
from muniment.names import split_version
from muniment.store.database.tables import plugin, policy
from muniment.store.errors import UNREADABLE
from muniment.store.queries.loader import entries_of, payloads_of
from muniment.store.queries.query import distinct

_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{4,64})")


def policy_numbers(connection: Connection, wanted: str) -> list[int]:
    """Return the entries of the policies with a name, or with a file of a SHA-256.

    A name without a version means every version. The digest can be abbreviated to its first four
    characters or more.
    """
    is_named = (policy.c.name == wanted) | policy.c.name.startswith(f"{wanted}@", autoescape=True)
    numbers = set(connection.scalars(select(policy.c.seq).where(is_named)))
    if (digest := _DIGEST.fullmatch(wanted)) is not None:
        for number in connection.scalars(select(policy.c.seq)):
            document = policy_document(connection, number)
            if document and sha256(document.encode()).hexdigest().startswith(digest[1]):
                numbers.add(number)
    return sorted(numbers)


def policy_document(connection: Connection, number: int) -> str:
    """Return the document of a recorded policy, or "" if it was erased or altered."""
    altered: set[int] = set()
    texts = Texts()
    with suppress(*UNREADABLE):
        entry = entries_of(connection, [number], altered)[number]
        if not altered:
            texts.add(entry, payloads_of(connection, [number]).get(number, {}))
    return decode_text(PolicyText, texts.get("policy")).document


def plugin_sets(connection: Connection, wanted: str) -> Iterator[str]:
    """Yield the values of `generation.plugins` with a distribution, or with it at a version.

    Each recorded set of plugins is looked up once in the index. There are few of them.
    """
    name, version = split_version(wanted)
    numbers = {
        str(row.seq)
        for row in connection.execute(select(plugin))
        if normalised(row.distribution) == normalised(name) and version in (None, row.version)
    }
    if numbers:
        for members in distinct(connection, "generation", "plugins"):
            if not numbers.isdisjoint(members.split(",")):
                yield members
