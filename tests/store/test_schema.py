"""A store must have the schema that the migrations make, and indexes that fit their tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from make_schemas import FOLDER, contents
from muniment.errors import VerificationError
from muniment.store import Query, Store
from muniment.store.database import catalog
from muniment.store.database.tables import VIEWS
from muniment.store.recording import schema_version
from support.databases import altered_index, by_hand, only_postgresql, only_sqlite

pytestmark = pytest.mark.dialect


def alter(url: str, *statements: str) -> None:
    """Run statements past the store."""
    with by_hand(url) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def objects(url: str) -> set[str]:
    """Return the objects of the schema that verification reports, and check what it did."""
    with Store.open(url, create=False) as store:
        found = store.verify()
    assert found.checked == ["schema", "tree", "entries"]
    assert found.ok == (not found.problems)
    assert {problem.kind for problem in found.problems} <= {"schema"}
    return {problem.where for problem in found.problems}


# ---- the listings ------------------------------------------------------------------------------


def test_listings_of_each_revision_equal_the_migrated_schema(kind: str, url: str) -> None:
    if kind == "sqlite":
        Path(url.removeprefix("sqlite:///")).parent.mkdir()
    made = contents(url, catalog.migrations())
    assert made == {
        file.name: file.read_text(encoding="utf-8") for file in FOLDER.glob(f"*.{kind}.json")
    }
    assert f"{schema_version.HEAD}.{kind}.json" in made


def test_a_new_store_has_the_expected_schema(store: Store) -> None:
    for checks in ({}, {"projections": True}, {"payloads": True}, {"search": True}):
        found = store.verify(**checks)
        assert found.problems == []
        integrity = bool(checks) and store.path is not None
        assert ("integrity" in found.checked) == integrity


@only_postgresql
def test_a_store_in_another_schema_has_the_expected_schema(url: str) -> None:
    alter(url, 'CREATE SCHEMA "Own"', "CREATE FUNCTION other() RETURNS int RETURN 1")
    place = make_url(url).update_query_dict({"options": '-csearch_path="Own",public'})
    place = place.render_as_string(hide_password=False)
    with Store.open(place, create=True) as store:
        assert store.status().size > 0
    assert objects(place) == set()


@only_postgresql
def test_objects_of_extensions_are_accepted(store: Store, url: str) -> None:
    alter(url, "CREATE TABLE other ()", "CREATE FUNCTION other() RETURNS int RETURN 1")
    for member in ("TABLE other", "FUNCTION other()"):
        alter(url, f"ALTER EXTENSION plpgsql ADD {member}")
    assert objects(url) == set()


@only_sqlite
def test_statistics_and_white_space_are_accepted(store: Store, url: str) -> None:
    alter(
        url,
        "ANALYZE",
        "INSERT INTO sqlite_stat1 VALUES ('payload', 'sqlite_autoindex_payload_1', '9 unordered')",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = replace(sql, ', ', ',  ') WHERE name LIKE 'ix%'",
    )
    assert objects(url) == set()


# ---- alterations -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "names"),
    [
        (["CREATE VIEW other AS SELECT 1 AS one"], ["view other"]),
        (["CREATE INDEX other ON payload (kind)"], ["index other"]),
        (["DROP INDEX ix_actor_name"], ["index ix_actor_name"]),
        (
            ["DROP INDEX ix_run", "CREATE UNIQUE INDEX ix_run ON generation (run, seq)"],
            ["index ix_run"],
        ),
        (
            ["DROP INDEX ix_run", "CREATE INDEX ix_run ON generation (run, seq) WHERE seq > 9"],
            ["index ix_run"],
        ),
    ],
)
def test_an_altered_index_or_view_is_named(
    store: Store, url: str, statements: list[str], names: list[str]
) -> None:
    alter(url, *(statement.replace("ix_run", "ix_generation_run_seq") for statement in statements))
    assert objects(url) == {name.replace("ix_run", "ix_generation_run_seq") for name in names}


def test_a_view_in_place_of_a_table_is_named(store: Store, url: str) -> None:
    alter(
        url,
        "ALTER TABLE payload RENAME TO other",
        "CREATE VIEW payload AS SELECT * FROM other WHERE kind <> 'prompt'",
    )
    assert objects(url) >= {"table payload", "view payload", "table other"}


@pytest.mark.parametrize("table", ["entry", "verdict"])
def test_a_missing_table_is_named_though_reading_fails(store: Store, url: str, table: str) -> None:
    alter(url, f"DROP TABLE {table}{' CASCADE' if store.path is None else ''}")
    with (
        Store.open(url, create=False) as altered,
        pytest.raises(VerificationError, match=f"table {table}: it is missing"),
    ):
        altered.verify(projections=True)


@only_sqlite
@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("CREATE TABLE other (id INTEGER)", "table other"),
        ("CREATE TRIGGER other AFTER INSERT ON entry BEGIN SELECT 1; END", "trigger other"),
        ("ALTER TABLE verdict ADD COLUMN other TEXT", "table verdict"),
    ],
)
def test_an_altered_table_of_a_file_is_named(
    store: Store, url: str, statement: str, name: str
) -> None:
    alter(url, statement)
    assert objects(url) == {name}


@only_sqlite
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("actor", "name TEXT", "name TEXT COLLATE NOCASE"),
        ("actor", "TEXT", "TEXT\u00a0"),
        ("actor", "NOT NULL", '"NOT" NULL'),
        ("actor", "name TEXT", "name /* TEXT */"),
        ("ix_generation_open", "'started'", "' started'"),
        ("ix_generation_open", "'started'", "'Started'"),
    ],
)
def test_an_altered_definition_of_a_file_is_named(
    store: Store, url: str, name: str, old: str, new: str
) -> None:
    with by_hand(url) as connection:
        connection.exec_driver_sql("PRAGMA writable_schema = ON")
        [sql] = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE name = ?", (name,)
        ).one()
        assert old in sql
        connection.exec_driver_sql(
            "UPDATE sqlite_master SET sql = ? WHERE name = ?", (sql.replace(old, new), name)
        )
    assert {reported.split()[1] for reported in objects(url)} == {name}


FUNCTION = "CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
EQUAL = "FUNCTION = texteq, LEFTARG = text, RIGHTARG = text"


@only_postgresql
@pytest.mark.parametrize(
    ("statements", "names"),
    [
        (["CREATE TABLE other ()"], ["table other"]),
        (["CREATE SEQUENCE other"], ["sequence other"]),
        (
            [FUNCTION, "CREATE TRIGGER other BEFORE INSERT ON entry EXECUTE FUNCTION other()"],
            ["function other()", "trigger entry.other"],
        ),
        (["CREATE RULE other AS ON INSERT TO entry DO INSTEAD NOTHING"], ["rule entry.other"]),
        (["ALTER TABLE entry ENABLE ROW LEVEL SECURITY"], ["table entry"]),
        (["CREATE POLICY other ON entry USING (seq < 9)"], ["policy entry.other"]),
        (["ALTER TABLE payload SET UNLOGGED"], ["table payload"]),
        (["ALTER TABLE verdict ADD COLUMN other text"], ["column verdict.other"]),
        (
            ["ALTER TABLE environment DROP COLUMN digest"],
            ["column environment.digest", "constraint environment.uq_environment_digest"],
        ),
        (["ALTER TABLE environment ALTER digest TYPE varchar"], ["column environment.digest"]),
        (
            ['ALTER TABLE environment ALTER digest TYPE text COLLATE "POSIX"'],
            ["column environment.digest"],
        ),
        (["ALTER TABLE environment ALTER digest DROP NOT NULL"], ["column environment.digest"]),
        (["ALTER TABLE environment ALTER digest SET DEFAULT ''"], ["column environment.digest"]),
        (
            ["ALTER TABLE environment DROP CONSTRAINT uq_environment_digest"],
            ["constraint environment.uq_environment_digest"],
        ),
        (["ALTER TABLE run ADD CONSTRAINT other CHECK (seq < 9)"], ["constraint run.other"]),
        (
            ["CREATE SCHEMA place", "CREATE TABLE place.other () INHERITS (entry)"],
            ["inheritance place.other from entry"],
        ),
        (
            ["CREATE FUNCTION count(bigint) RETURNS bigint RETURN 9"],
            ["function count(bigint)"],
        ),
        ([f"CREATE OPERATOR public.= ({EQUAL})"], ["operator public.=(text,text)"]),
    ],
)
def test_an_altered_object_of_a_server_is_named(
    store: Store, url: str, statements: list[str], names: list[str]
) -> None:
    alter(url, *statements)
    found = objects(url)
    assert found >= set(names)
    assert found - set(names) <= {"index uq_environment_digest"}  # of a constraint


@only_postgresql
@pytest.mark.parametrize("kind_of_object", ["OPERATOR", "FUNCTION"])
def test_an_object_that_hides_one_of_the_server_is_named(
    store: Store, url: str, kind_of_object: str
) -> None:
    search_path(url, "public, place, pg_catalog")
    alter(
        url,
        "CREATE SCHEMA place",
        "CREATE FUNCTION place.no_namesake() RETURNS bigint RETURN 9",
        "CREATE FUNCTION place.count(bigint) RETURNS bigint RETURN 9"
        if kind_of_object == "FUNCTION"
        else f"CREATE OPERATOR place.= ({EQUAL})",
    )
    assert kind_of_object.lower() in {name.split()[0] for name in objects(url)}
    assert "function no_namesake()" not in objects(url)


@only_postgresql
def test_a_table_moved_along_the_search_path_is_named(store: Store, url: str) -> None:
    search_path(url, "public, place")
    alter(url, "CREATE SCHEMA place", "ALTER TABLE payload SET SCHEMA place")
    assert objects(url) >= {"table payload", "column payload.content"}


@only_postgresql
def test_tables_that_hide_those_of_the_store_are_named(store: Store, url: str) -> None:
    search_path(url, "place, public")
    alter(url, "CREATE SCHEMA place", "CREATE FUNCTION place.other() RETURNS int RETURN 1")
    assert objects(url) == set()
    alter(url, "CREATE TABLE place.entry AS TABLE entry")
    views = {f"view {view}" for view in VIEWS}
    assert objects(url) - views == {"table entry", "index pk_entry"}
    alter(url, "CREATE TABLE place.ledger_head AS TABLE ledger_head")
    assert objects(url) >= {"table payload", "constraint entry.pk_entry"}


def search_path(url: str, path: str) -> None:
    alter(url, f'ALTER DATABASE "{make_url(url).database}" SET search_path = {path}')


# ---- indexes -----------------------------------------------------------------------------------


@pytest.fixture
def two(store: Store, start: Any, finish: Any) -> Store:
    """A store with two generations, and statistics with which lookups use an index, scans none."""
    started = [start("I agree to pay 1000 euros", tags=("a",)), start("I never agree")]
    store.record_started(started, policy_document="rules: []")
    store.record_outcomes([finish(item, f"yes: {item.prompt}") for item in started])
    alter(
        store.url,
        "ANALYZE",
        "DELETE FROM sqlite_stat1",
        "INSERT INTO sqlite_stat1 VALUES "
        "('payload', 'sqlite_autoindex_payload_1', '1000000 1 1 1 unordered')",
    )
    return store


@only_sqlite
@pytest.mark.parametrize("processes", [1, 2])
def test_an_index_that_leads_to_other_payloads_is_named(two: Store, processes: int) -> None:
    assert two.path is not None
    index = "sqlite_autoindex_payload_1"
    with altered_index(two.path, index, ["entry", "kind", "position"]) as entries:
        one, other = (entry for entry in entries if entry[1] == "prompt")
        one[-1] = other[-1]
    for checks in ({"projections": True}, {"payloads": True}, {"search": True}):
        found = two.verify(**checks, processes=processes)
        named = {problem.where for problem in found.problems if problem.kind == "integrity"}
        assert f"index {index}" in named
    assert two.verify().ok  # reads no index


@only_sqlite
def test_an_index_that_hides_a_generation_is_named(two: Store) -> None:
    assert two.path is not None
    with altered_index(two.path, "ix_actor_name", ["name"]) as entries:
        entries.clear()
    found = two.verify(projections=True)
    assert ("integrity", "index ix_actor_name") in {(p.kind, p.where) for p in found.problems}


@only_sqlite
def test_a_hold_that_an_index_hides_forbids_erasing(two: Store) -> None:
    assert two.path is not None
    two.holds.add(Query(tag="a"), "court", "case 7")
    for index, columns in {
        "ix_event_kind_subject_seq": ["kind", "subject", "seq"],
        "ix_event_kind_key_seq": ["kind", "key", "seq"],
        "sqlite_autoindex_event_1": ["seq", "position"],
    }.items():
        with altered_index(two.path, index, columns) as entries:
            entries.clear()
    with Store.open(two.url, create=False) as store:  # reads the altered schema
        result = store.erasures.erase(Query(), "bert")
        assert (result.held, result.erased) == (1, 1)
        assert {item.prompt for item in store.generations()} == {"I agree to pay 1000 euros", ""}
