"""Statements that a user wrote: every SELECT runs, and nothing that writes does."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from muniment.errors import StoreError
from muniment.store import Store
from muniment.store.database.read_only import SqlError
from muniment.types.generations import Generation
from muniment.types.policies import policy_digest
from support.databases import Server, ask, by_hand, change, only_postgresql, only_sqlite
from support.programs import Programs

pytestmark = pytest.mark.dialect

Opened = Callable[[], Store]


@pytest.fixture
def full(store: Store, rich: tuple[Generation, Generation]) -> Store:
    """A closed store with one generation."""
    store.record_started([rich[0]], policy_document="rules: []")
    store.record_outcomes([rich[1]])
    store.close()
    return store


@pytest.fixture
def reader(full: Store, url: str) -> Iterator[Store]:
    with Store.open(url, create=False, read_only=True) as opened:
        yield opened


def rows(store: Store, statement: str) -> list[tuple[Any, ...]]:
    with store.select(statement) as selected:
        return [tuple(row) for row in selected.rows]


def contents(url: str) -> Any:
    """Everything that is stored: bytes of the files, or all rows, sequences and settings."""
    path = make_url(url).database
    if url.startswith("sqlite"):
        folder = Path(str(path)).parent
        files = {file: file.read_bytes() for file in folder.iterdir() if file.suffix != ".db-shm"}
        return {
            file.name: hashlib.sha256(data).hexdigest()
            for file, data in files.items()
            if data or not file.name.endswith("-wal")
        }
    names = ask(
        url,
        "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'v', 'S', 'm', 'f') "
        "AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
        " AND relnamespace::regnamespace::text NOT LIKE 'pg_toast%' ORDER BY 1",
    )
    return {name: ask(url, f"SELECT row(t.*)::text FROM {name} t ORDER BY 1") for (name,) in names}


# ---- reading -------------------------------------------------------------------------------------


def test_select_returns_columns_and_rows(reader: Store) -> None:
    with reader.select("SELECT 1 AS one, 'ä卫' AS two, NULL AS two") as selected:
        assert list(selected.columns) == ["one", "two", "two"]
        assert [tuple(row) for row in selected.rows] == [(1, "ä卫", None)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM entry",
        "select count(*) from entry;",
        "/* a comment */ SELECT count(*) -- another\nFROM entry ; -- the end",
        "WITH e AS (SELECT * FROM entry) SELECT count(*) FROM e",
        "SELECT count(*) FROM entry WHERE 'a%b' LIKE 'a%%' AND '%s' <> '%(x)s' AND ':x' <> '?'",
        "SELECT 8 UNION SELECT 8",
        "VALUES (8)",
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION SELECT i+1 FROM n WHERE i<8) SELECT 8",
    ],
)
def test_select_runs_every_form_of_query(reader: Store, statement: str) -> None:
    ((number,),) = rows(reader, statement)
    assert number == ask(reader.url, "SELECT count(*) FROM entry")[0][0] or number == 8


def test_select_reads_bytes_and_the_largest_integers(reader: Store) -> None:
    ((low, high, content),) = rows(
        reader,
        "SELECT -9223372036854775807 - 1, 9223372036854775807, canonical_bytes FROM entry "
        "WHERE seq = 0",
    )
    assert (low, high) == (-(2**63), 2**63 - 1)
    assert content.startswith(b'{"kind":"genesis"')


@only_sqlite
def test_invalid_utf8_is_escaped(reader: Store) -> None:
    ((text,),) = rows(reader, "SELECT CAST(x'61ff62e58d' AS TEXT)")
    assert text == "a\\xffb\\xe5\\x8d"


@only_postgresql
def test_values_out_of_the_range_of_python_are_text(reader: Store) -> None:
    ((when, day, number),) = rows(
        reader, "SELECT 'infinity'::timestamptz, '0044-03-15 BC'::date, 'NaN'::numeric"
    )
    assert (when, day, str(number)) == ("infinity", "0044-03-15 BC", "NaN")


def test_a_large_result_is_not_held_in_memory(reader: Store) -> None:
    numbers = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) "
        "SELECT i FROM n"
        if reader.path
        else "SELECT i FROM generate_series(1, 20000000) i"
    )
    with reader.select(numbers) as selected:
        assert [next(selected.rows)[0] for _ in range(2500)] == list(range(1, 2501))


def test_a_store_can_be_read_after_a_statement(reader: Store, rich: Sequence[Generation]) -> None:
    with pytest.raises(SqlError):
        rows(reader, "DELETE FROM entry")
    assert rows(reader, "SELECT count(*) FROM generation") == [(1,)]
    digest = policy_digest("rules: []")
    assert reader.generation(rich[1].id) == dataclasses.replace(rich[1], policy_digest=digest)


# ---- refusing ------------------------------------------------------------------------------------

HOSTILE = [
    "INSERT INTO actor VALUES (99, 'x')",
    "INSERT INTO actor VALUES (99, 'x') RETURNING seq",
    "UPDATE entry SET kind = 'x'",
    "DELETE FROM entry",
    "DELETE FROM entry RETURNING seq",
    "CREATE TABLE more (x INTEGER)",
    "CREATE TEMP TABLE more (x INTEGER)",
    "CREATE TEMP VIEW more AS SELECT 1",
    "CREATE VIEW more AS SELECT 1",
    "CREATE TABLE more AS SELECT 1 AS x",
    "DROP TABLE entry",
    "ALTER TABLE entry RENAME TO x",
    "CREATE INDEX more ON entry (kind)",
    "REINDEX entry",
    "ANALYZE",
    "VACUUM",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "SELECT 1; SELECT 2",
    "SELECT 1; DELETE FROM entry",
    "SELECT 1; COMMIT; DELETE FROM entry",
    "SELECT 1;; DELETE FROM entry",
    "SELECT 1 /* ; */ ; COMMIT --",
    "",
    ";",
    "  \n",
    "-- nothing",
    "/* nothing",
    "SELECT",
    "SELECT '",
    "SELECT no_such_function()",
    "SELECT * FROM no_such_table",
    "SELECT 1\0; DELETE FROM entry",
    "SELECT '\udc80'",
]
HOSTILE_SQLITE = [
    "WITH x AS (SELECT 1) INSERT INTO actor SELECT 99, 'x' FROM x",
    "ATTACH '{folder}/more.db' AS more",
    "VACUUM INTO '{folder}/more.db'",
    "PRAGMA writable_schema = ON",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA user_version",
    "SELECT * FROM pragma_user_version",
    "SELECT * FROM pragma_journal_mode('delete')",
    "SELECT * FROM pragma_wal_checkpoint",
    "SELECT load_extension('{folder}/more.so')",
    "SELECT writefile('{folder}/more', 'x')",
    "SELECT readfile('/etc/passwd')",
    "SELECT edit('x', 'touch {folder}/more')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT fts3_tokenizer('simple', x'00')",
    "CREATE VIRTUAL TABLE more USING fts5(x)",
    "INSERT INTO search (search) VALUES ('optimize')",
    "DETACH main",
    "SELECT ?",
    "SELECT :name",
]
HOSTILE_POSTGRESQL = [
    "WITH x AS (INSERT INTO actor VALUES (99, 'x') RETURNING seq) SELECT * FROM x",
    "WITH x AS (DELETE FROM entry RETURNING seq) SELECT * FROM x",
    "SELECT * INTO more FROM entry",
    "SELECT * INTO TEMP more FROM entry",
    "SELECT * FROM entry FOR UPDATE",
    "SELECT * FROM entry FOR SHARE",
    "COPY entry TO PROGRAM 'touch {folder}/more'",
    "COPY (SELECT 1) TO '{folder}/more'",
    "COPY actor FROM PROGRAM 'echo 99'",
    "TRUNCATE entry",
    "DO $$ BEGIN DELETE FROM entry; END $$",
    "CALL something()",
    "EXPLAIN ANALYZE SELECT 1",
    "SET transaction_read_only = off",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "SET ROLE postgres",
    "LOCK TABLE entry",
    "NOTIFY more",
    "PREPARE x AS DELETE FROM entry",
    "EXECUTE x",
    "GRANT ALL ON entry TO public",
    "SELECT nextval('counter')",
    "SELECT setval('counter', 7)",
    "SELECT query_to_xml('DELETE FROM entry', true, true, '')",
    "SELECT $1",
    "SELECT 1) TO STDOUT",
]


def refuse(reader: Store, url: str, statements: Sequence[str], folder: Path) -> None:
    before = contents(url)
    for statement in statements:
        with pytest.raises(SqlError) as caught:
            rows(reader, statement.replace("{folder}", str(folder)))
        assert "\n" not in str(caught.value)
    assert contents(url) == before
    assert [file for file in folder.iterdir() if file.name.startswith("more")] == []


def test_statements_other_than_one_select_are_refused(
    reader: Store, url: str, tmp_path: Path
) -> None:
    refuse(reader, url, HOSTILE, tmp_path)


@only_sqlite
def test_sqlite_statements_with_side_effects_are_refused(
    reader: Store, url: str, tmp_path: Path
) -> None:
    refuse(reader, url, HOSTILE_SQLITE, tmp_path)


@only_postgresql
def test_postgresql_statements_that_write_are_refused(
    reader: Store, url: str, tmp_path: Path
) -> None:
    change(url, "CREATE SEQUENCE counter")
    refuse(reader, url, HOSTILE_POSTGRESQL, tmp_path)


# ---- files ---------------------------------------------------------------------------------------


@only_sqlite
def test_the_file_and_its_log_are_unchanged(full: Store, url: str, run: Programs) -> None:
    path = Path(str(full.path))
    log = Path(f"{path}-wal")
    run(WRITE_AND_DIE).wait(60)
    before = path.read_bytes(), log.read_bytes()
    assert before[1] != b""
    with Store.open(url, create=False, read_only=True) as reader:
        assert rows(reader, "SELECT name FROM policy WHERE seq = 77") == [("from the log",)]
    assert (path.read_bytes(), log.read_bytes()) == before


WRITE_AND_DIE = """
import os
store = Store.open(url, create=False)
with store._database.writing() as connection:
    connection.exec_driver_sql("INSERT INTO policy VALUES (77, 'from the log')")
os._exit(0)
"""


@only_sqlite
def test_a_store_in_a_read_only_folder_is_read(
    full: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    shutil.copy(str(full.path), folder / "muniment.db")
    # Root may write everywhere, so permissions alone do not make a folder read-only in the tests.
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode, **more: path != folder and access(path, mode, **more)
    )
    with Store.open(f"sqlite:///{folder}/muniment.db", create=False, read_only=True) as reader:
        assert rows(reader, "SELECT count(*) FROM generation") == [(1,)]
    assert [file.name for file in folder.iterdir()] == ["muniment.db"]


@only_sqlite
def test_a_damaged_file_is_a_store_error(full: Store, url: str) -> None:
    path = Path(str(full.path))
    ((root,),) = ask(url, "SELECT rootpage FROM sqlite_schema WHERE name = 'payload'")
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)
    with (
        Store.open(url, create=False, read_only=True) as reader,
        pytest.raises(StoreError, match="damaged"),
    ):
        rows(reader, "SELECT * FROM payload")


@only_postgresql
def test_a_lost_connection_is_a_store_error(url: str, reader: Store) -> None:
    statement = "SELECT pg_terminate_backend(pg_backend_pid())"
    with pytest.raises(StoreError, match=r"ended the connection|was lost"):
        rows(reader, statement)


# ---- interrupting --------------------------------------------------------------------------------


def test_ctrl_c_interrupts_a_statement(full: Store, run: Programs) -> None:
    program = run(ENDLESS)
    assert program.stdout is not None
    assert program.stdout.readline() == "running\n"
    program.send_signal(signal.SIGINT)
    assert program.wait(20) == 0
    assert program.stdout.read() == "interrupted\n"


ENDLESS = """
import threading
signal_soon = threading.Timer(0.3, lambda: print("running", flush=True))
statement = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    if url.startswith("sqlite") else "SELECT pg_sleep(600)"
)
with Store.open(url, create=False, read_only=True) as store:
    signal_soon.start()
    try:
        with store.select(statement) as selected:
            pass
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


# ---- roles ---------------------------------------------------------------------------------------


@only_postgresql
def test_a_role_with_select_only_cannot_end_other_sessions(
    full: Store, url: str, postgresql: Server
) -> None:
    change(url, "CREATE ROLE reading LOGIN PASSWORD 'secret'")
    try:
        change(url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reading")
        own = make_url(url).set(username="reading", password="secret").render_as_string(False)
        with by_hand(url) as other:
            pid = other.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            with Store.open(own, create=False, read_only=True) as reader:
                assert rows(reader, "SELECT count(*) FROM generation") == [(1,)]
                for statement in (
                    f"SELECT pg_terminate_backend({pid})",
                    "SELECT pg_read_file('/etc/passwd')",
                    "SELECT lo_import('/etc/passwd')",
                    "SELECT lo_export(1, '/tmp/more')",
                    "SELECT pg_switch_wal()",
                    "SELECT pg_reload_conf()",
                ):
                    with pytest.raises(SqlError):
                        rows(reader, statement)
    finally:
        change(url, "DROP OWNED BY reading")
        change(url, "DROP ROLE reading")
