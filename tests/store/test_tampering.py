"""Whoever alters the database by hand is found out, column by column."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from muniment.errors import StoreError
from muniment.ids import new_id
from muniment.ledger.canonical import canonical
from muniment.ledger.tree import Frontier, leaf_hash
from muniment.store import Problem, Store
from muniment.store.tables import metadata
from muniment.types import Failure, Generation
from support.databases import only_sqlite

pytestmark = only_sqlite

NO_EVIDENCE = {"lease", "pending"}  # who is at work now; not evidence
COLUMNS = [
    (table.name, column.name)
    for table in metadata.sorted_tables
    if table.name not in NO_EVIDENCE
    for column in table.columns
]
Tamper = Callable[..., list[Problem]]


@pytest.fixture
def filled(
    url: str,
    tmp_path_factory: pytest.TempPathFactory,
    start: Any,
    finish: Any,
    rich: tuple[Generation, Generation],
) -> Iterator[Store]:
    """A store of more than 256 entries, so that its tree has inner nodes."""
    whole = tmp_path_factory.getbasetemp() / "filled.db"
    if not whole.exists():
        with Store.open(f"sqlite:///{whole}.new", create=True) as store:
            run = new_id()
            started = [start(f"prompt {n}", run_id=run, tags=("x",)) for n in range(130)]
            store.record_started(started, policy_document="rules: []")
            store.record_outcomes([finish(g) for g in started[:-2]])
            failed = finish(started[-2], status="failed", failure=Failure("refused", "too long"))
            store.record_outcomes([failed])
        Path(f"{whole}.new").rename(whole)
    path = Path(url.removeprefix("sqlite:///"))
    path.parent.mkdir()
    shutil.copy(whole, path)
    with Store.open(url, create=False) as store:
        store.record_started([rich[0]], policy_document="rules: []")
        store.record_outcomes([rich[1]], declared_categories={"words": frozenset({"violence"})})
        assert store.verify(projections=True, payloads=True).ok
        yield store


@pytest.fixture
def tamper(filled: Store) -> Tamper:
    """Run SQL as someone who has the file, and return what verifying then finds."""

    def run(*statements: str | tuple[str, tuple[Any, ...]]) -> list[Problem]:
        database = sqlite3.connect(filled.path)
        database.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            sql, values = statement if isinstance(statement, tuple) else (statement, ())
            assert database.execute(sql, values).rowcount != 0, sql
        database.commit()
        database.close()
        verification = filled.verify(projections=True, payloads=True)
        assert verification.ok == (not verification.problems)
        return verification.problems

    return run


def keys(table: str) -> str:
    """The columns of a table's primary key."""
    return ", ".join(f'"{column.name}"' for column in metadata.tables[table].primary_key)


def marks(values: Any) -> str:
    return ", ".join("?" * len(values))


def altered(value: Any) -> Any:
    if value is None:
        return 1
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    if isinstance(value, str):
        return ("x" if value[:1] != "x" else "y") + value[1:]
    return value + 1000


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=map(".".join, COLUMNS))
def test_an_altered_column_is_found(filled: Store, tamper: Tamper, table: str, column: str) -> None:
    database = sqlite3.connect(filled.path)
    rows = database.execute(f'SELECT {keys(table)}, "{column}" FROM {table}').fetchall()
    database.close()
    assert rows, f"nothing in {table} to alter"
    *key, value = next((row for row in rows if row[-1] is not None), rows[0])
    problems = tamper(
        (
            f'UPDATE {table} SET "{column}" = ? WHERE ({keys(table)}) = ({marks(key)})',
            (altered(value), *key),
        )
    )
    assert problems
    assert any(table in problem.where or problem.kind == table for problem in problems) or (
        table == "entry" and any(problem.kind == "tree" for problem in problems)
    ), problems


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=map(".".join, COLUMNS))
def test_an_emptied_column_is_found(filled: Store, tamper: Tamper, table: str, column: str) -> None:
    nullable = metadata.tables[table].c[column].nullable
    database = sqlite3.connect(filled.path)
    key = database.execute(
        f'SELECT {keys(table)} FROM {table} WHERE "{column}" IS NOT NULL AND "{column}" <> '
        " "
        f"ORDER BY ({keys(table).split(', ')[0]}) DESC"
    ).fetchone()
    database.close()
    new = None if nullable else b"" if "BLOB" in str(metadata.tables[table].c[column].type) else ""
    if metadata.tables[table].c[column].primary_key and column in (
        *("seq", "generation", "id", "entry", "level", "index", "position"),
    ):
        new = -7
    assert tamper(
        (
            f'UPDATE {table} SET "{column}" = ? WHERE ({keys(table)}) = ({marks(key)})',
            (new, *key),
        )
    )


@pytest.mark.parametrize("table", sorted({table for table, _ in COLUMNS}))
def test_a_deleted_row_is_found(tamper: Tamper, table: str) -> None:
    assert tamper(
        f"DELETE FROM {table} WHERE ({keys(table)}) = "
        f"(SELECT {keys(table)} FROM {table} ORDER BY {keys(table).split(', ')[0]} DESC LIMIT 1)"
    )


@pytest.mark.parametrize("table", sorted({table for table, _ in COLUMNS}))
def test_a_doubled_row_is_found(filled: Store, tamper: Tamper, table: str) -> None:
    database = sqlite3.connect(filled.path)
    database.row_factory = sqlite3.Row
    row = dict(database.execute(f"SELECT * FROM {table} LIMIT 1").fetchone())
    database.close()
    # A copy must differ where the table allows no two alike.
    unique = {"seq", "id", "outcome", "position", "index", "digest"} & row.keys()
    for key in unique:
        row[key] = altered(row[key])
    names = ", ".join(f'"{name}"' for name in row)
    assert tamper((f"INSERT INTO {table} ({names}) VALUES ({marks(row)})", tuple(row.values())))


def test_a_blob_turned_into_text_is_found(tamper: Tamper) -> None:
    problems = tamper("UPDATE entry SET canonical_bytes = CAST(canonical_bytes AS TEXT)")
    assert {problem.kind for problem in problems} >= {"entry"}


def test_two_swapped_entries_are_found(tamper: Tamper) -> None:
    problems = tamper(
        "UPDATE entry SET seq = -1 WHERE seq = 4",
        "UPDATE entry SET seq = 4 WHERE seq = 5",
        "UPDATE entry SET seq = 5 WHERE seq = -1",
    )
    assert any(problem.where == "ledger_head.frontier" for problem in problems)


def test_a_missing_middle_entry_is_named(tamper: Tamper) -> None:
    problems = tamper("DELETE FROM entry WHERE seq = 5")
    assert any("entries 5 to 5" in problem.message for problem in problems)


def test_a_cut_tail_is_found(tamper: Tamper) -> None:
    problems = tamper("DELETE FROM entry WHERE seq > 8")
    assert any(problem.where == "ledger_head.size" for problem in problems)


def test_an_entry_rewritten_with_its_leaf_hash_is_found(filled: Store, tamper: Tamper) -> None:
    database = sqlite3.connect(filled.path)
    seq, data = database.execute(
        "SELECT seq, canonical_bytes FROM entry WHERE kind = 'started' LIMIT 1"
    ).fetchone()
    database.close()
    forged = data.replace(b'"seed":"7"', b'"seed":"1"')
    assert forged != data
    problems = tamper(
        (
            "UPDATE entry SET canonical_bytes = ?, leaf_hash = ? WHERE seq = ?",
            (forged, leaf_hash(forged), seq),
        )
    )
    assert {problem.where for problem in problems} >= {"ledger_head.frontier"}
    assert any("generation.seed" in problem.where for problem in problems)


def test_a_forger_who_rewrites_the_tree_too_still_meets_the_schema(
    filled: Store, tamper: Tamper
) -> None:
    forged = canonical({"kind": "started", "version": 1, "prompt": "hello"})
    database = sqlite3.connect(filled.path)
    leaves = [leaf for (leaf,) in database.execute("SELECT leaf_hash FROM entry ORDER BY seq")]
    database.close()
    frontier = Frontier()
    frontier.extend([*leaves, leaf_hash(forged)])
    problems = tamper(
        (
            "INSERT INTO entry VALUES (?, 'started', 1, ?, ?)",
            (len(leaves), forged, leaf_hash(forged)),
        ),
        ("UPDATE ledger_head SET size = ?, frontier = ?", (frontier.size, bytes(frontier))),
    )
    assert [problem.kind for problem in problems] == ["entry"]
    assert "started entry" in problems[0].message


def test_an_altered_prompt_is_named(filled: Store, tamper: Tamper) -> None:
    problems = tamper("UPDATE payload SET content = x'00' WHERE kind = 'prompt'")
    assert {problem.kind for problem in problems} == {"payload"}
    assert all(problem.where.startswith("prompt 0 of ") for problem in problems)


def test_two_swapped_outputs_are_found(tamper: Tamper) -> None:
    problems = tamper(
        "UPDATE payload SET position = 9 WHERE kind = 'output' AND position = 1",
        "UPDATE payload SET position = 1 WHERE kind = 'output' AND position = 0 AND entry IN "
        "(SELECT entry FROM payload WHERE kind = 'output' AND position = 9)",
        "UPDATE payload SET position = 0 WHERE kind = 'output' AND position = 9",
    )
    assert len({p.where for p in problems if p.where.startswith("output")}) == 2


def test_an_outcome_that_its_row_denies_is_found(tamper: Tamper) -> None:
    problems = tamper(
        "UPDATE generation SET outcome = NULL, status = 'started', finished_at = NULL, "
        "decision = NULL, failure = NULL, prompt_tokens = NULL, output_tokens = NULL "
        "WHERE outcome IS NOT NULL"
    )
    assert any(problem.where.startswith("generation.outcome") for problem in problems)


def test_what_is_shown_does_not_come_from_the_projections(
    filled: Store, tamper: Tamper, rich: tuple[Generation, Generation]
) -> None:
    tamper("UPDATE generation SET seed = '1', generator = 'other', decision = 'allow'")
    assert filled.generation(rich[1].id) == rich[1]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM entry WHERE kind = 'outcome'",
        "UPDATE entry SET canonical_bytes = x'7b' WHERE kind = 'started'",
        "UPDATE entry SET canonical_bytes = '{\"kind\":\"started\"}' WHERE kind = 'started'",
        "UPDATE payload SET content = x'ff' WHERE kind IN ('prompt', 'request')",
    ],
)
def test_reading_what_does_not_hold_together_says_so(
    filled: Store, tamper: Tamper, statement: str
) -> None:
    assert tamper(statement)
    with pytest.raises(StoreError, match="run `muniment audit verify"):
        list(filled.generations())


def test_a_list_of_problems_ends(store: Store, start: Any) -> None:
    store.record_started([start() for _ in range(1200)], policy_document="")
    database = sqlite3.connect(store.path)
    database.execute("UPDATE payload SET content = x'00'")
    database.commit()
    database.close()
    verification = store.verify(projections=False, payloads=True)
    assert not verification.ok
    assert len(verification.problems) == 1001
    assert "not listed" in verification.problems[-1].message


def test_progress_is_told(filled: Store) -> None:
    told: list[tuple[str, int, int]] = []
    total = filled.verify(progress=lambda what, done, of: told.append((what, done, of))).entries
    assert told == [("entries", total, total)]
