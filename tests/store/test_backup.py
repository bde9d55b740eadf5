"""A backup is a whole store or is not there; restoring makes the store what the backup is."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from muniment.errors import VerificationError
from muniment.store import Query, Store, plan_restore, restore
from muniment.store.backup import BackupError, BackupSummary, backend_of, postgresql
from muniment.store.database.opening import open_database
from muniment.store.recording.backup_register import registered
from support.databases import altered_index, ask, by_hand, change, only_postgresql, only_sqlite

pytestmark = pytest.mark.usefixtures("programs")


def record(store: Store, start: Any, finish: Any, number: int) -> None:
    many = [start(f"prompt {n}") for n in range(number)]
    store.record_started(many, policy_document="")
    store.record_outcomes([finish(g) for g in many])


def root(store: Store) -> tuple[int, str]:
    found = store.verify(projections=True, payloads=True)
    assert found.ok, found.problems
    return found.entries, found.root


def test_a_backup_restores_everything(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any
) -> None:
    record(store, start, finish, 3)
    whole = list(store.generations())
    made = store.backup(tmp_path / "copy")
    assert (made.entries, made.root) == root(store)
    record(store, start, finish, 2)
    planned = plan_restore(url, made.file)
    assert planned.lost_entries == 4
    assert not planned.other_ledger
    restore(url, planned)
    assert list(store.generations()) == whole
    assert root(store) == (made.entries, made.root)
    record(store, start, finish, 1)
    root(store)


def test_a_store_written_by_two_connections_in_turn_is_backed_up(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any
) -> None:
    with Store.open(url, create=False) as other:
        for number in (200, 3, 3):
            record(store, start, finish, number)
            record(other, start, finish, number)
    made = store.backup(tmp_path / "copy")
    assert (made.entries, made.root) == root(store)


def test_what_others_commit_meanwhile_does_not_tear_the_copy(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any
) -> None:
    record(store, start, finish, 200)
    stop = threading.Event()

    def write() -> None:
        with Store.open(url, create=False) as other:
            while not stop.is_set():
                record(other, start, finish, 3)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [store.backup(tmp_path / f"copy-{number}") for number in range(3)]
    finally:
        stop.set()
        writer.join()
    for backup in made:
        planned = plan_restore(url, backup.file)
        assert (planned.contents.entries, planned.contents.root) == (backup.entries, backup.root)
    restore(url, planned)
    assert root(store) == (made[-1].entries, made[-1].root)


def test_backups_are_remembered_and_outlive_a_restore(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any
) -> None:
    first = store.backup(tmp_path / "first")
    record(store, start, finish, 1)
    second = store.backup(tmp_path / "second")
    store.backup(tmp_path / "second")

    def files() -> list[str]:
        with store._database.reading() as connection:
            return [item.file.name for item in registered(connection)]

    assert files() == ["first", "second"]
    restore(url, plan_restore(url, first.file))
    assert files() == ["first", "second"]
    second.file.unlink()
    with store._database.reading() as connection:
        assert [item.there for item in registered(connection)] == [True, False]


def test_a_copy_that_is_not_what_the_store_was_is_not_kept(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backend_of(store._database)
    monkeypatch.setattr(backend, "verify", lambda *_: BackupSummary("other", 1, "00"))
    with pytest.raises(BackupError, match="the copy differs"):
        store.backup(tmp_path / "copy")
    assert list(tmp_path.glob("*copy*")) == []


def test_a_backup_that_was_altered_is_refused(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any
) -> None:
    record(store, start, finish, 3)
    made = store.backup(tmp_path / "copy")
    content = made.file.read_bytes()
    place = content.find(b'"seed":"7"')
    if place < 0:  # compressed, and the rows lie at the end
        place = len(content) - 300
    made.file.write_bytes(content[:place] + b'"seed":"8"' + content[place + 10 :])
    before = list(store.generations())
    with pytest.raises(BackupError, match=r"is (corrupt|incomplete|not a backup)"):
        plan_restore(url, made.file)
    assert list(store.generations()) == before


@only_sqlite
@pytest.mark.parametrize(
    ("change_made", "named"),
    [
        ("UPDATE payload SET content = 'x' WHERE kind = 'prompt'", "prompt"),
        ("DELETE FROM payload WHERE kind = 'output'", "output"),
        ("UPDATE generation SET generator = 'other'", "generation"),
        (
            "CREATE TRIGGER spy AFTER INSERT ON payload BEGIN SELECT 1; END",
            "trigger spy",
        ),
    ],
)
def test_a_backup_with_altered_texts_or_schema_is_refused_before_anything_changes(
    store: Store,
    url: str,
    tmp_path: Path,
    start: Any,
    finish: Any,
    change_made: str,
    named: str,
) -> None:
    record(store, start, finish, 2)
    made = store.backup(tmp_path / "copy")
    with closing(sqlite3.connect(made.file)) as database:
        database.execute(change_made)
        database.commit()
    before = list(store.generations())
    with pytest.raises(BackupError, match="is corrupt") as caught:
        plan_restore(url, made.file)
    assert named in str(caught.value)
    assert list(store.generations()) == before


@pytest.mark.parametrize("revision", ["0001", "9999"])
def test_a_backup_with_a_schema_that_cannot_be_upgraded_is_refused(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any, revision: str
) -> None:
    record(store, start, finish, 1)
    made = backend_of(store._database)
    current = ask(url, "SELECT version_num FROM alembic_version")[0][0]
    change(url, "UPDATE alembic_version SET version_num = :new", {"new": revision})
    file = tmp_path / "copy"
    made.copy(store._database, file)
    change(url, "UPDATE alembic_version SET version_num = :new", {"new": current})
    with pytest.raises(
        BackupError, match="unreleased" if revision == "0001" else "newer"
    ) as caught:
        plan_restore(url, file)
    assert caught.value.file == file
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_one_sentence(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"cannot write|could not open"):
        store.backup(tmp_path / "nowhere" / "copy")


@only_sqlite
def test_a_damaged_store_is_replaced(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any
) -> None:
    assert store.path is not None
    record(store, start, finish, 3)
    made = store.backup(tmp_path / "copy")
    store.close()
    store.path.write_bytes(os.urandom(10_000))
    planned = plan_restore(url, made.file)
    assert planned.present is not None
    assert "not an SQLite database" in planned.present.unreadable
    restore(url, planned)
    with Store.open(url, create=False) as again:
        assert root(again) == (made.entries, made.root)


KILLED = """
import os, sys
from pathlib import Path
from muniment.store import Store
with Store.open(sys.argv[1], create=False) as store:
    store.backup(Path(sys.argv[2]), lambda *progress: os.kill(os.getpid(), 9))
"""


@only_sqlite
def test_the_part_of_a_killed_backup_is_listed_and_then_removed(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any
) -> None:
    record(store, start, finish, 3)
    folder = tmp_path / "backups"
    folder.mkdir()
    program = [sys.executable, "-c", KILLED, url, str(folder / "copy")]
    assert subprocess.run(program).returncode == -signal.SIGKILL
    [part] = folder.iterdir()
    store.erasures.erase(Query(), "keeper")
    [erasure] = store.erasures.records()
    [listed] = erasure.backups
    assert (listed.file, listed.there, listed.root) == (part, True, "")
    os.utime(part, (0, 0))
    assert store.erasures.finish()
    assert not part.exists()
    [erasure] = store.erasures.records()
    assert erasure.backups == ()
    assert store.backup(folder / "copy").root
    assert [path.name for path in folder.iterdir()] == ["copy"]


@only_postgresql
@pytest.mark.parametrize(
    "address", ["postgresql://u:s3cret@h/d", "postgresql://u@h/d?password=s3cret"]
)
def test_client_programs_get_the_password_in_their_environment(
    store: Store, tmp_path: Path, address: str
) -> None:
    with closing(open_database(address)) as database:
        command, environment = postgresql._client("pg_dump", tmp_path / "copy", database)
    assert environment["PGPASSWORD"] == "s3cret"
    assert not any("s3cret" in argument for argument in command)


def test_a_plan_states_whether_the_whole_backup_was_verified(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any
) -> None:
    record(store, start, finish, 2)
    planned = plan_restore(url, store.backup(tmp_path / "copy").file)
    assert planned.contents.whole == (store.path is not None)


def test_a_restored_archive_with_an_altered_payload_is_reported(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any
) -> None:
    record(store, start, finish, 2)
    change(url, "UPDATE payload SET content = :it WHERE kind = 'prompt'", {"it": b"FORGED"})
    made = store.backup(tmp_path / "copy")
    before = BackupError, VerificationError  # a file before it replaces the store
    with pytest.raises(before) as caught:
        restore(url, plan_restore(url, made.file))
    assert str(made.file) in str(caught.value)
    replaced = store.path is None
    assert ("the store was replaced" in str(caught.value)) == replaced
    assert isinstance(caught.value, VerificationError) == replaced
    assert (str(made.file),) in ask(url, "SELECT file FROM backup")


def test_a_restore_names_the_holds_that_it_ends(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any
) -> None:
    record(store, start, finish, 2)
    before, _ = store.holds.add(Query(), "court", "case 6")
    made = store.backup(tmp_path / "copy")
    after, _ = store.holds.add(Query(), "court", "case 7")
    released, _ = store.holds.add(Query(), "court", "case 8")
    store.holds.release(released, "court")
    assert plan_restore(url, made.file).holds_since == [after]
    restore(url, plan_restore(url, made.file))
    assert [hold.id for hold in store.holds.in_force()] == [before]


@pytest.fixture
def other_url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a second store, which is missing."""
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path}/other.db"
        return
    server = request.getfixturevalue("postgresql")
    yield (created := server.create())
    server.drop(created)


def test_a_restore_over_another_ledger_names_all_its_holds(
    store: Store, other_url: str, tmp_path: Path, start: Any, finish: Any
) -> None:
    record(store, start, finish, 50)
    made = store.backup(tmp_path / "copy")
    with Store.open(other_url, create=True) as other:
        record(other, start, finish, 1)
        hold, _ = other.holds.add(Query(), "court", "case 7")
    planned = plan_restore(other_url, made.file)
    assert planned.other_ledger
    assert planned.holds_since == [hold]


def test_a_plan_states_that_a_store_with_another_schema_does_not_show_holds(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any
) -> None:
    record(store, start, finish, 1)
    made = store.backup(tmp_path / "copy")
    planned = plan_restore(url, made.file)
    assert planned.present is not None
    assert not planned.present.outdated
    assert not planned.unknown_since
    change(url, "UPDATE alembic_version SET version_num = '1001'")
    planned = plan_restore(url, made.file)
    assert planned.present is not None
    assert planned.present.outdated
    assert planned.unknown_since


def test_a_store_that_changed_since_the_plan_is_not_replaced(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any
) -> None:
    record(store, start, finish, 1)
    planned = plan_restore(url, store.backup(tmp_path / "copy").file)
    hold, _ = store.holds.add(Query(), "court", "case 7")
    with pytest.raises(BackupError, match="changed since the plan"):
        restore(url, planned)
    assert [held.id for held in store.holds.in_force()] == [hold]


def test_a_store_with_an_altered_schema_can_be_backed_up(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any
) -> None:
    record(store, start, finish, 1)
    assert store.altered_schema() == ""
    with by_hand(url) as connection:
        connection.exec_driver_sql("CREATE INDEX mine ON event (kind)")
    assert "index mine" in store.altered_schema()
    with Store.open(url, create=False) as again:
        made = again.backup(tmp_path / "copy")
        assert not again.wrote
    assert made.entries == root_size(url)


@only_sqlite
def test_a_store_with_an_index_that_differs_from_its_table_is_not_backed_up(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any
) -> None:
    assert store.path is not None
    record(store, start, finish, 2)
    store.close()
    with altered_index(store.path, "ix_actor_name", ["name"]) as entries:
        entries.pop()
    with Store.open(url, create=False) as again, pytest.raises(BackupError) as caught:
        again.backup(tmp_path / "copy")
    for text in (str(store.path), "integrity check", "muniment db rebuild", "backup"):
        assert text in str(caught.value)
    assert ".part" not in str(caught.value)
    assert list(tmp_path.glob("*copy*")) == []


@only_sqlite
def test_a_store_with_a_corrupt_page_is_not_backed_up(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any
) -> None:
    assert store.path is not None
    record(store, start, finish, 2)
    store.close()
    with closing(sqlite3.connect(store.path)) as database:
        [(page,)] = database.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'ix_actor_name'"
        )
        [(size,)] = database.execute("PRAGMA page_size")
    with store.path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))
    with (
        Store.open(url, create=False) as again,
        pytest.raises(BackupError, match="db rebuild") as caught,
    ):
        again.backup(tmp_path / "copy")
    assert str(store.path) in str(caught.value)
    assert list(tmp_path.glob("*copy*")) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET canonical_bytes = leaf_hash WHERE seq = 1",
        "DELETE FROM entry WHERE seq = 1",
    ],
)
def test_a_store_with_an_altered_entry_is_named_when_no_backup_is_made(
    store: Store, url: str, tmp_path: Path, start: Any, finish: Any, statement: str
) -> None:
    record(store, start, finish, 2)
    change(url, statement)
    with pytest.raises(BackupError) as caught:
        store.backup(tmp_path / "copy")
    assert f"the store {store.name} " in str(caught.value)
    assert "muniment audit verify" in str(caught.value)
    assert ".part" not in str(caught.value)
    assert "use another backup" not in str(caught.value)
    assert list(tmp_path.glob("*copy*")) == []


def root_size(url: str) -> int:
    [(size,)] = ask(url, "SELECT size FROM ledger_head")
    return int(size)
