"""Alterations of the database by hand are found (column by column: `test_attacks.py`)."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from muniment.errors import StoreError
from muniment.ids import new_id
from muniment.ledger.canonical import canonical
from muniment.ledger.payloads import commitment
from muniment.ledger.tree import Frontier, leaf_hash
from muniment.store import Problem, Query, Store
from muniment.types.generations import Failure, Generation
from muniment.types.policies import policy_digest
from support.databases import only_sqlite

pytestmark = only_sqlite

Statement = str | tuple[str, tuple[Any, ...]]
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

    def run(*statements: Statement) -> list[Problem]:
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


def test_a_blob_turned_into_text_is_found(tamper: Tamper) -> None:
    problems = tamper("UPDATE entry SET canonical_bytes = CAST(canonical_bytes AS TEXT)")
    assert {problem.kind for problem in problems} >= {"entry"}


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
    database = sqlite3.connect(filled.path)
    [started] = database.execute(
        "SELECT canonical_bytes FROM entry WHERE kind = 'started' LIMIT 1"
    ).fetchone()
    forged = canonical(json.loads(started) | {"prompt": "hello"})
    leaves = [leaf for (leaf,) in database.execute("SELECT leaf_hash FROM entry ORDER BY seq")]
    database.close()
    frontier = Frontier()
    frontier.extend([*leaves, leaf_hash(forged)])
    problems = tamper(
        (
            "INSERT INTO entry VALUES (?, 'started', 2, ?, ?)",
            (len(leaves), forged, leaf_hash(forged)),
        ),
        ("UPDATE ledger_head SET size = ?, frontier = ?", (frontier.size, bytes(frontier))),
    )
    [problem] = problems
    assert (problem.kind, problem.where) == ("entry", f"entry {len(leaves)}")
    assert "prompt" in problem.message


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"context": 1}, "refers to entry 1, which is not an earlier input entry"),
        ({"context": 9999}, "refers to entry 9999, which is not an earlier input entry"),
        ({"a name": 1}, "field inputs"),
        ({}, "not in canonical form"),
    ],
)
def test_a_forged_request_with_the_input_of_another_kind_is_named(
    filled: Store, tamper: Tamper, inputs: dict[str, int], message: str
) -> None:
    database = sqlite3.connect(filled.path)
    [seq, started] = database.execute(
        "SELECT seq, canonical_bytes FROM entry WHERE kind = 'started' ORDER BY seq LIMIT 1"
    ).fetchone()
    leaves = [leaf for (leaf,) in database.execute("SELECT leaf_hash FROM entry ORDER BY seq")]
    database.close()
    forged = canonical(json.loads(started) | {"inputs": inputs})
    leaves[seq] = leaf_hash(forged)
    problems = tamper(
        (
            "UPDATE entry SET canonical_bytes = ?, leaf_hash = ? WHERE seq = ?",
            (forged, leaves[seq], seq),
        ),
    )
    assert any(
        problem.where == f"entry {seq}" and message in problem.message for problem in problems
    )
    with pytest.raises(StoreError, match="run `muniment audit verify"):
        list(filled.generations())


def test_a_generation_whose_input_entry_is_missing_is_one_sentence(
    filled: Store, tamper: Tamper, rich: tuple[Generation, Generation]
) -> None:
    problems = tamper("DELETE FROM entry WHERE kind = 'input'")
    assert {problem.kind for problem in problems} >= {"entry", "payload"}
    with pytest.raises(StoreError, match="run `muniment audit verify") as caught:
        filled.generation(rich[0].id)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_named_where_they_stand(tamper: Tamper) -> None:
    problems = tamper(
        "UPDATE payload SET content = CAST(content AS TEXT) WHERE kind = 'output'",
        "UPDATE run SET id = CAST(x'ff' || id AS TEXT) WHERE seq > 100",
        "UPDATE generation_tag SET tag = CAST(x'ff' AS TEXT) WHERE position = 0",
        "UPDATE entry SET canonical_bytes = CAST(x'ff' AS TEXT) WHERE seq = 9",
    )
    where = {problem.where.partition(" of entry")[0] for problem in problems}
    assert where >= {"output 1", "run", "generation_tag.tag", "entry 9"}
    assert any(r"\udcff" in problem.message for problem in problems if problem.where == "run")


def test_an_altered_prompt_is_named(filled: Store, tamper: Tamper) -> None:
    problems = tamper("UPDATE payload SET content = x'00' WHERE kind = 'prompt'")
    assert {problem.kind for problem in problems} == {"payload"}
    assert all(problem.where.startswith("prompt 0 of ") for problem in problems)
    named = {problem.message.rpartition("(generation ")[2].rstrip(")") for problem in problems}
    assert named <= {item.id for item in filled.generations()}


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
    expected = replace(rich[1], policy_digest=policy_digest("rules: []"))
    assert filled.generation(rich[1].id) == expected


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM entry WHERE kind = 'outcome'",
        "UPDATE entry SET canonical_bytes = x'7b' WHERE kind = 'started'",
        "UPDATE entry SET canonical_bytes = '{\"kind\":\"started\"}' WHERE kind = 'started'",
        (
            "UPDATE entry SET canonical_bytes = CAST(replace(canonical_bytes, ?, ?) AS BLOB)",
            ('"times":2', f'"times":{"1" * 400}'),
        ),
    ],
)
def test_reading_a_corrupt_store_is_one_sentence(
    filled: Store, tamper: Tamper, statement: Statement
) -> None:
    assert tamper(statement)
    assert not filled.verify(search=True).ok
    with pytest.raises(StoreError, match="run `muniment audit verify"):
        list(filled.generations())
    with pytest.raises(StoreError, match="run `muniment audit verify"):
        filled.export_to(io.BytesIO(), "jsonl")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_head SET size = 10",
        "UPDATE ledger_head SET frontier = x'00'",
        "DELETE FROM ledger_head",
    ],
)
def test_recording_into_a_store_with_a_damaged_head_is_one_sentence(
    filled: Store, tamper: Tamper, statement: Statement, start: Any
) -> None:
    assert tamper(statement)
    with pytest.raises(StoreError, match="damaged"):
        filled.record_started([start("more")], policy_document="")
    with pytest.raises(StoreError, match="damaged"):
        filled.erasures.erase(Query(), "keeper")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE generation SET outcome = (SELECT max(seq) FROM entry WHERE kind = 'outcome')",
        "UPDATE generation SET outcome = seq WHERE outcome IS NOT NULL",
        "UPDATE generation SET id = substr(id, 1, 25) || 'Z'",
    ],
)
def test_a_row_that_names_entries_of_another_generation_is_not_shown(
    filled: Store, tamper: Tamper, statement: Statement
) -> None:
    assert tamper(statement)
    with pytest.raises(StoreError, match="run `muniment audit verify"):
        list(filled.generations())


@pytest.mark.parametrize(
    ("payload_kind", "content"),
    [
        ("prompt", b"\xff"),
        ("request", b"\xff"),
        ("detail", b"[1]"),
        ("request", b"[" * 100_000),
        ("actor", b"\xff"),
        ("policy", b"{"),
        ("output", b"\xff"),
    ],
    ids=lambda value: repr(value[:9]),
)
def test_unreadable_payloads_are_reported_as_altered(
    filled: Store, tamper: Tamper, payload_kind: str, content: bytes
) -> None:
    assert tamper(("UPDATE payload SET content = ? WHERE kind = ?", (content, payload_kind)))
    if payload_kind in ("prompt", "request", "output", "detail"):
        assert not filled.verify(search=True).ok
    altered = [generation.altered for generation in filled.generations()]
    assert (payload_kind,) in altered
    assert set(altered) <= {(payload_kind,), ()}
    output = io.BytesIO()
    assert filled.export_to(output, "jsonl") == len(altered)
    [newest, *_] = output.getvalue().splitlines()
    assert json.loads(newest)["altered"] == [payload_kind]


@pytest.mark.parametrize("entry", ["seq", "outcome"])
def test_an_entry_altered_together_with_its_payload_is_reported(
    filled: Store, tamper: Tamper, rich: tuple[Generation, Generation], entry: str
) -> None:
    database = sqlite3.connect(filled.path)
    number, data = database.execute(
        "SELECT entry.seq, canonical_bytes FROM entry JOIN generation g "
        f"ON entry.seq = g.{entry} WHERE g.id = ?",
        (rich[1].id,),
    ).fetchone()
    kind = "prompt" if entry == "seq" else "output"
    [salt] = database.execute(
        "SELECT salt FROM payload WHERE entry = ? AND kind = ? AND position = 0", (number, kind)
    ).fetchone()
    database.close()
    forged = json.loads(data)
    fact = forged if kind == "prompt" else forged["outputs"][0]
    fact["prompt" if kind == "prompt" else "content"] = commitment(kind, salt, b"forged").hex()
    tamper(
        ("UPDATE entry SET canonical_bytes = ? WHERE seq = ?", (canonical(forged), number)),
        (
            "UPDATE payload SET content = ? WHERE entry = ? AND kind = ? AND position = 0",
            (b"forged", number, kind),
        ),
    )
    shown = filled.generation(rich[1].id)
    assert {"entry", "prompt", "output"} <= set(shown.altered)
    assert (shown.prompt, shown.text.strip()) == ("", "")
    [listed] = [item for item in filled.generations() if item.id == rich[1].id]
    assert listed.altered == shown.altered
    exported = io.BytesIO()
    filled.export_to(exported, "jsonl")
    assert b"forged" not in exported.getvalue()
    assert b'"altered":["' in exported.getvalue()


def test_a_damaged_search_index_names_the_command_that_rebuilds_it(
    store: Store, start: Any, finish: Any
) -> None:
    first, second = start("one"), start("two")
    store.record_started([first, second], policy_document="")
    store.record_outcomes([finish(first)])
    database = sqlite3.connect(store.path)
    database.execute("UPDATE search_data SET block = zeroblob(10)")
    database.commit()
    database.close()
    with Store.open(store.url, create=False) as reopened:
        with pytest.raises(StoreError, match="db rebuild"):
            reopened.record_outcomes([finish(second)])
        reopened.rebuild()
        reopened.record_outcomes([finish(second)])
        assert reopened.verify(search=True).ok


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
