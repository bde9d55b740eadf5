"""The tables to find by are made again from entries and payloads, row by row as they were."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from sqlalchemy import select, update

from muniment.errors import StoreError
from muniment.ids import new_id
from muniment.store import Query, Store
from muniment.store.database.tables import entry, metadata
from muniment.store.search import index
from muniment.types.generations import Failure, Generation

EVIDENCE = {"entry", "ledger_head", "node", "payload", "checkpoint", "lease", "pending"}
PROJECTIONS = [table for table in metadata.sorted_tables if table.name not in EVIDENCE]


def tables(store: Store) -> dict[str, list[str]]:
    """Every row of every table but the search index, whose rows cannot be read."""
    with store._database.reading() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in metadata.sorted_tables
            if table.name != "lease"
        }


def answers(store: Store) -> dict[str, list[str]]:
    """What is found by words and filters."""
    found = {
        word: [hit.generation.id for hit in store.search(word)]
        for word in ("prompt", "卫星", "国", "says", "long", "nothing")
    }
    for query in (Query(tag="x"), Query(status="failed"), Query(filter="slow"), Query(seed=7)):
        found[str(dataclasses.astuple(query))] = [
            generation.id for generation in store.generations(query)
        ]
    return found


@pytest.fixture
def filled(store: Store, start: Any, finish: Any, rich: tuple[Generation, Generation]) -> Store:
    run = new_id()
    started = [start(f"prompt {n}", run_id=run, line=n, tags=("x",)) for n in range(9)]
    store.record_started([rich[0], *started], policy_document="rules: []")
    failed = finish(started[-2], status="failed", failure=Failure("refused", "too long"))
    store.record_outcomes([rich[1], failed, *(finish(item) for item in started[:-2])])
    return store


def test_rebuilt_tables_are_as_they_were(filled: Store) -> None:
    before, found = tables(filled), answers(filled)
    assert found["卫星"]
    rows = filled.rebuild()
    assert tables(filled) == before
    assert answers(filled) == found
    assert rows["generation"] == 10
    assert filled.verify(projections=True, payloads=True).problems == []


def test_emptied_tables_are_mended(filled: Store) -> None:
    before, found = tables(filled), answers(filled)
    with filled._database.writing() as connection:
        for table in PROJECTIONS:
            connection.execute(table.delete())
        index.clear(connection)
    assert not filled.verify(projections=True, payloads=False).ok
    filled.rebuild()
    assert tables(filled) == before
    assert answers(filled) == found
    assert filled.verify(projections=True, payloads=True).problems == []


def test_what_was_erased_stays_erased(filled: Store, rich: tuple[Generation, Generation]) -> None:
    filled.erasures.erase(Query(ids=[rich[0].id]), "anna", reason="asked")
    before, found = tables(filled), answers(filled)
    assert found["卫星"] == []
    filled.rebuild()
    assert tables(filled) == before
    assert answers(filled) == found
    assert filled.verify(projections=True, payloads=True).problems == []


def test_what_cannot_be_read_leaves_everything_as_it_was(filled: Store) -> None:
    with filled._database.writing() as connection:
        connection.execute(
            update(entry).where(entry.c.kind == "outcome").values(canonical_bytes=b"{}")
        )
    before = tables(filled)
    with pytest.raises(StoreError, match="cannot be rebuilt"):
        filled.rebuild()
    assert tables(filled) == before
