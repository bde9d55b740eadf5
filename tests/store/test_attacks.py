"""Changes made past the store are found, on both kinds of database, and the place is named.

The attacks are generated from the tables, so that a new column is attacked without a new test. One
store serves them all: an attack happens in a transaction, verification runs in it, and it is rolled
back. Attacks whose findings name different places are made together and verified once.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Column, Connection, LargeBinary, Row, Table, Text, and_, inspect, select

from muniment.ids import new_id
from muniment.ledger.checkpoints import Checkpoint, Note, origin, sign_checkpoint
from muniment.ledger.entries import GenesisEntry, OutcomeEntry, StartedEntry
from muniment.ledger.events import ErasureEntry, Event
from muniment.ledger.keys import PrivateKey
from muniment.ledger.payloads import KINDS
from muniment.ledger.schema import ENTRIES
from muniment.store import Problem, Store
from muniment.store.database import projections
from muniment.store.database.engine import Database
from muniment.store.database.projections import OUTCOME_TABLES, Rows
from muniment.store.database.tables import (
    checkpoint,
    entry,
    event,
    generation,
    ledger_head,
    metadata,
    payload,
)
from muniment.store.queries import time_index
from muniment.store.recording.ledger import append, prepare
from muniment.store.recording.tree_heads import Head
from muniment.store.verification import verify
from muniment.store.verification.signatures import TrustedCheckpoint
from muniment.types.generations import Failure
from support.databases import Server, by_hand
from support.golden import ledger

pytestmark = pytest.mark.dialect

# Who is at work, what is still to be done and where copies are; an index made from the texts.
NO_EVIDENCE = {"lease", "pending", "erasing", "backup", "backfill", "alembic_version", "search"}
TABLES = [table for table in metadata.sorted_tables if table.name not in NO_EVIDENCE]
COLUMNS = [column for table in TABLES for column in table.columns]

# A problem in these does not name one row made of one entry, or brings problems elsewhere.
ALONE = {"checkpoint", "entry", "ledger_head", "node", "period", "run"}
ROWS_OF_ENTRIES = [table for table in TABLES if table.name not in {*ALONE, "payload"}]
# Rows of outcomes are not compared where that of their generation is missing, so they are apart.
GROUPS = {"query tables": [table for table in ROWS_OF_ENTRIES if table.name not in OUTCOME_TABLES]}
GROUPS |= {table.name: [table] for table in TABLES if table not in GROUPS["query tables"]}
grouped = pytest.mark.parametrize("tables", GROUPS.values(), ids=GROUPS)


@dataclasses.dataclass(frozen=True)
class Attack:
    """A value to put into a column of a row; `where` is the place that must be named."""

    column: Column[Any]
    row: Row[Any]
    value: Any

    @property
    def table(self) -> Table:
        return cast(Table, self.column.table)

    @property
    def where(self) -> str:
        place = _place(self.table, self.row)
        if self.column.primary_key or self.table not in ROWS_OF_ENTRIES:
            return place
        return place.replace(self.table.name, f"{self.table.name}.{self.column.name}", 1)

    def clashes(self, other: Attack) -> bool:
        """Whether the findings of the two could not be told apart."""
        if self.where == other.where:
            return True
        if self.table.name in ALONE:  # three of the columns bring a problem of their own row alone
            one_row = ("entry.kind", "entry.version", "entry.leaf_hash")
            return self.column is not other.column or str(self.column) not in one_row
        # A row under another key, or without its outcome, brings problems of its other columns.
        moved = any(one.column.primary_key or one.column.name == "outcome" for one in (self, other))
        return moved and (self.table, self.row) == (other.table, other.row)

    def run(self, connection: Connection) -> None:
        _update(connection, self.table, self.row, {self.column.name: self.value})


def _place(table: Table, row: Row[Any]) -> str:
    """How a problem names a row."""
    values = row._mapping
    match table.name:
        case "entry":
            return f"entry {values['seq']}"
        case "payload":
            return f"{values['kind']} {values['position']} of entry {values['entry']}"
        case name if name in ALONE:
            return name
        case name:
            return f"{name} of entry {values[next(iter(table.primary_key)).name]}"


@dataclasses.dataclass
class AttackedStore:
    """A store that is attacked; `note` is a checkpoint of it that was published."""

    url: str
    note: Note
    key: PrivateKey

    def find(self, connection: Connection, *, published: bool = True) -> list[Problem]:
        """Verify everything, as seen by that connection; without what was published, if so said."""

        class Seen:
            @contextmanager
            def reading(self) -> Iterator[Connection]:
                yield connection

        return verify.verify(
            cast(Database, Seen()),
            projections=True,
            payloads=True,
            key=self.key.public,
            trusted=[TrustedCheckpoint("the published checkpoint", self.note)] if published else [],
            range_size=256,  # so that what belongs together lies in several ranges
        ).problems

    @contextmanager
    def attack(self) -> Iterator[Connection]:
        """Do anything with the database; all of it is undone at the end."""
        with by_hand(self.url) as connection:
            yield connection
            connection.rollback()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def attacked_store(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    start: Any,
    finish: Any,
    make_rich: Any,
) -> AttackedStore:
    """A store with something in every column, of more than 256 entries, and signed."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('victim')}/muniment.db"
    else:
        url = cast(Server, request.getfixturevalue("postgresql")).create()
    with Store.open(url, create=True) as store:
        _add_golden_entries(store)
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
    found = AttackedStore(url, note, key)
    with found.attack() as connection:
        assert found.find(connection) == []
    return found


def _add_golden_entries(store: Store) -> None:
    """Replace the ledger by the golden one, which has an entry of every kind."""
    made = ledger()
    prepared = [
        prepare(item, [payload for key, payload in made.payloads.items() if key[0] == number])
        for number, item in enumerate(made.entries)
    ]
    with store._database.writing() as connection:
        connection.execute(entry.delete())
        head = {"log_id": cast(GenesisEntry, made.entries[0]).log, "size": 0, "frontier": b""}
        connection.execute(ledger_head.update().values(head))
        append(connection, prepared)
        runs: dict[str, int] = {}
        for seq, item in enumerate(prepared):
            rows: Rows = defaultdict(list)
            match item.entry:
                case StartedEntry() as started:
                    number = runs.setdefault(started.run, seq)
                    projections.add_started(rows, seq, started, number, item.content("request"))
                    time_index.add(connection, [(seq, started.at)])
                    rows["run"] += [(seq, started.run)] if number == seq else []
                case OutcomeEntry() as outcome:
                    projections.add_outcome(rows, seq, outcome, item.content)
                case _:
                    projections.add_entry(rows, seq, item.entry, item.content)
            assert projections.insert(connection, rows)
        erasures = [item for item in made.entries if isinstance(item, ErasureEntry)]
        for erased in (fact for erasure in erasures for fact in erasure.payloads):
            own = (payload.c.entry == erased.entry) & payload.c.kind.in_(erased.kinds)
            connection.execute(payload.delete().where(own))
            tags = metadata.tables["generation_tag"]
            connection.execute(tags.delete().where(tags.c.generation == erased.entry))
            own = generation.c.seq == erased.entry
            connection.execute(generation.update().where(own).values(model_name=""))


def _sign(head: Head, key: PrivateKey) -> Note:
    return sign_checkpoint(Checkpoint(key.name, head.size, head.root), key)


# ---- columns and rows --------------------------------------------------------------------------


def test_every_table_is_attacked_or_said_to_be_no_evidence(attacked_store: AttackedStore) -> None:
    with by_hand(attacked_store.url) as connection:
        there = inspect(connection).get_table_names()
    known = NO_EVIDENCE | {table.name for table in TABLES}
    assert {name for name in there if not name.startswith("search_")} <= known


def test_every_column_is_attacked() -> None:
    attacked = [column for tables in GROUPS.values() for table in tables for column in table.c]
    assert sorted(map(str, attacked)) == sorted(map(str, COLUMNS))
    assert len(attacked) >= 84


@grouped
def test_an_altered_column_is_found_and_named(
    attacked_store: AttackedStore, tables: list[Table]
) -> None:
    with attacked_store.attack() as connection:
        attacks = []
        for column in (column for table in tables for column in table.columns):
            rows = _rows(connection, cast(Table, column.table), column)
            assert rows, f"nothing in {column} to alter"
            for row in dict.fromkeys((rows[0], rows[len(rows) // 2], rows[-1])):
                attacks.append(Attack(column, row, _altered(row._mapping[column.name])))
        _attack(attacked_store, connection, attacks)


@grouped
def test_an_emptied_column_is_found_and_named(
    attacked_store: AttackedStore, tables: list[Table]
) -> None:
    with attacked_store.attack() as connection:
        attacks = []
        for column in (column for table in tables for column in table.columns):
            least = _empty(column)
            rows = _rows(connection, cast(Table, column.table), column)
            row = [row for row in rows if row._mapping[column.name] != least][-1]
            attacks.append(Attack(column, row, least))
        _attack(attacked_store, connection, attacks)


def test_an_altered_event_of_every_kind_is_found_and_named(attacked_store: AttackedStore) -> None:
    with attacked_store.attack() as connection:
        rows = _rows(connection, event)
        assert {row.kind for row in rows} == {
            kind for (kind, _), entry_class in ENTRIES.items() if issubclass(entry_class, Event)
        }
        attacks = [
            Attack(column, row, _altered(row._mapping[column.name]))
            for column in event.c
            for row in rows
        ]
        _attack(attacked_store, connection, attacks)


@pytest.mark.parametrize("column", [payload.c.content, payload.c.salt], ids=str)
def test_an_altered_payload_of_every_kind_is_found_and_named(
    attacked_store: AttackedStore, column: Column[Any]
) -> None:
    with attacked_store.attack() as connection:
        rows = {row.kind: row for row in _rows(connection, payload)}
        assert rows.keys() == set(KINDS)
        values = [(row, _altered(row._mapping[column.name])) for row in rows.values()]
        _attack(attacked_store, connection, [Attack(column, row, value) for row, value in values])


def test_a_missing_payload_of_every_kind_is_found_and_named(attacked_store: AttackedStore) -> None:
    with attacked_store.attack() as connection:
        rows = {row.kind: row for row in _rows(connection, payload)}
        for row in rows.values():
            connection.execute(payload.delete().where(_is(payload, row)))
        where = {problem.where for problem in attacked_store.find(connection)}
    assert {_place(payload, row) for row in rows.values()} <= where


def _attack(attacked_store: AttackedStore, connection: Connection, attacks: list[Attack]) -> None:
    """Make each attack, those that do not clash together, and see that each is named."""
    batches: list[list[Attack]] = []
    for attack in attacks:
        for batch in batches:
            if not any(attack.clashes(other) for other in batch):
                batch.append(attack)
                break
        else:
            batches.append([attack])
    for batch in batches:
        attempt = connection.begin_nested()
        for attack in batch:
            attack.run(connection)
        found = attacked_store.find(connection)
        for attack in batch:
            if attack.table.name in ALONE:
                _named(found, attack.table)
            else:
                assert attack.where in {problem.where for problem in found}, attack
        attempt.rollback()


@grouped
def test_a_deleted_row_is_found_and_named(
    attacked_store: AttackedStore, tables: list[Table]
) -> None:
    with attacked_store.attack() as connection:
        rows = {table: _rows(connection, table) for table in tables}
        for part in (0, 0.5, 1):  # the first row of each table, one of the middle, the last
            attempt = connection.begin_nested()
            gone = {table: each[round(part * (len(each) - 1))] for table, each in rows.items()}
            for table, row in gone.items():
                assert connection.execute(table.delete().where(_is(table, row))).rowcount == 1
            found = attacked_store.find(connection, published=checkpoint not in gone)
            for table, row in gone.items():
                if table.name in ALONE:
                    _named(found, table)
                else:
                    assert _place(table, row) in {problem.where for problem in found}
            attempt.rollback()


@grouped
def test_an_emptied_table_is_found_and_named(
    attacked_store: AttackedStore, tables: list[Table]
) -> None:
    for some in filter(None, (tables[::2], tables[1::2])):
        with attacked_store.attack() as connection:
            for table in some:
                assert connection.execute(table.delete()).rowcount
            found = attacked_store.find(connection, published=checkpoint not in some)
        assert found
        for table in some:
            if table is not entry:  # without any, what there should be is not known
                _named(found, table)


@grouped
def test_a_row_slipped_in_is_found_and_named(
    attacked_store: AttackedStore, tables: list[Table]
) -> None:
    with attacked_store.attack() as connection:
        for table in tables:
            unique = {"outcome", "digest"} | {key.name for key in table.primary_key}
            unique |= {column.name for column in table.c if column.unique}
            row = dict(_rows(connection, table)[0]._mapping)
            row |= {name: _altered(row[name]) for name in unique & row.keys()}
            connection.execute(table.insert(), row)
        found = attacked_store.find(connection)
        for table in tables:
            _named(found, table)


# ---- entries -----------------------------------------------------------------------------------


def test_two_swapped_entries_are_found_and_named(attacked_store: AttackedStore) -> None:
    with attacked_store.attack() as connection:
        one, other = _rows(connection, entry)[40:42]
        _update(connection, entry, one, {"seq": -1})
        _update(connection, entry, other, {"seq": one.seq})
        connection.execute(entry.update().where(entry.c.seq == -1).values(seq=other.seq))
        found = attacked_store.find(connection)
    assert "checkpoint" in {problem.kind for problem in found}
    assert any("its hash is not that of entries" in problem.message for problem in found)


def test_a_missing_middle_entry_is_named(attacked_store: AttackedStore) -> None:
    with attacked_store.attack() as connection:
        connection.execute(entry.delete().where(entry.c.seq == 100))
        found = attacked_store.find(connection)
    assert any("entries 100 to 100" in problem.message for problem in found)


def test_a_tail_cut_off_is_named(attacked_store: AttackedStore) -> None:
    with attacked_store.attack() as connection:
        connection.execute(
            entry.delete().where(entry.c.seq >= attacked_store.note.checkpoint.size - 3)
        )
        found = attacked_store.find(connection)
    assert any("ledger_head.size" in problem.where for problem in found)
    assert any("truncated" in problem.message for problem in found)


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
    assert "rolled back" in found[0].message
    with Store.open(old, create=False) as forked:
        forked.record_started([start() for _ in range(9)], policy_document="")
        forked.sign(lambda head, _: _sign(head, key))
    assert any(
        problem.where == "the published checkpoint" and "differ" in problem.message
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
        found = store.verify(projections=True, payloads=True, key=key.public, trusted=held)
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
    return "" if isinstance(column.type, Text) else -7


def _named(found: list[Problem], table: Table) -> None:
    """See that a problem is of the table."""
    if table in ROWS_OF_ENTRIES:
        said = [f"{problem.where} " for problem in found]
        assert any(where.startswith((f"{table.name} ", f"{table.name}.")) for where in said), said
        return
    words = ("entry", "entries") if table is entry else (table.name,)
    said = [f"{problem.kind} {problem.where} {problem.message}" for problem in found]
    assert any(word in sentence for sentence in said for word in words), said
