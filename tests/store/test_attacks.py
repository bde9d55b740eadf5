"""Whoever may do anything with the database is found out, on both kinds, and the place is named.

Every attack is generated from the tables, so that a column that is added is attacked by itself. One
store serves them all: an attack happens in a transaction, is looked for in it, and undone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Column, Connection, LargeBinary, Row, Table, and_, inspect, select

from muniment.ids import new_id
from muniment.ledger.checkpoints import Checkpoint, Note, origin, signed
from muniment.ledger.keys import PrivateKey
from muniment.store import Problem, Store
from muniment.store.database.engine import Database
from muniment.store.database.projections import ROWS, outcome_rows, started_rows
from muniment.store.database.tables import entry, generation, ledger_head, metadata, payload
from muniment.store.database.types import PortableText
from muniment.store.queries import time_index
from muniment.store.recording.ledger import append, prepare
from muniment.store.recording.tree_heads import Head
from muniment.store.verification import verify
from muniment.store.verification.signatures import TrustedCheckpoint
from muniment.types import Failure
from support.databases import Server, by_hand
from support.golden import ledger

# Who is at work, what is still to be done and where copies are; an index made from the texts.
NO_EVIDENCE = {"lease", "pending", "erasing", "backup", "alembic_version", "search"}
TABLES = [table for table in metadata.sorted_tables if table.name not in NO_EVIDENCE]
COLUMNS = [column for table in TABLES for column in table.columns]
named = pytest.mark.parametrize("column", COLUMNS, ids=str)
of_each = pytest.mark.parametrize("table", TABLES, ids=str)


@dataclasses.dataclass
class Victim:
    """A store that is attacked; `note` is a checkpoint of it that was published."""

    url: str
    note: Note
    key: PrivateKey

    def find(self, connection: Connection, *, published: bool = True) -> list[Problem]:
        """Verify everything, as seen by that connection; without what was published, if so said."""

        class Seen(Database):
            def __init__(self) -> None: ...

            @contextmanager
            def reading(self) -> Iterator[Connection]:
                yield connection

        return verify.verify(
            Seen(),
            projections=True,
            payloads=True,
            key=self.key.public,
            held=[TrustedCheckpoint("the published checkpoint", self.note)] if published else [],
            span=256,  # so that what belongs together lies in several ranges
        ).problems

    @contextmanager
    def attack(self) -> Iterator[Connection]:
        """Do anything with the database; all of it is undone at the end."""
        with by_hand(self.url) as connection:
            yield connection
            connection.rollback()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def victim(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    start: Any,
    finish: Any,
    make_rich: Any,
) -> Victim:
    """A store with something in every column, of more than 256 entries, and signed."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('victim')}/muniment.db"
    else:
        url = cast(Server, request.getfixturevalue("postgresql")).create()
    with Store.open(url, create=True) as store:
        _acts(store)
        run = new_id()
        many = [start(f"prompt {n}", run_id=run, tags=("x",)) for n in range(130)]
        one, ended = make_rich()
        store.record_started([*many, one], policy_document="rules: []")
        failed = finish(many[0], status="failed", failure=Failure("refused", "too long"))
        store.record_outcomes(
            [failed, *(finish(g) for g in many[1:-1]), ended],
            declared_categories={"words": frozenset({"violence"})},
        )
        key = PrivateKey.generate(origin(store.log))
        note = store.sign(lambda head, _: _sign(head, key))
    found = Victim(url, note, key)
    with found.attack() as connection:
        assert found.find(connection) == []
    return found


def _acts(store: Store) -> None:
    """Let the ledger be the golden one, which has an entry of every kind."""
    made = ledger()
    prepared = [
        prepare(body, [held for (entry_, _, _), held in made.payloads.items() if entry_ == number])
        for number, body in enumerate(made.bodies)
    ]
    with store._database.writing() as connection:
        connection.execute(entry.delete())
        head = {"log_id": made.bodies[0]["log"], "size": 0, "frontier": b""}
        connection.execute(ledger_head.update().values(head))
        append(connection, prepared)
        runs: dict[str, int] = {}
        for seq, item in enumerate(prepared):
            body = item.body
            if body["kind"] == "started":
                number = runs.setdefault(body["run"], seq)
                row, others = started_rows(seq, body, number, item.content("request"))
                rows = {"generation": [row], **others}
                time_index.note(connection, [(seq, row["started_at"])])
                rows["run"] = [{"seq": seq, "id": body["run"]}] if number == seq else []
            elif body["kind"] == "outcome":
                changes, verdicts = outcome_rows(seq, body)
                rows = {"verdict": verdicts}
                own = generation.c.seq == body["generation"]
                connection.execute(generation.update().where(own).values(changes))
            else:
                make = ROWS.get(body["kind"])
                rows = make(seq, body, item.content) if make else {}
            for name, new in rows.items():
                if new:
                    connection.execute(metadata.tables[name].insert(), new)
        for body in made.bodies:
            for gone in body.get("payloads", ()) if body["kind"] == "erasure" else ():
                own = (payload.c.entry == gone["entry"]) & payload.c.kind.in_(gone["kinds"])
                connection.execute(payload.delete().where(own))
                tags = metadata.tables["generation_tag"]
                connection.execute(tags.delete().where(tags.c.generation == gone["entry"]))
                own = generation.c.seq == gone["entry"]
                connection.execute(generation.update().where(own).values(model_name=""))


def _sign(head: Head, key: PrivateKey) -> Note:
    return signed(Checkpoint(key.name, head.size, head.root), key)


# ---- columns and rows --------------------------------------------------------------------------


def test_every_table_is_attacked_or_said_to_be_no_evidence(victim: Victim) -> None:
    with by_hand(victim.url) as connection:
        there = inspect(connection).get_table_names()
    known = NO_EVIDENCE | {table.name for table in TABLES}
    assert {name for name in there if not name.startswith("search_")} <= known


@named
def test_an_altered_column_is_found_and_named(victim: Victim, column: Column[Any]) -> None:
    table = cast(Table, column.table)
    with victim.attack() as connection:
        rows = _rows(connection, table, column)
        assert rows, f"nothing in {column} to alter"
        for row in {rows[0], rows[len(rows) // 2], rows[-1]}:
            attempt = connection.begin_nested()
            new = _altered(row._mapping[column.name])
            _update(connection, table, row, {column.name: new})
            _named(victim.find(connection), table)
            attempt.rollback()


@named
def test_an_emptied_column_is_found_and_named(victim: Victim, column: Column[Any]) -> None:
    table = cast(Table, column.table)
    with victim.attack() as connection:
        least = _empty(column)
        row = [
            row for row in _rows(connection, table, column) if row._mapping[column.name] != least
        ][-1]
        _update(connection, table, row, {column.name: _empty(column)})
        _named(victim.find(connection), table)


@of_each
def test_a_deleted_row_is_found_and_named(victim: Victim, table: Table) -> None:
    with victim.attack() as connection:
        rows = _rows(connection, table)
        for row in {rows[0], rows[len(rows) // 2], rows[-1]}:
            attempt = connection.begin_nested()
            assert connection.execute(table.delete().where(_is(table, row))).rowcount == 1
            _named(victim.find(connection, published=table.name != "checkpoint"), table)
            attempt.rollback()


@of_each
def test_an_emptied_table_is_found_and_named(victim: Victim, table: Table) -> None:
    with victim.attack() as connection:
        assert connection.execute(table.delete()).rowcount
        found = victim.find(connection, published=table.name != "checkpoint")
    assert found
    if table is not entry:  # without any, what there should be is not known
        _named(found, table)


@of_each
def test_a_row_slipped_in_is_found_and_named(victim: Victim, table: Table) -> None:
    unique = {"outcome", "digest"} | {key.name for key in table.primary_key}
    unique |= {column.name for column in table.c if column.unique}
    with victim.attack() as connection:
        row = dict(_rows(connection, table)[0]._mapping)
        row |= {name: _altered(row[name]) for name in unique & row.keys()}
        connection.execute(table.insert(), row)
        _named(victim.find(connection), table)


# ---- entries -----------------------------------------------------------------------------------


def test_two_swapped_entries_are_found_and_named(victim: Victim) -> None:
    with victim.attack() as connection:
        one, other = _rows(connection, entry)[40:42]
        _update(connection, entry, one, {"seq": -1})
        _update(connection, entry, other, {"seq": one.seq})
        connection.execute(entry.update().where(entry.c.seq == -1).values(seq=other.seq))
        found = victim.find(connection)
    assert "checkpoint" in {problem.kind for problem in found}
    assert any("do not make the node" in problem.message for problem in found)


def test_a_missing_middle_entry_is_named(victim: Victim) -> None:
    with victim.attack() as connection:
        connection.execute(entry.delete().where(entry.c.seq == 100))
        found = victim.find(connection)
    assert any("entries 100 to 100" in problem.message for problem in found)


def test_a_tail_cut_off_is_named(victim: Victim) -> None:
    with victim.attack() as connection:
        connection.execute(entry.delete().where(entry.c.seq >= victim.note.checkpoint.size - 3))
        found = victim.find(connection)
    assert any("ledger_head.size" in problem.where for problem in found)
    assert any("the end was cut off" in problem.message for problem in found)


# ---- whole stores ------------------------------------------------------------------------------


@pytest.fixture
def before(store: Store, url: str, start: Any, tmp_path: Path, request: Any) -> Callable[[], str]:
    """Copy the store as it is now, and say where the copy is."""

    def copy() -> str:
        store.close()
        if store.path is None:
            return cast(Server, request.getfixturevalue("postgresql")).create(template=url)
        target = tmp_path / "before.db"
        target.write_bytes(store.path.read_bytes())
        return f"sqlite:///{target}"

    return copy


def test_a_store_rolled_back_behind_a_checkpoint_is_found(
    store: Store, start: Any, before: Callable[[], str], url: str
) -> None:
    key, note = _published(store)
    old = before()
    with Store.open(url, create=False) as now:
        now.record_started([start() for _ in range(5)], policy_document="")
        note = now.sign(lambda head, _: _sign(head, key))
    found = _verified(old, key, note)
    assert [problem.kind for problem in found] == ["checkpoint"]
    assert "the whole store rolled back" in found[0].message
    with Store.open(old, create=False) as forked:
        forked.record_started([start() for _ in range(9)], policy_document="")
        forked.sign(lambda head, _: _sign(head, key))
    assert any(
        problem.where == "the published checkpoint" and "are not those" in problem.message
        for problem in _verified(old, key, note)
    )


def test_a_key_put_in_place_of_the_owners_is_found(store: Store, start: Any) -> None:
    key, _ = _published(store)
    store.record_started([start()], policy_document="")
    thief = PrivateKey.generate(origin(store.log))
    with store._database.writing() as connection:
        connection.execute(metadata.tables["checkpoint"].delete())
    store.sign(lambda head, _: _sign(head, thief))
    found = store.verify(projections=True, payloads=True, key=key.public).problems
    assert any(str(thief.public).partition("+")[0] in problem.message for problem in found)
    assert {problem.kind for problem in found} == {"signature"}


def _published(store: Store) -> tuple[PrivateKey, Note]:
    key = PrivateKey.generate(origin(store.log))
    return key, store.sign(lambda head, _: _sign(head, key))


def _verified(url: str, key: PrivateKey, note: Note) -> list[Problem]:
    with Store.open(url, create=False) as store:
        held = [TrustedCheckpoint("the published checkpoint", note)]
        found = store.verify(projections=True, payloads=True, key=key.public, held=held)
        assert found.ok == (not found.problems)
        return found.problems


# ---- how ---------------------------------------------------------------------------------------


def _rows(
    connection: Connection, table: Table, column: Column[Any] | None = None
) -> list[Row[Any]]:
    """The rows of a table in order, those with a value in the column if there are any."""
    statement = select(table).order_by(*table.primary_key)
    if column is not None:
        filled = connection.execute(statement.where(column.is_not(None))).all()
        if filled:
            return list(filled)
    return list(connection.execute(statement).all())


def _is(table: Table, row: Row[Any]) -> Any:
    return and_(*(key == row._mapping[key.name] for key in table.primary_key))


def _update(connection: Connection, table: Table, row: Row[Any], values: dict[str, Any]) -> None:
    changed = connection.execute(table.update().where(_is(table, row)).values(values))
    assert changed.rowcount == 1


def _altered(value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case None:
            return 1
        case bytes():
            return bytes([value[0] ^ 1]) + value[1:] if value else b"x"
        case str():
            return ("x" if value[:1] != "x" else "y") + value[1:]
        case _:
            return value + (1000 if value < 2**62 else -1000)


def _empty(column: Column[Any]) -> Any:
    """As little as the column takes."""
    if column.nullable:
        return None
    if isinstance(column.type, LargeBinary):
        return b""
    return "" if isinstance(column.type, PortableText) else -7


def _named(found: list[Problem], table: Table) -> None:
    """See that the problems speak of the table."""
    words = {"entry": ("entry", "entries"), "ledger_head": ("ledger_head",)}.get(
        table.name, (table.name,)
    )
    said = [f"{problem.kind} {problem.where} {problem.message}" for problem in found]
    assert any(word in sentence for sentence in said for word in words), said
