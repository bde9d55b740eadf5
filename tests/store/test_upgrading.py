"""Upgrading a store that is in use and full: whole or not at all, by one process at a time."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory

from make_schemas import contents
from muniment.errors import StoreError, StoreVersionError
from muniment.ledger.tree import leaf_hash
from muniment.store import Query, Store
from muniment.store.database import catalog, engine, postgresql
from muniment.store.database.migrations import configuration
from muniment.store.recording import schema_version
from muniment.types.generations import Generation
from muniment.types.outputs import Output
from muniment.types.policies import policy_digest
from support.commands import Here
from support.databases import altered_index, ask, change, only_postgresql, only_sqlite
from support.programs import Programs, ended, says
from support.version1 import without_new_fields, write_version_1

pytestmark = pytest.mark.dialect

REVISIONS = [
    script.revision
    for script in ScriptDirectory.from_config(configuration(catalog.migrations())).walk_revisions()
]
NEXT = f"{int(schema_version.HEAD) + 1:04}"
MIGRATION = f"""
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{NEXT}", "{schema_version.HEAD}", None, None


def upgrade() -> None:
    id = sa.Column("id", sa.Integer, primary_key=True)
    op.create_table("remark", id, sa.Column("words", sa.Text))
    op.execute("INSERT INTO remark (id, words) SELECT size, 'made' FROM ledger_head")
    {{more}}


def downgrade() -> None:
    op.drop_table("remark")
"""
Newer = Callable[..., Path]


@pytest.fixture
def full(store: Store, rich: tuple[Generation, Generation], start: Any) -> Store:
    """A store with something of everything, at this version."""
    started, ended_ = rich
    store.record_started([started, start()], policy_document="rules: []")
    store.record_outcomes([ended_])
    return store


@pytest.fixture
def newer(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Newer:
    """Let this Muniment be of the next version: one more migration, which ends with `more`."""

    def make(more: str = "") -> Path:
        folder = tmp_path / "migrations"
        shutil.copytree(catalog.migrations(), folder)
        migration = folder / "versions" / f"{NEXT}_remarks.py"
        migration.write_text(MIGRATION.format(more=""))
        empty = f"sqlite:///{tmp_path}/empty.db"
        if kind == "postgresql":
            empty = request.getfixturevalue("postgresql").create()
        for name, text in contents(empty, folder).items():
            (folder / "schema" / name).write_text(text, encoding="utf-8")
        migration.write_text(MIGRATION.format(more=more))
        monkeypatch.setattr(catalog, "migrations", lambda: folder)
        monkeypatch.setattr(schema_version, "HEAD", NEXT)
        return folder

    return make


def upgrade(url: str) -> Path | None:
    with Store.open(url, create=False, outdated=True) as store:
        return store.upgrade()


def downgrade(store: Store, revision: str) -> None:
    """Downgrade a store to a revision."""
    config = configuration(catalog.migrations())
    with store._database.upgrading() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def copies(store: Store) -> list[Path]:
    assert store.path is not None
    return sorted(store.path.parent.glob("*before-upgrade*"))


# ---- from every revision -----------------------------------------------------------------------


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_full_store_of_every_revision_can_be_upgraded(
    store: Store,
    url: str,
    revision: str,
    rich: tuple[Generation, Generation],
    start: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started, outcome = map(without_new_fields, rich)
    with monkeypatch.context() as patched:
        write_version_1(patched)
        store.record_started([started, start()], policy_document="rules: []")
        store.record_outcomes([outcome])
    root = store.verify().root
    downgrade(store, revision)
    store.close()
    upgrade(url)
    with Store.open(url, create=False) as upgraded:
        assert upgraded.status().current
        assert upgraded.verify().root == root
        assert upgraded.verify(projections=True, payloads=True).problems == []
        expected = dataclasses.replace(outcome, policy_digest=policy_digest("rules: []"))
        assert upgraded.generation(outcome.id) == expected


@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_a_store_with_altered_entries_can_be_upgraded_and_then_verified(
    store: Store,
    url: str,
    revision: str,
    start: Any,
    finish: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outputs = (Output("application/json", b'["lighthouse"]'),)
    with monkeypatch.context() as patched:
        write_version_1(patched)
        started = [start(str(number)) for number in range(6)]
        store.record_started(started, policy_document="rules: []")
        store.record_outcomes([finish(item, outputs=outputs) for item in started])
    row = "SELECT seq, outcome FROM generation WHERE id = :id"
    places = [ask(url, row, {"id": item.id})[0] for item in started]
    valid = "SELECT canonical_bytes FROM entry WHERE seq = :seq"
    ((other,),) = ask(url, valid, {"seq": places[5].outcome})
    altered = {
        places[0].seq: b"\xff{",
        places[1].outcome: b'{"x":1}',
        places[2].outcome: other,  # as if the last generation had two outcomes
        places[3].outcome: b"[" * 100_000,
    }
    downgrade(store, revision)
    for seq, content in altered.items():
        values = {"seq": seq, "content": content, "leaf": leaf_hash(content)}
        # Also with a hash of the changed bytes, which the tree does not have.
        leaf = ", leaf_hash = :leaf" if seq == places[2].outcome else ""
        change(url, f"UPDATE entry SET canonical_bytes = :content{leaf} WHERE seq = :seq", values)
    store.close()
    upgrade(url)
    with Store.open(url, create=False) as upgraded:
        assert upgraded.status().current
        problems = " ".join(map(str, upgraded.verify(projections=True, payloads=True).problems))
        for seq in altered:
            assert str(seq) in problems
        assert upgraded.generation(started[4].id).outputs == outputs
        assert upgraded.count(Query(made_with="muniment-words")) >= 2


def test_an_upgrade_keeps_what_is_recorded(full: Store, url: str, newer: Newer) -> None:
    root, entries = full.verify().root, full.status().entries
    newer()
    with pytest.raises(StoreVersionError, match="run `muniment db upgrade`"):
        Store.open(url, create=True)
    upgrade(url)
    with Store.open(url, create=False) as store:
        assert store.verify(projections=True, payloads=True).problems == []
        assert (store.verify().root, store.status().entries) == (root, entries)
    assert ask(url, "SELECT id, words FROM remark") == [(entries, "made")]


@only_postgresql
def test_texts_of_every_table_are_ordered_by_code_points(store: Store, url: str) -> None:
    columns = ask(
        url,
        "SELECT a.attrelid::regclass::text, a.attname FROM pg_attribute a "
        "JOIN pg_class c ON c.oid = a.attrelid JOIN pg_collation k ON k.oid = a.attcollation "
        "WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace "
        "AND a.attnum > 0 AND k.collname <> 'C'",
    )
    assert columns == [("alembic_version", "version_num")]  # one row, which alembic makes


def test_a_migration_that_fails_leaves_everything_as_it_was(
    full: Store, url: str, newer: Newer
) -> None:
    root = full.verify().root
    newer("raise RuntimeError('no')")
    with pytest.raises(RuntimeError, match="no"):
        upgrade(url)
    assert ask(url, "SELECT version_num FROM alembic_version") == [(REVISIONS[0],)]
    assert full.verify(projections=True, payloads=True).root == root
    with pytest.raises(StoreError, match="remark"), full._database.reading() as connection:
        connection.exec_driver_sql("SELECT * FROM remark")
    if full.path is not None:
        assert copies(full) == []


def test_a_store_with_an_altered_schema_is_not_upgraded(
    full: Store, url: str, newer: Newer
) -> None:
    change(url, "CREATE INDEX other ON payload (kind)")
    change(url, "DROP INDEX ix_actor_name")
    newer()
    with pytest.raises(StoreVersionError, match=r"index ix_actor_name: .* \(problem 1 of 2\)"):
        upgrade(url)
    assert ask(url, "SELECT version_num FROM alembic_version") == [(REVISIONS[0],)]
    if full.path is not None:
        assert copies(full) == []


@only_sqlite
def test_a_store_with_an_index_that_differs_from_its_table_is_not_upgraded(
    full: Store, url: str, newer: Newer
) -> None:
    assert full.path is not None
    with altered_index(full.path, "ix_actor_name", ["name"]) as entries:
        entries.clear()
    newer()
    with pytest.raises(StoreVersionError, match=r"altered: (database|index ix_actor_name): "):
        upgrade(url)
    assert copies(full) == []


# ---- several at once ---------------------------------------------------------------------------


UPGRADE = """
from pathlib import Path
from muniment.store.database import catalog
from muniment.store.recording import schema_version
schema_version.HEAD, catalog.migrations = arguments[0], lambda: Path(arguments[1])
with Store.open(url, create=False, outdated=True) as store:
    print("open", flush=True)
    sys.stdin.readline()
    print(store.upgrade(), flush=True)
    assert store.status().current
"""


def test_processes_that_upgrade_at_once_upgrade_once(
    full: Store, url: str, newer: Newer, run: Programs
) -> None:
    folder = newer()
    workers = [run(UPGRADE, NEXT, folder) for _ in range(3)]
    for worker in workers:
        says(worker, "open")
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    made = [ended(worker) for worker in workers]
    assert len(ask(url, "SELECT * FROM remark")) == 1
    if full.path is not None:
        assert sorted(made) == sorted(["None", "None", str(copies(full)[0])])
    with Store.open(url, create=False) as store:
        assert store.verify(projections=True, payloads=True).problems == []


HOLDING = """
with Store.open(url, create=False) as store, store._database.writing():
    print("holds", flush=True)
    sys.stdin.readline()
"""


def test_an_upgrade_waits_for_who_is_writing(
    full: Store, url: str, newer: Newer, run: Programs
) -> None:
    holder = run(HOLDING)
    says(holder, "holds")
    folder = newer()
    upgrading = run(UPGRADE, NEXT, folder)
    says(upgrading, "open")
    assert upgrading.stdin is not None
    upgrading.stdin.write("go\n")
    upgrading.stdin.flush()
    ended(holder)  # its standard input is closed, so that it goes on
    ended(upgrading)
    assert len(ask(url, "SELECT * FROM remark")) == 1


@only_postgresql
def test_an_upgrade_does_not_wait_for_ever(
    full: Store, url: str, newer: Newer, run: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = run(HOLDING)
    says(holder, "holds")
    newer()
    short = postgresql._SET_TIMEOUTS.replace(str(int(engine.LOCK_SECONDS * 1000)), "50")
    monkeypatch.setattr(postgresql, "_SET_TIMEOUTS", short)
    with pytest.raises(StoreError, match="is locked"):
        upgrade(url)
    assert ask(url, "SELECT to_regclass('remark')") == [(None,)]
    ended(holder)


# ---- the copy that is kept ---------------------------------------------------------------------


@only_sqlite
def test_a_file_is_copied_before_it_is_upgraded(full: Store, url: str, newer: Newer) -> None:
    assert full.path is not None
    root = full.verify().root
    full.path.chmod(0o640)
    newer()
    copy = upgrade(url)
    assert [copy] == copies(full)
    assert copy is not None
    assert copy.name.startswith(f"muniment.db.before-upgrade-of-{REVISIONS[0]}-")
    assert copy.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in copy.parent.glob(f"{copy.name}?*")] == []
    with Store.open(f"sqlite:///{copy}", create=False, outdated=True) as store:
        assert store.status().revision == REVISIONS[0]
        assert store.verify(projections=True, payloads=True).root == root


@only_sqlite
def test_what_is_erased_later_is_said_to_be_in_the_copy(
    full: Store, url: str, newer: Newer
) -> None:
    newer()
    copy = upgrade(url)
    with Store.open(url, create=False) as store:
        store.erasures.erase(Query(), "auditor")
        (past,) = store.erasures.records()
    assert [backup.file for backup in past.backups] == [copy]


NO_ROOM = """
import resource
from pathlib import Path
from muniment.errors import StoreError
from muniment.store.database import catalog
from muniment.store.recording import schema_version
schema_version.HEAD, catalog.migrations = arguments[0], lambda: Path(arguments[1])
with Store.open(url, create=False, outdated=True) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # bytes that a file may have
    try:
        store.upgrade()
    except StoreError as error:
        print(error)
"""


@only_sqlite
def test_without_room_for_a_copy_nothing_is_upgraded(
    full: Store, url: str, newer: Newer, run: Programs
) -> None:
    said = ended(run(NO_ROOM, NEXT, newer()))
    assert "cannot be backed up to" in said
    assert [file.name for file in Path(str(full.path)).parent.glob("*before-upgrade*")] == []
    assert full.verify(projections=True, payloads=True).ok
    assert ask(url, "SELECT version_num FROM alembic_version") == [(REVISIONS[0],)]


def test_the_command_names_the_copy(
    full: Store, url: str, newer: Newer, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer()
    done = Here(capfd, monkeypatch)("db", "upgrade", "--store", url)
    assert done.code == 0
    assert done.out.endswith(f"  schema {NEXT}\n")
    if full.path is not None:
        assert str(copies(full)[0]) in done.err
    else:
        assert done.err == ""
    again = Here(capfd, monkeypatch)("db", "upgrade", "--store", url)
    assert (again.code, again.err) == (0, "")


def test_what_is_newer_is_never_upgraded(full: Store, url: str) -> None:
    change(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreVersionError, match="newer schema"):
        full.upgrade()
    if full.path is not None:
        assert copies(full) == []
