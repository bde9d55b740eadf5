"""Record entries of version 1, as the releases before inputs, items and fingerprints did."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from sqlalchemy import Connection

from muniment.ledger.entries import Entry
from muniment.ledger.schema import ENTRIES, OLD
from muniment.store.recording import generations, ledger
from muniment.store.recording.ledger import PreparedEntry, prepare
from muniment.types.generations import Generation


def write_version_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Append entries of version 1 from now on. Their rows are those of the newest version."""
    append = ledger.append

    def append_old(connection: Connection, prepared: Sequence[PreparedEntry]) -> int:
        return append(connection, [prepare(_old(p.entry), p.payloads) for p in prepared])

    for module in (ledger, generations):
        monkeypatch.setattr(module, "append", append_old)


def without_new_fields(generation: Generation) -> Generation:
    """Return a generation as version 1 can record it."""
    return dataclasses.replace(
        generation,
        inputs=(),
        cell=None,
        outputs=tuple(
            dataclasses.replace(output, kept=None, fingerprint=None)
            for output in generation.outputs
        ),
        verdicts=tuple(
            dataclasses.replace(verdict, item=None, input=None, stage="output")
            for verdict in generation.verdicts
        ),
    )


def _old(entry: Entry) -> Entry:
    if (entry.kind, 1) not in OLD:
        return entry
    entry_class = ENTRIES[entry.kind, 1]
    names = set(entry_class.__struct_fields__) - {"kind", "version"}
    return entry_class(**{name: getattr(entry, name) for name in names})
