"""Several processes at one store, processes that are killed, and what readers make of them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Connection

from muniment.ids import new_id
from muniment.store import AlreadyRecordedError, Query, Store
from muniment.store.database import leases
from support.databases import ask, change
from support.programs import Programs, ended, says

pytestmark = pytest.mark.dialect

WORKER = """
with Store.open(url, create=False) as store:
    store.record_started([start() for _ in range(5)], policy_document="")
    print("started", flush=True)
    sys.stdin.readline()
    store.record_outcomes([finish(g) for g in store.generations(Query(run=RUN))])
"""


def statuses(store: Store) -> list[str]:
    return [g.status for g in store.generations()]


def test_a_generation_at_work_in_another_process_is_started(store: Store, run: Programs) -> None:
    worker = run(WORKER)
    says(worker, "started")
    assert statuses(store) == ["started"] * 5
    assert store.record_interruptions() == 0
    worker.communicate("go\n", timeout=60)
    assert statuses(store) == ["completed"] * 5


def test_after_a_kill_readers_say_interrupted_and_the_next_writer_records_it(
    store: Store, run: Programs, start: Any
) -> None:
    worker = run(WORKER)
    says(worker, "started")
    entries = store.status().entries
    worker.kill()  # not waited for: a process that is gone but not yet reaped is gone
    deadline = time.monotonic() + 20
    while statuses(store) != ["interrupted"] * 5 and time.monotonic() < deadline:
        time.sleep(0.05)

    # Reading derives it and writes nothing.
    assert statuses(store) == ["interrupted"] * 5
    assert len(list(store.generations(Query(status="interrupted")))) == 5
    assert not list(store.generations(Query(status="started")))
    assert next(store.runs()).counts == {"interrupted": 5}
    assert store.generation(store.find("last")).finished_at is None
    assert store.status().entries == entries
    assert store.verify(projections=True, payloads=True).ok

    # The next writer records it, once.
    store.record_started([start()], policy_document="")
    assert statuses(store) == ["started"] + ["interrupted"] * 5
    assert len(list(store.generations(Query(status="interrupted")))) == 5
    assert all(g.finished_at for g in store.generations(Query(status="interrupted")))
    assert store.record_interruptions() == 0
    assert store.verify(projections=True, payloads=True).ok


def test_an_outcome_that_comes_after_the_interruption_was_recorded_is_refused(
    store: Store, start: Any, finish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = start()
    store.record_started([started], policy_document="")
    monkeypatch.setattr(leases, "alive", lambda row: False)
    assert store.record_interruptions() == 1
    monkeypatch.undo()
    with pytest.raises(AlreadyRecordedError, match="already has an outcome"):
        store.record_outcomes([finish(started)])
    assert store.generation(started.id).status == "interrupted"


def test_what_was_started_and_left_when_the_store_was_closed_is_interrupted(
    url: str, store: Store, start: Any
) -> None:
    store.record_started([start()], policy_document="")
    store.close()
    with Store.open(url, create=False) as again:
        assert statuses(again) == ["interrupted"]


def test_processes_that_make_the_store_at_once_make_one(url: str, run: Programs) -> None:
    program = """
        with Store.open(url, create=True) as store:
            store.record_started([start()], policy_document="")
    """
    for worker in [run(program) for _ in range(4)]:
        ended(worker)
    with Store.open(url, create=False) as store:
        assert len(list(store.generations())) == 4
        assert store.verify(projections=True, payloads=True).ok


def test_a_child_process_does_not_use_its_parents_connections_or_lease(
    store: Store, run: Programs
) -> None:
    program = """
        store = Store.open(url, create=False)
        store.record_started([start()], policy_document="")
        child = os.fork()
        if child == 0:
            store.record_started([start()], policy_document="")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print([g.status for g in store.generations()])
        store.close()
    """
    # The child is gone without an outcome, the parent is still at work.
    assert ended(run(program)) == "['interrupted', 'started']"


def test_threads_share_a_store(store: Store, start: Any, finish: Any) -> None:
    def work(number: int) -> None:
        for _ in range(5):
            batch = [start(), start()]
            store.record_started(batch, policy_document="")
            store.record_outcomes([finish(g) for g in batch])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert statuses(store) == ["completed"] * 40
    assert store.verify(projections=True, payloads=True).ok


# ---- lines of a batch --------------------------------------------------------------------------


def test_a_line_is_not_attempted_again_once_completed_or_while_worked_on(
    store: Store, start: Any, finish: Any
) -> None:
    batch = new_id()
    first = start(run_id=batch, line=1)
    store.record_started([first], policy_document="")
    with pytest.raises(AlreadyRecordedError, match=f"line 1 of run {batch}"):
        store.record_started([start(run_id=batch, line=1)], policy_document="")
    store.record_outcomes([finish(first)])
    with pytest.raises(AlreadyRecordedError, match="line 1"):
        store.record_started([start(), start(run_id=batch, line=1)], policy_document="")
    two = [start(run_id=batch, line=2), start(run_id=batch, line=2)]
    with pytest.raises(AlreadyRecordedError, match="line 2"):
        store.record_started(two, policy_document="")
    store.record_started([start(run_id=new_id(), line=1)], policy_document="")
    assert len(list(store.generations())) == 2


@pytest.mark.parametrize("status", ["failed", "interrupted", "blocked"])
def test_a_line_that_was_not_completed_can_be_attempted_again(
    store: Store, start: Any, finish: Any, status: str
) -> None:
    batch = new_id()
    first, second = start(run_id=batch, line=1), start(run_id=batch, line=1)
    store.record_started([first], policy_document="")
    store.record_outcomes([finish(first, status=status)])
    store.record_started([second], policy_document="")
    store.record_outcomes([finish(second)])
    [line] = store.lines(batch)
    assert (line.generation.id, line.attempts) == (second.id, 2)


def test_two_that_resume_one_batch_at_once_complete_each_line_once(
    store: Store, run: Programs
) -> None:
    batch = new_id()
    program = """
        done = 0
        with Store.open(url, create=False) as store:
            for line in range(1, 21):
                attempt = start(line=line, run=arguments[0])
                try:
                    store.record_started([attempt], policy_document="")
                except AlreadyRecordedError:
                    continue
                store.record_outcomes([finish(attempt)])
                done += 1
        print(done)
    """
    workers = [run(program, batch) for _ in range(3)]
    assert sum(int(ended(worker)) for worker in workers) == 20
    assert [line.attempts for line in store.lines(batch)] == [1] * 20


# ---- leases ------------------------------------------------------------------------------------


@pytest.fixture
def lease(url: str, store: Store, start: Any) -> Callable[..., str]:
    """Alter this process's lease, and say what a reader then makes of its generation."""
    store.record_started([start()], policy_document="")

    def alter(**columns: Any) -> str:
        for name, value in columns.items():
            change(url, f"UPDATE lease SET {name} = :value", {"value": value})
        return statuses(store)[0]

    return alter


def now() -> int:
    return time.time_ns() // 1_000_000


def test_on_the_same_machine_the_process_counts_and_not_its_heartbeat(
    lease: Callable[..., str],
) -> None:
    assert lease(heartbeat_at=0) == "started"
    assert lease(process_start="1") == "interrupted"  # another process has the number now


def test_on_the_same_machine_an_unused_process_number_is_dead(lease: Callable[..., str]) -> None:
    assert lease(pid=2**22 + 1) == "interrupted"


def test_after_the_machine_was_started_again_a_lease_is_dead(lease: Callable[..., str]) -> None:
    assert lease(boot_id=f"another/{os.readlink('/proc/self/ns/pid')}") == "interrupted"


def test_on_another_machine_the_heartbeat_counts(lease: Callable[..., str]) -> None:
    assert lease(host="elsewhere", pid=1, heartbeat_at=now()) == "started"
    assert lease(heartbeat_at=now() - 50_000) == "started"
    assert lease(heartbeat_at=now() - 61_000) == "interrupted"


def test_in_another_container_of_the_machine_the_heartbeat_counts(
    lease: Callable[..., str],
) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert lease(boot_id=f"{boot}/pid:[1]", pid=2**22 + 1) == "started"
    assert lease(heartbeat_at=now() - 61_000) == "interrupted"


def test_without_proc_the_heartbeat_counts(
    url: str, store: Store, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_boot_id", lambda: "")
    monkeypatch.setattr(leases, "_process_start", lambda pid: None)
    store.record_started([start()], policy_document="")
    assert statuses(store) == ["started"]
    change(url, "UPDATE lease SET heartbeat_at = heartbeat_at - 61000")
    assert statuses(store) == ["interrupted"]


def test_a_lease_is_renewed(
    url: str, store: Store, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.02)
    store.record_started([start()], policy_document="")

    def beat() -> int:
        [(at,)] = ask(url, "SELECT heartbeat_at FROM lease")
        return int(at)

    first, deadline = beat(), time.monotonic() + 20
    while beat() == first and time.monotonic() < deadline:
        time.sleep(0.02)
    assert beat() > first


def test_closing_gives_the_lease_back(url: str, store: Store, start: Any) -> None:
    store.record_started([start()], policy_document="")
    store.close()
    store.close()
    assert ask(url, "SELECT * FROM lease") == []


def test_closing_waits_for_a_renewal_whose_connection_would_stay_open(
    url: str, store: Store, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.02)
    entered, resume = threading.Event(), threading.Event()
    block_renewals(store, monkeypatch, entered, resume)
    store.record_started([start()], policy_document="")
    assert entered.wait(20)
    threading.Timer(0.2, resume.set).start()
    store.close()
    assert resume.is_set()
    assert "muniment-lease" not in [thread.name for thread in threading.enumerate()]
    assert ask(url, "SELECT * FROM lease") == []


def test_closing_waits_for_a_renewal_for_a_limited_time(
    url: str, store: Store, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(leases, "JOIN_SECONDS", 0.1)
    entered, resume = threading.Event(), threading.Event()
    block_renewals(store, monkeypatch, entered, resume)
    store.record_started([start()], policy_document="")
    assert entered.wait(20)
    [renewal] = [thread for thread in threading.enumerate() if thread.name == "muniment-lease"]
    store.close()
    assert not resume.is_set()
    assert len(ask(url, "SELECT * FROM lease")) == 1
    resume.set()
    renewal.join(20)


def block_renewals(
    store: Store, monkeypatch: pytest.MonkeyPatch, entered: Event, resume: Event
) -> None:
    """Block each renewal after its commit, when no lock of the database delays closing."""
    maintaining = store._database.maintaining

    @contextmanager
    def slow() -> Iterator[Connection]:
        with maintaining() as connection:
            yield connection
        if threading.current_thread().name == "muniment-lease":
            entered.set()
            resume.wait(20)

    monkeypatch.setattr(store._database, "maintaining", slow)


def remove_lease(url: str) -> None:
    """Do to the lease what another writer does that takes this process for dead."""
    assert change(url, "DELETE FROM lease") == 1


def test_a_lease_that_another_writer_removed_is_taken_again_with_the_next_work(
    url: str, store: Store, start: Any, finish: Any
) -> None:
    store.record_started([first := start()], policy_document="")
    remove_lease(url)
    assert statuses(store) == ["interrupted"]
    store.record_started([second := start()], policy_document="")
    assert statuses(store) == ["started", "started"]
    assert store.record_interruptions() == 0
    store.record_outcomes([finish(first), finish(second)])
    assert statuses(store) == ["completed", "completed"]


def test_a_lease_that_another_writer_removed_is_taken_again_by_the_next_heartbeat(
    url: str, store: Store, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.02)
    store.record_started([start()], policy_document="")
    remove_lease(url)
    deadline = time.monotonic() + 20
    while statuses(store) != ["started"] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert statuses(store) == ["started"]
