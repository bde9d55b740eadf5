"""Verifying by several processes finds what one finds; the search index is held to the texts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, make_url

from muniment.errors import StoreError
from muniment.ids import new_id
from muniment.ledger.tree import Frontier
from muniment.store import Problem, Query, Store, Verification
from muniment.store.database.engine import Database
from muniment.store.database.opening import open_database
from muniment.store.database.tables import entry, metadata
from muniment.store.search.index import delete, insert
from muniment.store.verification.ranges import CheckOptions, EntryRange, entry_ranges
from muniment.store.verification.verify import verify
from muniment.store.verification.verify_pool import CheckerPool
from support.databases import Server, by_hand, change, only_postgresql, only_sqlite

SPAN = 256  # the least there can be: a store of a few hundred entries has several


def verified(url: str, processes: int, **options: Any) -> Verification:
    everything = {
        "projections": True,
        "payloads": True,
        "search": True,
        "range_size": SPAN,
    } | options
    database = open_database(url)
    try:
        return verify(database, processes=processes, **everything)
    finally:
        database.close()


@pytest.fixture(scope="module")
def longs() -> dict[str, str]:
    """The URLs of the stores that `long` copies, by kind."""
    return {}


@pytest.fixture
def long(
    kind: str,
    longs: dict[str, str],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
    fill: Callable[[str], None],
) -> Iterator[str]:
    """A store of more than four ranges; runs and generations reach from one into the next."""
    if kind == "sqlite":
        if kind not in longs:
            longs[kind] = str(tmp_path_factory.mktemp("long") / "muniment.db")
            fill(f"sqlite:///{longs[kind]}")
        yield f"sqlite:///{shutil.copy(longs[kind], tmp_path / 'long.db')}"
        return
    server: Server = request.getfixturevalue("postgresql")
    if kind not in longs:
        longs[kind] = server.create()
        fill(longs[kind])
    made = server.create(longs[kind])
    yield made
    server.drop(made)


@pytest.fixture
def fill(start: Any, finish: Any, make_rich: Any) -> Callable[[str], None]:
    """Make what is in the store of `long`."""

    def make(url: str) -> None:
        run = new_id()
        with Store.open(url, create=True) as store:
            for part in range(3):
                started = [start(f"prompt {part} {n}", run_id=run, tags=("x",)) for n in range(160)]
                one, ended = make_rich()
                store.record_started([*started, one], policy_document="rules: []")
                declared = {"words": frozenset({"violence"})}
                done = [finish(g, f"answer {part} {n}") for n, g in enumerate(started) if n % 50]
                store.record_outcomes([*done, ended], declared_categories=declared)
                # Events about generations of earlier ranges, and one entry with many rows.
                store.events.add_feedback(started[0].id, "anna", "up", "good")
                store.events.add_review(one.id, "bert", "approve")
            hold, _ = store.holds.add(Query(tag="x"), "court", "case 7")
            store.holds.release(hold, "court")

    return make


# ---- several processes -------------------------------------------------------------------------


def test_a_whole_store_is_whole_to_any_number_of_processes(long: str) -> None:
    found = [verified(long, number) for number in (1, 2, 3)]
    assert found[0].problems == []
    assert found[1:] == found[:-1]
    assert found[0].entries > 3 * SPAN
    integrity = ["integrity"] if long.startswith("sqlite") else []
    checks = ["schema", "tree", "entries", *integrity, "projections", "payloads", "search"]
    assert found[0].checked == checks
    assert verified(long, 1, range_size=2**14) == found[0]


OTHER_BYTES = "SELECT e.canonical_bytes FROM entry e WHERE e.seq = 9"
OTHER_HASH = "SELECT e.leaf_hash FROM entry e WHERE e.seq = 5"
ATTACKS = {
    "altered entries": [
        f"UPDATE entry SET canonical_bytes = ({OTHER_BYTES}) WHERE seq = 300",
        f"UPDATE entry SET canonical_bytes = ({OTHER_BYTES}) WHERE seq = 1",  # that many name
        f"UPDATE entry SET leaf_hash = ({OTHER_HASH}) WHERE seq = 600",
        "UPDATE entry SET kind = 'review' WHERE seq IN (4, 700)",
    ],
    "missing entries": [
        "DELETE FROM entry WHERE seq = 290",
        "DELETE FROM entry WHERE seq > 760",
    ],
    "entries of other numbers": [
        "UPDATE entry SET seq = 4611686018427387904 WHERE seq = 801",
        "UPDATE entry SET seq = -7 WHERE seq = 802",
    ],
    "the tree": [
        f'UPDATE node SET hash = ({OTHER_HASH}) WHERE level = 1 AND "index" = 2',
        'DELETE FROM node WHERE level = 1 AND "index" = 1',
        "UPDATE ledger_head SET size = size - 1",
    ],
    "rows": [
        "UPDATE generation SET status = 'failed' WHERE seq % 40 = 7",
        "UPDATE verdict SET action = 'flag' WHERE generation % 90 = 7",
        "DELETE FROM verdict WHERE generation % 90 = 9",
        "DELETE FROM generation WHERE seq % 150 = 11",
        "UPDATE run SET seq = seq + 1 WHERE seq < 20",
    ],
    "events": [
        "UPDATE event SET subject = subject + 1 WHERE kind = 'feedback'",
        "DELETE FROM event WHERE kind = 'hold' AND position % 50 = 3",
        "UPDATE event SET key = NULL WHERE kind = 'release'",
        "UPDATE event SET kind = 'feedback' WHERE kind = 'review' AND seq > 500",
        "INSERT INTO event (seq, position, kind, subject) VALUES (7, 0, 'feedback', 7)",
        "INSERT INTO event (seq, position, kind, subject) VALUES (123456, 0, 'review', 9)",
    ],
    "payloads": [
        "UPDATE payload SET content = salt WHERE entry % 100 = 7",
        "DELETE FROM payload WHERE entry % 100 = 8",
    ],
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_several_processes_name_what_one_names(long: str, attack: str) -> None:
    for statement in ATTACKS[attack]:
        assert change(long, statement), statement
    one, two = verified(long, 1), verified(long, 2)
    assert one.problems
    assert (one.entries, one.root) == (two.entries, two.root)
    assert set(one.problems) == set(two.problems)


@only_sqlite
@pytest.mark.parametrize(
    ("low", "high", "named"),
    [
        (290, 300, ["290 to 300"]),
        (500, 511, ["500 to 511"]),
        (256, 511, ["256 to 511"]),
        (256, 260, ["256 to 260"]),
        (500, 600, ["500 to 511", "512 to 600"]),
        (0, 0, ["0 to 0"]),
    ],
)
def test_missing_entries_are_named_wherever_ranges_end(
    long: str, low: int, high: int, named: list[str]
) -> None:
    assert change(long, f"DELETE FROM entry WHERE seq BETWEEN {low} AND {high}")
    found = verified(long, 1, projections=False, payloads=False, search=False).problems
    gaps = [p.message for p in found if "are missing or out of order" in p.message]
    assert gaps == [f"entries {one} before it are missing or out of order" for one in named]


def test_ranges_of_any_size_name_the_same(long: str) -> None:
    for statement in ATTACKS["rows"]:
        assert change(long, statement)
    whole, cut = verified(long, 1, range_size=2**14), verified(long, 1)
    assert whole.problems
    assert set(whole.problems) == set(cut.problems)


def test_what_is_written_meanwhile_is_not_seen_by_one_process_only(
    long: str, start: Any, finish: Any
) -> None:
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        with Store.open(long, create=False) as store:
            while not stop.is_set():
                g = start("meanwhile")
                store.record_started([g], policy_document="")
                store.record_outcomes([finish(g)])
                written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not written:
            time.sleep(0.01)
        before = written
        found = [verified(long, 2) for _ in range(3)]
    finally:
        stop.set()
        writer.join()
    assert [one.problems for one in found] == [[], [], []]
    assert written > before


@only_sqlite
def test_a_store_that_may_not_be_locked_is_read_by_one_process(long: str) -> None:
    path = Path(long.removeprefix("sqlite:///"))
    with by_hand(long) as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        found = verified(long, 2)
        other.exec_driver_sql("ROLLBACK")
    assert found.problems == []
    assert path.exists()


def test_a_process_that_fails_says_so_in_a_sentence(
    long: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_url(long).set(database="/nowhere/at/all").render_as_string(hide_password=False)
    missing, reduce = open_database(url), Database.__reduce__
    monkeypatch.setattr(Database, "__reduce__", lambda _: reduce(missing))
    database = open_database(long)
    with pytest.raises(StoreError) as caught:
        verify(database, projections=False, payloads=False, processes=2, range_size=SPAN)
    database.close()
    assert "\n" not in str(caught.value)


def test_a_process_that_is_killed_is_told_of(long: str) -> None:
    database = open_database(long)
    with CheckerPool(database, CheckOptions(False, False, False, b"x" * 16), 2) as checkers:
        checkers.wait_until_ready()
        with database.reading_shared(checkers.begin_reading) as connection:
            for process in checkers._processes.values():
                assert process.pid
                os.kill(process.pid, signal.SIGKILL)
            with pytest.raises(StoreError, match="--processes 1"):
                list(checkers.check_all(entry_ranges(connection, 0, SPAN)))
    database.close()


INTERRUPTED = """
import sys, threading, os, signal
from muniment.store.database.opening import open_database
from muniment.store.verification.verify import verify

def told(*_):
    import multiprocessing
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.killpg(0, signal.SIGINT)  # as a terminal does

if __name__ == "__main__":
    os.setpgrp()
    try:
        verify(open_database(sys.argv[1]), projections=True, payloads=True, processes=2,
               range_size=256, progress=told)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def test_an_interrupt_ends_all_processes_quietly(long: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(INTERRUPTED)
    done = subprocess.run(
        [sys.executable, program, long], capture_output=True, text=True, timeout=60, check=True
    )
    numbers, said = done.stdout.splitlines()
    assert said == "interrupted"
    assert done.stderr == ""
    assert len(numbers.split()) == 2
    for number in map(int, numbers.split()):
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)


def test_processes_end_with_the_one_that_started_them(long: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(INTERRUPTED.replace("os.killpg(0, signal.SIGINT)", "os._exit(9)"))
    done = subprocess.run(
        [sys.executable, program, long], capture_output=True, text=True, timeout=60
    )
    [numbers] = done.stdout.splitlines()
    deadline = time.monotonic() + 60
    for number in numbers.split():
        while _alive(int(number)):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def _alive(number: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


# ---- the search index --------------------------------------------------------------------------


@pytest.fixture
def searchable(store: Store, url: str, start: Any, finish: Any, make_rich: Any) -> str:
    """A store with something to find in several generations, one of them without an outcome."""
    started = [start(f"the moon {word} 卫星") for word in ("rises", "sets", "waits")]
    rich, ended = make_rich()
    store.record_started([*started, rich], policy_document="")
    declared = {"words": frozenset({"violence"})}
    store.record_outcomes([*map(finish, started[:2]), ended], declared_categories=declared)
    store.close()
    return url


def numbers(connection: Connection) -> list[int]:
    table = metadata.tables["generation"]
    rows = connection.execute(table.select().where(table.c.outcome.is_not(None)))
    return sorted(row.seq for row in rows)


def in_index(url: str) -> list[Problem]:
    return verified(url, 1, projections=False, payloads=False).problems


def _terms(url: str, number: int) -> str:
    """The terms by which the generation of that number is found."""
    with Store.open(url, create=False) as store:
        from muniment.store.queries import loader
        from muniment.store.queries.loader import load
        from muniment.store.search.index import terms_of

        with store._database.reading() as connection:
            [loaded] = load(connection, loader.rows(connection, [number]), trace=False)
    return terms_of(loaded)


Attack = Callable[[Connection, int, str], None]


def _remove_row(connection: Connection, number: int, terms: str) -> None:
    delete(connection, [(number, terms)])


def _remove_term(connection: Connection, number: int, terms: str) -> None:
    delete(connection, [(number, terms)])
    insert(connection, [(number, " ".join(set(terms.split()) - {"moon"}))])


def _add_term(connection: Connection, number: int, terms: str) -> None:
    delete(connection, [(number, terms)])
    insert(connection, [(number, f"{terms} sun")])


def _exchange_term(connection: Connection, number: int, terms: str) -> None:
    delete(connection, [(number, terms)])
    insert(connection, [(number, terms.replace("moon", "noom"))])


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (_remove_row, "it is not found"),
        (_remove_term, "does not have exactly the terms"),
        (_add_term, "does not have exactly the terms"),
        (_exchange_term, "does not have exactly the terms"),
    ],
)
@pytest.mark.dialect
def test_an_altered_row_of_the_index_is_named(
    searchable: str, attack: Attack, message: str
) -> None:
    assert in_index(searchable) == []
    with by_hand(searchable) as connection:
        number = numbers(connection)[0]
    terms = _terms(searchable, number)
    with by_hand(searchable) as connection:
        attack(connection, number, terms)
    [problem] = in_index(searchable)
    assert (problem.kind, problem.where) == ("search", f"generation of entry {number}")
    assert message in problem.message
    with Store.open(searchable, create=False) as store:
        store.rebuild()
    assert in_index(searchable) == []


@pytest.mark.parametrize("number", [4611686018427387904, -3, 0, 5000])
@pytest.mark.dialect
def test_a_row_slipped_into_the_index_is_named(searchable: str, number: int) -> None:
    with by_hand(searchable) as connection:
        insert(connection, [(number, "moon star")])
    [problem] = in_index(searchable)
    assert problem.where == f"generation of entry {number}"
    assert "no texts" in problem.message


@pytest.mark.dialect
def test_a_generation_under_way_is_not_in_the_index_yet(searchable: str) -> None:
    with by_hand(searchable) as connection:
        waiting = max(numbers(connection)) - 1
    with by_hand(searchable) as connection:
        insert(connection, [(waiting, "moon")])
    assert [problem.where for problem in in_index(searchable)] == [f"generation of entry {waiting}"]


@pytest.mark.dialect
def test_an_emptied_index_is_found(searchable: str) -> None:
    with by_hand(searchable) as connection:
        delete(connection, [(number, _terms(searchable, number)) for number in numbers(connection)])
    assert len(in_index(searchable)) == 3


@only_sqlite
def test_an_index_damaged_underneath_is_found(searchable: str) -> None:
    with by_hand(searchable) as connection:
        connection.exec_driver_sql("INSERT INTO search (search) VALUES ('optimize')")
    assert change(searchable, "UPDATE search_data SET block = x'00' WHERE id > 10")
    [problem] = in_index(searchable)
    assert "damaged" in problem.message


@only_postgresql
def test_terms_that_are_none_are_found(searchable: str) -> None:
    assert change(searchable, "UPDATE search SET terms = terms || ARRAY[NULL::text]")
    assert len(in_index(searchable)) == 3


@pytest.mark.dialect
def test_texts_that_cannot_be_read_are_named(searchable: str) -> None:
    assert change(searchable, "UPDATE payload SET content = salt WHERE kind = 'detail'")
    assert {problem.kind for problem in in_index(searchable)} == {"search"}


def test_erasing_and_interruptions_leave_an_index_that_fits(
    store: Store, url: str, start: Any, finish: Any
) -> None:
    g, other = start("a secret moon"), start("an open sun")
    store.record_started([g, other], policy_document="")
    store.record_outcomes([finish(g), finish(other)])
    store.erasures.erase(Query(ids=[g.id]), "anna", reason=None)
    store.close()
    assert in_index(url) == []


# ---- trees -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 1000, 1024])
def test_trees_of_ranges_make_the_tree_of_all(size: int) -> None:
    leaves = [number.to_bytes(32) for number in range(2048 + size)]
    whole, joined = Frontier(), Frontier()
    whole.extend(leaves)
    for low in range(0, len(leaves), 1024):
        part = Frontier()
        part.extend(leaves[low : low + 1024])
        joined.join(part)
    assert (joined.size, joined.root(), joined.peaks) == (whole.size, whole.root(), whole.peaks)


def test_a_tree_that_would_lie_across_subtrees_cannot_be_joined() -> None:
    left, right = Frontier(), Frontier()
    left.extend([bytes(32)] * 3)
    right.extend([bytes(32)] * 2)
    with pytest.raises(ValueError, match="cannot follow"):
        left.join(right)
    assert left.size == 3


def test_ranges_skip_numbers_that_no_entry_has(store: Store) -> None:
    with store._database.writing() as connection:
        row = dict(connection.execute(entry.select()).mappings().one())
        far = 2**63 - 1
        connection.execute(entry.insert(), [row | {"seq": seq} for seq in (-5, 300, far)])
        assert list(entry_ranges(connection, 0, SPAN)) == [
            EntryRange(-256, -1),
            EntryRange(0, 255),
            EntryRange(256, 511),
            EntryRange(far - 255, far),
        ]
        assert next(entry_ranges(connection, 17, SPAN)) == EntryRange(256, 511)
        connection.execute(entry.delete().where(entry.c.seq.in_((-5, 300, far))))
