"""Kills, full and read-only disks, many writers, lost connections: what was acknowledged stays."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import make_url

from muniment.errors import StoreError
from muniment.store import Query, Store
from support.databases import Server, only_postgresql, only_sqlite
from support.programs import Programs, ended, says

pytestmark = pytest.mark.dialect

KILLS = int(os.environ.get("MUNIMENT_TEST_KILLS", "20"))  # more of them every night
PROCESSES = 16

# Says what it began before it begins it, and what was acknowledged after it was.
WRITER = """
with Store.open(url, create=False) as store:
    print("open", flush=True)
    while True:
        batch = [start() for _ in range(3)]
        print("begun", *(g.id for g in batch), flush=True)
        store.record_started(batch, policy_document="")
        print("started", *(g.id for g in batch), flush=True)
        store.record_outcomes([finish(g) for g in batch])
        print("done", *(g.id for g in batch), flush=True)
"""


@pytest.mark.integration
def test_kills_at_random_moments_lose_and_double_nothing(store: Store, run: Programs) -> None:
    began: set[str] = set()
    started: set[str] = set()
    done: set[str] = set()
    chance = random.Random(7)
    for _ in range(KILLS):
        writer = run(WRITER)
        says(writer, "open")
        assert writer.stdout is not None
        heard = [writer.stdout.readline() for _ in range(chance.randrange(12))]
        for _ in range(chance.randrange(3000)):  # some moment later, within what comes next
            pass
        writer.send_signal(signal.SIGKILL)
        # `communicate` loses lines that `readline` has put into its buffer.
        heard += writer.stdout.read().splitlines()
        writer.wait()
        for line in heard:
            word, *ids = line.split()
            if len(ids) == 3 and all(len(id) == 26 for id in ids):
                {"begun": began, "started": started, "done": done}[word].update(ids)
    assert done
    found = {g.id: g.status for g in store.generations()}
    assert len(found) == len(list(store.generations()))
    assert started <= found.keys() <= began
    assert {id for id, status in found.items() if status == "completed"} >= done
    assert store.verify(projections=True, payloads=True).problems == []
    store.record_interruptions()
    assert {g.status for g in store.generations()} <= {"completed", "interrupted"}
    assert store.verify(projections=True, payloads=True).problems == []


def test_sixteen_processes_write_at_once_and_everything_counts(store: Store, run: Programs) -> None:
    program = """
        with Store.open(url, create=False) as store:
            print("open", flush=True)
            sys.stdin.readline()
            for turn in range(5):
                batch = [start(actor=f"actor {(turn + n) % 3}") for n in range(4)]
                store.record_started(batch, policy_document="shared")
                store.record_outcomes([finish(g) for g in batch])
    """
    workers = [run(program) for _ in range(PROCESSES)]
    for worker in workers:
        says(worker, "open")
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        ended(worker)
    generations = PROCESSES * 5 * 4
    assert len(list(store.generations(Query(status="completed")))) == generations
    found = store.verify(projections=True, payloads=True)
    assert found.problems == []
    # genesis, three actors, a policy, a plugin, an environment: once each, whoever came first
    assert found.entries == 1 + 3 + 1 + 1 + 1 + 2 * generations


# ---- disks -------------------------------------------------------------------------------------


FULL = """
import resource
from muniment.errors import StoreError
with Store.open(url, create=False) as store:
    store.record_started([start()], policy_document="")
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))  # bytes that a file may have
    recorded = 1
    try:
        while True:
            batch = [dataclasses.replace(start(), prompt="x" * 9000) for _ in range(5)]
            store.record_started(batch, policy_document="")
            recorded += len(batch)
    except StoreError as error:
        print(recorded, error)
"""


@only_sqlite
def test_a_file_that_cannot_grow_is_named_and_nothing_is_half_written(
    store: Store, run: Programs
) -> None:
    recorded, _, said = ended(run(FULL)).partition(" ")
    assert str(store.path) in said
    assert "nothing" in said
    assert "\n" not in said
    assert len(list(store.generations())) == int(recorded) > 1
    assert store.verify(projections=True, payloads=True).problems == []
    store.record_interruptions()  # there is room again
    assert store.verify(projections=True, payloads=True).problems == []


READER = """
from muniment.errors import StoreError
with Store.open(arguments[0], create=True) as warm:  # all is imported while that is allowed
    warm.record_started([start()], policy_document="")
    warm.verify(projections=True, payloads=True)
    list(warm.generations())
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    with Store.open(url, create=False) as store:
        print([g.status for g in store.generations()], store.verify(payloads=True).ok)
        store.record_started([start()], policy_document="")
except StoreError as error:
    print(error)
"""


@only_sqlite
@pytest.mark.parametrize("folder_mode", [0o777, 0o555])
def test_a_file_that_may_not_be_written_is_named_and_stays_as_it_is(
    store: Store, start: Any, finish: Any, tmp_path: Path, folder_mode: int
) -> None:
    started = start()
    store.record_started([started], policy_document="")
    store.record_outcomes([finish(started)])
    store.close()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "muniment.db"
        shutil.copy(str(store.path), file)
        file.chmod(0o444)
        Path(folder).chmod(folder_mode)
        reader = Programs(f"sqlite:///{file}")
        lines = ended(reader(READER, f"sqlite:///{tmp_path}/warm.db")).splitlines()
        assert file.read_bytes() == Path(str(store.path)).read_bytes()
    assert lines[:-1] == ["['completed'] True"], lines
    assert str(file) in lines[-1]
    assert "read-only" in lines[-1] or "permissions" in lines[-1]


# ---- a server that goes away -------------------------------------------------------------------


@only_postgresql
def test_a_connection_that_is_cut_is_replaced_and_nothing_is_half_written(
    store: Store, url: str, start: Any, finish: Any, postgresql: Server
) -> None:
    name = make_url(url).database
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    first, second = start(), start()
    store.record_started([first], policy_document="")
    postgresql.run(cut)  # while nothing is asked: nobody notices
    store.record_outcomes([finish(first)])
    with pytest.raises(StoreError, match="completely or not at all"):
        _cut_while_writing(store, postgresql, cut, second)
    assert [g.id for g in store.generations()] == [first.id]
    store.record_started([second], policy_document="")
    store.record_outcomes([finish(second)])
    assert store.verify(projections=True, payloads=True).problems == []


def _cut_while_writing(store: Store, server: Server, cut: str, generation: Any) -> None:
    with store._database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM period")
        server.run(cut)
        connection.exec_driver_sql("SELECT 1")


@only_postgresql
def test_a_database_that_was_dropped_is_said_to_be_gone(
    store: Store, url: str, start: Any, postgresql: Server
) -> None:
    store.record_started([start()], policy_document="")
    postgresql.run(f'DROP DATABASE "{make_url(url).database}" WITH (FORCE)')
    for attempt in (
        lambda: store.record_started([start()], policy_document=""),
        lambda: list(store.generations()),
        lambda: Store.open(url, create=True),
    ):
        with pytest.raises(StoreError, match=r"there is no database at|ended the connection"):
            attempt()


@only_postgresql
def test_a_writer_that_stands_still_lets_the_others_go_on(
    store: Store, start: Any, run: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = run(
        """
        from muniment.store.database import postgresql
        statements = postgresql._SET_TIMEOUTS
        postgresql._SET_TIMEOUTS = statements.replace("= 60000; SELECT", "= 200; SELECT")
        from muniment.errors import StoreError
        with Store.open(url, create=False) as store:
            try:
                with store._database.writing() as connection:
                    print("holds", flush=True)
                    sys.stdin.readline()
                    connection.exec_driver_sql("SELECT 1")
            except StoreError as error:
                print(error)
        """
    )
    says(holder, "holds")
    store.record_started([start()], policy_document="")  # would wait for ever
    assert holder.stdin is not None
    holder.stdin.write("go\n")
    holder.stdin.flush()
    assert "the server ended it" in cast(str, ended(holder))
