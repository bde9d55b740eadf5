"""Nothing is recorded in a store whose schema, last entry or ledger nodes were altered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from muniment.errors import DamagedStoreError, StoreError, StoreVersionError
from muniment.store import Store
from muniment.store.retention.protection import Rule
from support.databases import ask, by_hand, only_postgresql, only_sqlite

pytestmark = pytest.mark.dialect

FUNCTION = "CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"


def alter(url: str, *statements: str) -> None:
    """Run statements past the store."""
    with by_hand(url) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def refused(url: str, start: Any, error: type[Exception], name: str) -> None:
    """Check that writing raises an error that has a name, and appends nothing."""
    before = ask(url, "SELECT size FROM ledger_head")
    with Store.open(url, create=False) as store:
        with pytest.raises(error, match=name):
            store.record_started([start()], policy_document="rules: []")
        with pytest.raises(error, match=name):
            store.retention.set_rule(Rule("prompt", most_days=9), "anna")
    assert ask(url, "SELECT size FROM ledger_head") == before


@pytest.fixture
def recorded(store: Store, start: Any) -> Store:
    """A store with more entries than one node covers."""
    store.record_started([start(f"prompt {n}") for n in range(300)], policy_document="rules: []")
    return store


def test_nothing_is_written_beside_an_unknown_view(store: Store, url: str, start: Any) -> None:
    alter(url, "CREATE VIEW other AS SELECT 1 AS one")
    refused(url, start, StoreVersionError, "view other")


def test_nothing_is_written_to_a_view_in_place_of_a_table(
    store: Store, url: str, start: Any
) -> None:
    alter(
        url,
        "ALTER TABLE payload RENAME TO other",
        "CREATE VIEW payload AS SELECT * FROM other",
    )
    refused(url, start, StoreVersionError, "schema was altered")


@only_sqlite
def test_nothing_is_written_to_a_file_with_a_trigger(store: Store, url: str, start: Any) -> None:
    alter(url, "CREATE TRIGGER other AFTER INSERT ON entry BEGIN SELECT 1; END")
    refused(url, start, StoreVersionError, "trigger other")


@only_sqlite
def test_a_file_that_is_altered_between_two_writes_is_detected(
    store: Store, url: str, start: Any
) -> None:
    store.record_started([start()], policy_document="rules: []")
    alter(url, "CREATE TRIGGER other AFTER INSERT ON entry BEGIN SELECT 1; END")
    with pytest.raises(StoreVersionError, match="trigger other"):
        store.record_started([start()], policy_document="rules: []")


@only_postgresql
@pytest.mark.parametrize(
    ("statements", "name"),
    [
        (
            [FUNCTION, "CREATE TRIGGER other BEFORE INSERT ON entry EXECUTE FUNCTION other()"],
            "function other",
        ),
        (["CREATE RULE other AS ON INSERT TO payload DO INSTEAD NOTHING"], "rule payload.other"),
    ],
)
def test_nothing_is_written_to_a_database_with_a_trigger_or_rule(
    store: Store, url: str, start: Any, statements: list[str], name: str
) -> None:
    alter(url, *statements)
    refused(url, start, StoreVersionError, name)


LAST = "WHERE seq = (SELECT max(seq) FROM entry)"
OTHER = "(SELECT {} FROM entry WHERE seq = 9)"
BOTH = "canonical_bytes, leaf_hash"


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM node",
        f"DELETE FROM entry {LAST}",
        f"UPDATE entry SET canonical_bytes = {OTHER.format('canonical_bytes')} {LAST}",
        f"UPDATE entry SET ({BOTH}) = {OTHER.format(BOTH)} {LAST}",
        "UPDATE ledger_head SET size = size - 1",
        f"UPDATE ledger_head SET frontier = {OTHER.format('leaf_hash')}",
    ],
    ids=["nodes", "no last entry", "last bytes", "last entry", "size", "frontier"],
)
def test_nothing_is_appended_to_an_altered_ledger(
    recorded: Store, url: str, start: Any, statement: str
) -> None:
    recorded.close()
    alter(url, statement)
    refused(url, start, StoreError, "altered|damaged")


@pytest.mark.parametrize(
    "statements",
    [
        ["INSERT INTO alembic_version VALUES ('1001')"],
        ["DELETE FROM alembic_version"],
    ],
    ids=["two rows", "no row"],
)
def test_nothing_is_written_to_a_store_without_one_revision(
    store: Store, url: str, start: Any, statements: list[str]
) -> None:
    store.record_started([start()], policy_document="rules: []")
    alter(url, *statements)
    with pytest.raises(StoreVersionError, match="alembic_version"):
        store.record_started([start()], policy_document="rules: []")
    report = store.verify()
    assert [problem.where for problem in report.problems] == ["table alembic_version"]


@only_sqlite
@pytest.mark.parametrize("table", ["alembic_version", "backfill"])
def test_a_revision_that_is_no_text_is_refused(store: Store, url: str, table: str) -> None:
    column = {"alembic_version": "version_num", "backfill": "revision"}[table]
    store.close()
    alter(url, f"DELETE FROM {table}")
    values = ("x'31303032'", "'soon'", "'\u0661\u0660\u0660\u0661'")
    for value in values:
        alter(url, f"DELETE FROM {table}")
        columns = f"({column})" if table == "alembic_version" else f"({column}, position)"
        row = value if table == "alembic_version" else f"{value}, 0"
        alter(url, f"INSERT INTO {table} {columns} VALUES ({row})")
        for options in ({}, {"outdated": True}):
            with pytest.raises(StoreVersionError, match="alembic_version or backfill"):
                Store.open(url, create=False, **options)


@pytest.mark.parametrize("written", [True, False])
def test_a_store_that_a_newer_version_upgraded_asks_for_that_version(
    store: Store, url: str, start: Any, written: bool
) -> None:
    if written:
        store.record_started([start()], policy_document="rules: []")
    alter(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreVersionError, match="upgraded by a newer Muniment") as caught:
        store.record_started([start()], policy_document="rules: []")
    assert "restore" not in str(caught.value)


def test_an_altered_ledger_is_named_without_its_password(
    recorded: Store, url: str, start: Any, tmp_path: Path
) -> None:
    recorded.close()
    alter(url, "DELETE FROM node")
    address = url
    if not url.startswith("sqlite"):
        address += ("&" if "?" in url else "?") + "password=s3cret"
    with (
        Store.open(address, create=False) as store,
        pytest.raises(DamagedStoreError) as caught,
    ):
        store.record_started([start()], policy_document="rules: []")
    for text in (str(caught.value), caught.value.url):
        assert "s3cret" not in text
    name = str(store.path or store.url)
    assert f"the store {name}," in str(caught.value)


def test_tables_without_evidence_are_written_in_an_altered_store(
    store: Store, url: str, start: Any
) -> None:
    store.record_started([start()], policy_document="rules: []")
    alter(
        url,
        "CREATE INDEX mine ON event (kind)",
        "INSERT INTO erasing (erasure, snapshot_xid) VALUES (1, 0)",
    )
    assert store.erasures.finish()
    assert ask(url, "SELECT * FROM erasing") == []
    assert len(ask(url, "SELECT * FROM lease")) == 1
    store.close()
    assert ask(url, "SELECT * FROM lease") == []
