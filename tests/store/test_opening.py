"""Opening a store: made when asked for, refused with one clear sentence otherwise."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from muniment.errors import AlteredRevisionError, StoreError, StoreVersionError, UsageError
from muniment.store import NoStoreError, Store
from muniment.store.recording import schema_version
from muniment.store.recording.schema_version import HEAD
from support.commands import Here
from support.databases import ask, change, only_sqlite

pytestmark = pytest.mark.dialect


def test_a_store_is_made_on_first_use_with_its_folders(url: str, tmp_path: Path) -> None:
    with Store.open(url, create=True) as store:
        status = store.status()
    file = tmp_path / "store" / "muniment.db"
    assert status.path == (file if url.startswith("sqlite") else None)
    assert status.url == make_url(url).render_as_string(hide_password=True)
    assert (status.revision, status.head, status.current) == (HEAD, HEAD, True)
    assert status.entries == 1
    assert status.size > 0


def test_reading_makes_nothing(url: str, tmp_path: Path) -> None:
    with pytest.raises(NoStoreError, match="nothing is recorded yet"):
        Store.open(url, create=False)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_a_store_that_nothing_is_recorded_in(tmp_path: Path) -> None:
    (tmp_path / "muniment.db").touch()
    url = f"sqlite:///{tmp_path}/muniment.db"
    with pytest.raises(NoStoreError):
        Store.open(url, create=False)
    Store.open(url, create=True).close()
    Store.open(url, create=False).close()


def test_a_new_store_file_is_for_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Store.open(f"sqlite:///{tmp_path}/new/muniment.db", create=True):
            modes = {
                path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()
            }
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("muniment.db", "muniment.db-wal", "muniment.db-shm"), 0o600)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_every_store_is_a_ledger_of_its_own(tmp_path: Path) -> None:
    roots = set()
    for name in ("a", "b"):
        with Store.open(f"sqlite:///{tmp_path}/{name}.db", create=True) as store:
            roots.add(store.verify().root)
    assert len(roots) == 2


@pytest.mark.parametrize("create", [True, False])
def test_a_folder_is_no_store(tmp_path: Path, create: bool) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        Store.open(f"sqlite:///{tmp_path}", create=create)


@pytest.mark.parametrize("create", [True, False])
def test_a_file_that_is_no_database_is_no_store(tmp_path: Path, create: bool) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("my notes, " * 500)
    with pytest.raises(StoreError, match="not a Muniment store"):
        Store.open(f"sqlite:///{file}", create=create)
    assert file.read_text() == "my notes, " * 500


@pytest.mark.parametrize("create", [True, False])
def test_a_database_of_someone_elses_is_no_store(tmp_path: Path, create: bool) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE songs (name TEXT)")
    database.close()
    with pytest.raises(StoreVersionError, match="not a Muniment store"):
        Store.open(f"sqlite:///{file}", create=create)


@pytest.mark.parametrize("create", [True, False])
def test_a_place_below_a_file_cannot_be_opened(tmp_path: Path, create: bool) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"nothing is recorded yet|cannot be created"):
        Store.open(f"sqlite:///{tmp_path}/file/muniment.db", create=create)


def test_a_place_that_cannot_be_written_is_named() -> None:
    with pytest.raises(StoreError, match="/proc"):
        Store.open("sqlite:////proc/muniment/muniment.db", create=True)
    with pytest.raises(StoreError, match=r"/proc/muniment\.db cannot be created"):
        Store.open("sqlite:////proc/muniment.db", create=True)


@only_sqlite
def test_a_read_only_store_says_so_and_can_be_read(store: Store, start: object) -> None:
    store.record_started([start()], policy_document="")  # type: ignore[operator]
    with store._database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")  # stays with the pooled connection
    with pytest.raises(StoreError, match="read-only"):
        store.record_started([start()], policy_document="")  # type: ignore[operator]
    assert len(list(store.generations())) == 1


NOBODY = 65534


@contextmanager
def closed(folder: Path) -> Iterator[None]:
    """Let this process write nothing in a folder: root, who always may, becomes someone else."""
    root = os.geteuid() == 0
    folder.chmod(0o755 if root else 0o555)
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.fixture
def kept(start: Any) -> Iterator[Path]:
    """A store that anyone may read."""
    with tempfile.TemporaryDirectory() as folder:  # what pytest makes is closed to others
        path = Path(folder) / "muniment.db"
        with Store.open(f"sqlite:///{path}", create=True) as store:
            store.record_started([start()], policy_document="")
            assert store.verify(projections=True, payloads=True).ok  # imports what is needed
        path.chmod(0o644)
        yield path


@pytest.mark.skipif(os.name != "posix", reason="folders are closed by permissions")
def test_a_store_in_a_folder_that_cannot_be_written_can_be_read_and_verified(
    kept: Path, start: Any
) -> None:
    with closed(kept.parent), Store.open(f"sqlite:///{kept}", create=False) as store:
        assert [g.status for g in store.generations()] == ["interrupted"]
        assert store.verify(projections=True, payloads=True).ok
        output = io.BytesIO()
        assert store.export_to(output, "jsonl") == 1
        with pytest.raises(StoreError, match="read-only"):
            store.record_started([start()], policy_document="")
    assert [path.name for path in kept.parent.iterdir()] == ["muniment.db"]


@pytest.mark.skipif(os.name != "posix", reason="folders are closed by permissions")
def test_a_store_left_half_written_is_not_read_as_if_it_were_whole(kept: Path) -> None:
    with closing(sqlite3.connect(kept, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = DELETE")
        writer.execute("PRAGMA cache_size = 1")  # so that it writes before it commits
        writer.execute("BEGIN")
        writer.execute("UPDATE payload SET content = zeroblob(100000)")
        half = kept.parent / "half"
        half.mkdir()
        kept.parent.chmod(0o755)
        for file in (kept, Path(f"{kept}-journal")):
            shutil.copy(file, half)
            (half / file.name).chmod(0o644)
    with closed(half), pytest.raises(StoreError, match="cannot be"):
        Store.open(f"sqlite:///{half / kept.name}", create=False)


@pytest.mark.skipif(os.name != "posix", reason="folders are closed by permissions")
def test_what_others_write_meanwhile_is_noticed_or_read(kept: Path, start: Any) -> None:
    url = f"sqlite:///{kept}"
    with Store.open(url, create=False) as keeper:
        assert len(list(keeper.generations())) == 1
        for suffix in ("-wal", "-shm"):
            Path(f"{kept}{suffix}").chmod(0o644)
        with closed(kept.parent), Store.open(url, create=False) as store:
            assert len(list(store.generations())) == 1
        with closed(kept.parent):
            store = Store.open(url, create=False)
        keeper.record_started([start()], policy_document="")
        with (
            closed(kept.parent),
            store,
            pytest.raises(StoreError, match="was written while it was read"),
        ):
            list(store.generations())
        with closed(kept.parent), Store.open(url, create=False) as beside:
            assert len(list(beside.generations())) == 2  # from the log that the keeper has open


def test_a_backup_of_a_read_only_store_names_the_store(kept: Path) -> None:
    url = f"sqlite:///{kept}"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        with closed(kept.parent), Store.open(url, create=False) as store:
            with pytest.raises(StoreError, match="cannot be written") as caught:
                store.backup(Path(folder) / "copy.db")
            assert str(kept) in str(caught.value)
            assert folder not in str(caught.value)
        assert not list(Path(folder).iterdir())


@pytest.mark.parametrize(
    "url",
    [
        "no url",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://u:p@127.0.0.1:1/x",
        "postgresql+asyncpg://u:p@h/x",
        "mysql://u:p@h/x",
        "",
        "unheardof:///x",
        "postgresql://u:p@h:5432:5432/d",
        "postgresql://u:p@p:p@h:port/d?password=:p@",
        "sqlite:///s.db?mode=ro",
        "sqlite:///s.db?uri=true&immutable=1",
        "postgresql://127.0.0.1:1/x?password=:p@&sslpassword=:p@",
    ],
)
def test_a_url_that_is_no_store_is_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((StoreError, UsageError)) as caught:
        Store.open(url, create=True)
    assert ":p@" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert not list(tmp_path.iterdir())


# ---- versions ----------------------------------------------------------------------------------


def stamp(url: str, revision: str) -> None:
    assert change(url, "UPDATE alembic_version SET version_num = :new", {"new": revision}) == 1


@pytest.mark.parametrize("create", [True, False])
def test_a_store_of_a_newer_version_is_left_alone(store: Store, url: str, create: bool) -> None:
    stamp(url, "9999")
    change(url, "CREATE TABLE newer (id INTEGER)")
    with pytest.raises(StoreVersionError, match="newer schema"):
        Store.open(url, create=create)
    with pytest.raises(StoreVersionError, match="newer schema"):
        Store.open(url, create=False, outdated=True)


@pytest.mark.parametrize("revision", ["0001", "1001", "1002", "9999"])
@pytest.mark.parametrize("outdated", [True, False])
def test_a_store_that_records_another_revision_than_that_of_its_schema_is_not_opened(
    store: Store, url: str, revision: str, outdated: bool
) -> None:
    stamp(url, revision)
    with pytest.raises(AlteredRevisionError, match=f"{revision}.*{HEAD}") as caught:
        Store.open(url, create=False, outdated=outdated)
    assert store.name in str(caught.value)
    assert "alembic_version" in str(caught.value)
    assert "db upgrade" not in str(caught.value)


@pytest.mark.parametrize("revision", ["zzz", "", "1001x", "999999"])
def test_a_store_of_an_unknown_revision_names_it(store: Store, url: str, revision: str) -> None:
    stamp(url, revision)
    for options in ({"create": True}, {"create": False}, {"create": False, "outdated": True}):
        with pytest.raises(StoreVersionError, match=f"unknown schema revision '{revision}'"):
            Store.open(url, **options)


def test_a_store_with_an_older_schema_is_refused_until_it_is_upgraded(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_version, "HEAD", str(int(HEAD) + 1))
    with pytest.raises(StoreVersionError, match="run `muniment db upgrade`"):
        Store.open(url, create=True)
    with Store.open(url, create=False, outdated=True) as old:
        assert not old.status().current


@pytest.fixture
def unreleased(store: Store, url: str) -> str:
    """A store of the revision before the first one that can be upgraded, and without a table."""
    store.close()
    stamp(url, "0001")
    change(url, "DROP VIEW v_event")
    change(url, "DROP TABLE event")
    return url


@pytest.mark.parametrize("options", [{"create": True}, {"create": False}, {"outdated": True}])
def test_a_store_of_an_unreleased_version_is_not_opened(
    unreleased: str, options: dict[str, bool]
) -> None:
    with pytest.raises(StoreVersionError, match="unreleased version") as caught:
        Store.open(unreleased, **{"create": False} | options)
    assert "\n" not in str(caught.value)
    assert "--store" in str(caught.value)


@pytest.mark.parametrize(
    "arguments", [("audit", "verify"), ("db", "upgrade"), ("audit", "list"), ("db", "status")]
)
def test_a_store_of_an_unreleased_version_is_one_sentence_to_every_command(
    unreleased: str, arguments: tuple[str, ...], capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Here(capfd, monkeypatch)(*arguments, "--store", unreleased)
    assert done.code != 0
    assert done.out == ""
    [sentence] = done.err.splitlines()
    assert "unreleased version" in sentence
    assert "--store" in sentence
    assert ask(unreleased, "SELECT version_num FROM alembic_version") == [("0001",)]


def test_upgrading_what_is_up_to_date_changes_nothing(store: Store) -> None:
    before = store.verify().root
    store.upgrade()
    assert store.verify().root == before


# ---- accidents ---------------------------------------------------------------------------------


@only_sqlite
def test_a_full_disk_is_named_and_nothing_is_half_written(
    store: Store, start: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import event

    @event.listens_for(store._database.engine, "begin")
    def _small(connection: object) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 150")  # type: ignore[attr-defined]

    recorded = 0
    with pytest.raises(StoreError, match="the disk is full: nothing was written"):  # noqa: PT012
        while True:
            store.record_started(
                [start("x" * 5000) for _ in range(10)],  # type: ignore[operator]
                policy_document="",
            )
            recorded += 10
    assert recorded
    assert len(list(store.generations())) == recorded
    assert store.verify(projections=True, payloads=True).ok


@only_sqlite
def test_a_damaged_file_is_said_to_be_damaged(url: str, start: object) -> None:
    with Store.open(url, create=True) as store:
        store.record_started([start("x" * 90_000)], policy_document="")  # type: ignore[operator]
    assert store.path is not None
    data = bytearray(store.path.read_bytes())
    for page in range(1, len(data) // 4096):
        data[page * 4096 : page * 4096 + 100] = b"\xff" * 100
    store.path.write_bytes(data)
    with pytest.raises(StoreError, match=r"damaged|not a Muniment store"):
        Store.open(url, create=False).verify()


# ---- lightness ---------------------------------------------------------------------------------


def test_reading_imports_neither_alembic_nor_anything_heavy(store: Store, url: str) -> None:
    program = (
        "import sys; from muniment.store import Store, Query\n"
        f"store = Store.open({url!r}, create=False)\n"
        "list(store.generations(Query(limit=5))); list(store.runs(5)); store.status()\n"
        "heavy = {'alembic', 'mako', 'numpy', 'torch', 'rfc8785', 'sqlalchemy.orm', 'rich'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
