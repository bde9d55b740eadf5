"""The recorded policies and sets of plugins that a filter means."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress

from sqlalchemy import Connection, select

from muniment.config import normalised
from muniment.ledger.assembly import Texts
from muniment.ledger.payload_texts import PolicyText, decode_text
from muniment.names import split_version
from muniment.store.database.tables import plugin, policy
from muniment.store.errors import UNREADABLE
from muniment.store.queries.loader import entries_of, payloads_of
from muniment.store.queries.query import distinct
from muniment.types.policies import policy_digest, policy_label

_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{4,64})…?")
_LABEL = re.compile(r"(.+) \([0-9a-f]+…\)")


def policy_numbers(connection: Connection, wanted: str) -> list[int]:
    """Return the entries of the policies with a name, a file of a SHA-256 or a label.

    A name without a version means every version. The digest can be abbreviated to its first four
    characters or more. Labels are those of statistics.
    """
    is_named = (policy.c.name == wanted) | policy.c.name.startswith(f"{wanted}@", autoescape=True)
    numbers = set(connection.scalars(select(policy.c.seq).where(is_named)))
    if (digest := _DIGEST.fullmatch(wanted)) is not None:
        beginning = f"sha256:{digest[1]}"
        for number in connection.scalars(select(policy.c.seq)):
            if policy_digest(policy_document(connection, number)).startswith(beginning):
                numbers.add(number)
    elif (label := _LABEL.fullmatch(wanted)) is not None:
        named = select(policy.c.seq, policy.c.name).where(policy.c.name == label[1])
        numbers.update(
            number
            for number, name in connection.execute(named)
            if policy_label(name, policy_digest(policy_document(connection, number))) == wanted
        )
    return sorted(numbers)


def policy_labels(connection: Connection, numbers: Iterable[int]) -> dict[int, str]:
    """Return the labels of recorded policies by the numbers of their entries.

    The label is the name. If several texts of one name are recorded, it has the beginning of the
    digest too, except if the text was altered.
    """
    names = dict(connection.execute(select(policy.c.seq, policy.c.name)).tuples().all())
    labels = {number: names.get(number, "") for number in numbers}
    shared = {name for name, count in Counter(names.values()).items() if count > 1}
    repeated = shared.intersection(filter(None, labels.values()))
    digests = {
        number: policy_digest(policy_document(connection, number))
        for number, name in names.items()
        if name in repeated
    }
    texts = Counter(name for name, _ in {(names[number], text) for number, text in digests.items()})
    return {
        number: policy_label(name, digests[number]) if texts[name] > 1 else name
        for number, name in labels.items()
    }


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
