"""The SQL views: one interface on both databases, as docs/reference/sql.md describes it."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from datasette.app import Datasette
from sqlalchemy import make_url

from muniment.store import Query, Store, plan_restore, restore
from muniment.store.backup import BackupError, backend_of
from muniment.store.database import catalog
from muniment.store.database.migrations import configuration
from muniment.store.database.read_only import SqlError
from muniment.store.database.tables import VIEWS
from muniment.store.retention.protection import Rule
from muniment.types.generations import Generation
from muniment.types.outputs import Output, Text
from muniment.types.plugins import PluginRef
from muniment.types.scores import Score
from muniment.types.verdicts import Verdict
from support.databases import by_hand, change, only_postgresql, only_sqlite

pytestmark = pytest.mark.dialect

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "sql.md"
Make = Callable[..., Any]
View = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def view(store: Store) -> View:
    """The rows of a view in the order of `seq` and two other columns."""

    def rows(name: str) -> list[dict[str, Any]]:
        with store.select(f"SELECT * FROM {name} ORDER BY seq, 3, 5") as selected:
            columns = selected.columns
            return [dict(zip(columns, row, strict=True)) for row in selected.rows]

    return rows


@pytest.fixture
def record(store: Store, start: Make, finish: Make) -> Make:
    """Record a generation with some outputs, or other fields of its outcome."""

    def make(prompt: str = "a prompt", started: Any = None, **fields: Any) -> Generation:
        generation = start(prompt, **(started or {}))
        store.record_started([generation], policy_document="rules: []")
        ended: Generation = finish(generation, **fields)
        store.record_outcomes([ended])
        return ended

    return make


def test_columns_are_those_that_the_page_describes(store: Store) -> None:
    page = PAGE.read_text(encoding="utf-8")
    described = {
        section.partition("`")[0]: re.findall(
            r"^\| `(\w+)` \| (?:text|integer|real) \|", section, re.M
        )
        for section in page.split("\n## `")[1:]
    }
    assert list(described) == [*VIEWS] + [name for name in described if not name.startswith("v_")]
    for name, columns in described.items():
        if name.startswith("v_"):
            with store.select(f"SELECT * FROM {name}") as selected:
                assert list(selected.columns) == columns
                assert columns[0] == "seq"


# ---- v_generation --------------------------------------------------------------------------------


def test_a_generation_is_one_row(store: Store, rich: Any, view: View) -> None:
    started, ended = rich
    store.record_started([started], policy_document="rules: []")
    store.record_outcomes([ended])
    (row,) = view("v_generation")
    assert row.pop("seq") > 0
    assert row == {
        "id": ended.id,
        "run": ended.run_id,
        "actor": "anna",
        "status": "blocked",
        "generator": "words",
        "model_name": "tiny",
        "model_digest": ended.model.digest,
        "prompt": ended.prompt,
        "output": "好的",
        "seed": str(2**64 - 1),
        "decision": "block",
        "started_at": "2026-03-01T12:00:00.000Z",
        "finished_at": "2026-03-01T12:00:02.000Z",
        "prompt_tokens": 3,
        "output_tokens": 5,
        "tags": '["news","卫星"]',
        "erased": 0,
    }


def test_a_generation_without_an_outcome_has_nulls(store: Store, start: Make, view: View) -> None:
    store.record_started([start()], policy_document="")
    (row,) = view("v_generation")
    assert row["status"] == "started"
    assert row["tags"] == "[]"
    nulls = {name for name, value in row.items() if value is None}
    assert nulls == {
        *("model_name", "model_digest", "output", "decision", "finished_at"),
        *("prompt_tokens", "output_tokens"),
    }


def test_text_outputs_are_joined_in_order(record: Make, view: View, kind: str) -> None:
    record(
        outputs=(
            Output("image/png", b"\x89PNG"),
            *(Text(f"{number}") for number in range(12)),
            Output("text/markdown; charset=utf-8", "# 卫".encode()),
            Output("application/json", b'{"a": 1}'),
            Output("application/ld+json; q=1", b"[]"),
            Output("application/jsonx", b"no"),
        )
    )
    record(outputs=(Output("image/png", b"\xff"),))
    record(outputs=(Text("a\0b"), Text("")))
    record(outputs=(Output("application/json", b"\xff"), Text("after")))
    numbers = "\n\n".join(map(str, range(12)))
    assert [row["output"] for row in view("v_generation")] == [
        f'{numbers}\n\n# 卫\n\n{{"a": 1}}\n\n[]',
        None,
        "a\0b\n\n" if kind == "sqlite" else "ab\n\n",
        "\\xff\n\nafter" if kind == "sqlite" else "after",
    ]


@only_postgresql
def test_bytes_that_are_not_utf8_are_null(
    store: Store, start: Make, finish: Make, view: View
) -> None:
    chosen = random.Random(3)
    contents = [bytes([a, b]) for a in range(0, 256, 15) for b in (0, 1, 10, 128, 160, 255)]
    contents += [bytes(chosen.choices([0, 1, 16, 97, 229, 141, 171], k=9)) for _ in range(200)]
    contents += [
        bytes([a, b, 0x80, 0x80]) for a in range(0xE0, 0x100) for b in range(0x70, 0xD0, 8)
    ]
    contents += [
        f"{chr(n)}\0{chr(n)}".encode() for n in (0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000)
    ]
    contents += [
        "0\x00\x10卫\x00\U0010ffff".encode(),
        b"\x00\x10\x01\x00",
        b"",
        b"\x00",
        b"a" * 100_000,
    ]
    started = [start() for _ in contents]
    store.record_started(started, policy_document="")
    store.record_outcomes(
        [
            finish(g, outputs=(Output("application/json", content),))
            for g, content in zip(started, contents, strict=True)
        ]
    )
    for row, content in zip(view("v_generation"), contents, strict=True):
        try:
            expected = content.replace(b"\0", b"").decode()
        except UnicodeDecodeError:
            expected = None
        assert row["output"] == expected, content


def test_seeds_are_exact(store: Store, start: Make, view: View) -> None:
    chosen = random.Random(5)
    seeds = [0, 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, 10**19, 10**18, 9223372036 * 10**9]
    seeds += [chosen.getrandbits(64) for _ in range(500)]
    seeds += [2**63 + sign * 10**power for power in range(19) for sign in (1, -1)]
    store.record_started([start(seed=seed) for seed in seeds], policy_document="")
    assert [row["seed"] for row in view("v_generation")] == [str(seed) for seed in seeds]


def test_times_are_exact(store: Store, start: Make, view: View) -> None:
    chosen = random.Random(5)
    times = [
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=chosen.randrange(2**42))
        for _ in range(500)
    ]
    store.record_started([start(started_at=time) for time in times], policy_document="")
    assert [row["started_at"] for row in view("v_generation")] == [
        f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z" for time in times
    ]


def test_erased_texts_are_null(store: Store, record: Make, view: View) -> None:
    tagged = record("secret", {"tags": ("a",), "model": None}, outputs=(Text("secret"),))
    plain = record("secret", {"parameters": {}})
    record("kept")
    store.erasures.erase(Query(ids=[tagged.id, plain.id]), "auditor")
    first, second, third = view("v_generation")
    assert (first["prompt"], first["output"], first["tags"], first["erased"]) == (
        *(None, None, None),
        1,
    )
    assert (second["prompt"], second["output"], second["tags"], second["erased"]) == (
        *(None, None, "[]"),
        1,
    )
    assert (third["prompt"], third["erased"]) == ("kept", 0)
    assert first["actor"] == "anna"


def test_an_erased_actor_is_null(store: Store, record: Make, view: View) -> None:
    record()
    store.erasures.erase(Query(actor="anna"), "auditor")
    (row,) = view("v_generation")
    assert row["actor"] is None


# ---- v_verdict and v_score -----------------------------------------------------------------------


def test_verdicts_are_rows(store: Store, rich: Any, view: View) -> None:
    started, ended = rich
    store.record_started([started], policy_document="rules: []")
    store.record_outcomes([ended], declared_categories={"words": frozenset({"violence"})})
    (generation,) = view("v_generation")
    rows = view("v_verdict")
    assert [json.loads(row.pop("categories")) for row in rows] == [
        {"violence": 0.5, "my own": 1.0},
        {},
    ]
    assert {(row.pop("seq"), row.pop("generation")) for row in rows} == {
        (generation["seq"], ended.id)
    }
    assert [row.pop("stage") for row in rows] == ["input", "item"]
    assert [tuple(row.values()) for row in rows] == [
        (0, None, "words", "1", "flag", "flag", 0, None),
        (1, None, "slow", "2", "block", "block", 1, 2),
    ]
    store.erasures.erase(Query(), "auditor")
    first, second = view("v_verdict")
    assert json.loads(first["categories"]) == {"violence": 0.5}
    assert (first["filter"], second["filter"]) == ("words", None)


@pytest.mark.parametrize("number", [0.1, 0.30000000000000004, 1e-7, 1.0, 0.0])
def test_declared_categories_are_exact(
    store: Store, start: Make, finish: Make, view: View, number: float
) -> None:
    verdict = Verdict("flag", {"rude": number}, (), "words", "1", "output", "flag", "default", 1.0)
    generation = start()
    store.record_started([generation], policy_document="")
    declared = {"words": frozenset({"rude"})}
    store.record_outcomes([finish(generation, verdicts=(verdict,))], declared_categories=declared)
    (row,) = view("v_verdict")
    assert json.loads(row["categories"]) == {"rude": number}


def test_details_with_a_null_character_are_read(
    store: Store, start: Make, finish: Make, view: View
) -> None:
    verdict = Verdict(
        "block", {"own": 0.5}, (), "words", "1", "output", "block", "default", 1.0, "\\\0\0 \\u0000"
    )
    generation = start()
    store.record_started([generation], policy_document="")
    store.record_outcomes([finish(generation, verdicts=(verdict,))])
    (row,) = view("v_verdict")
    assert json.loads(row["categories"]) == {"own": 0.5}


def test_scores_are_rows(record: Make, view: View) -> None:
    ended = record(
        scores=(
            Score("statistics", "1", "length", 0.1, "characters", None),
            Score("quality", "2", "perplexity", None, "", False, "no trace"),
            Score("quality", "2", "fluency", 1e300, "", True),
        )
    )
    rows = view("v_score")
    (generation,) = view("v_generation")
    assert {(row.pop("seq"), row.pop("generation")) for row in rows} == {
        (generation["seq"], ended.id)
    }
    assert {(row.pop("at"), row.pop("newest")) for row in rows} == {(generation["finished_at"], 1)}
    assert sorted(tuple(row.values()) for row in rows) == [
        ("quality", "2", "fluency", 1e300, "", 1, 0),
        ("quality", "2", "perplexity", None, "", 0, 1),
        ("statistics", "1", "length", 0.1, "characters", None, 0),
    ]


# ---- v_event -------------------------------------------------------------------------------------


def test_events_are_rows(store: Store, record: Make, view: View) -> None:
    first, second = record(), record()
    store.events.add_feedback(first.id, "anna", "up", "good")
    store.events.add_review(second.id, "bert", "overturn", "too strict")
    hold, _ = store.holds.add(Query(ids=[first.id, second.id]), "carol", "a case")
    store.holds.release(hold, "carol")
    store.retention.set_rule(Rule(most_days=9), "dora")
    plugin = PluginRef("muniment-words", "0.1", "tree1-sha256:" + "1" * 64)
    store.events.add_installation("anna", "installed", plugin, datetime.now(UTC), None)
    store.events.add_model("anna", "added", "tree1-sha256:" + "2" * 64, "tiny", "/tiny")
    store.erasures.erase(Query(ids=[first.id]), "anna")
    rows = view("v_event")
    assert [tuple(row.values())[2:] for row in rows] == [
        ("anna", "feedback", first.id, None),
        ("bert", "review", second.id, None),
        *(("carol", "hold", id, hold) for id in sorted([first.id, second.id])),
        ("carol", "release", None, hold),
        ("dora", "retention", None, None),
        ("anna", "installation", None, "muniment-words"),
        ("anna", "model", None, "tree1-sha256:" + "2" * 64),
        ("anna", "erasure", None, None),
    ]
    assert [row["seq"] for row in rows] == sorted(row["seq"] for row in rows)
    today = f"{datetime.now(UTC):%Y-%m-%dT}"
    assert all(re.fullmatch(today + r"\d\d:\d\d:\d\d\.\d{3}Z", row["at"]) for row in rows)
    store.erasures.erase(Query(actor="anna"), "eve")
    names = {row["kind"]: row["actor"] for row in view("v_event")}
    assert (names["feedback"], names["review"]) == (None, "bert")


# ---- tools ---------------------------------------------------------------------------------------


@only_sqlite
def test_datasette_reads_the_views(store: Store, record: Make) -> None:
    made = record("最近我国成功发射了新的卫星", {"tags": ("news",)})
    record("another")

    async def get(path: str) -> Any:
        response = await datasette.client.get(path)
        assert response.status_code == 200, response.text
        return response

    async def read() -> None:
        home = await get("/muniment.json")
        assert set(VIEWS) == {view["name"] for view in home.json()["views"]}
        for name in VIEWS:
            assert name in (await get(f"/muniment/{name}")).text
        rows = (await get("/muniment/v_generation.json?_shape=array&_sort_desc=seq")).json()
        assert [row["prompt"] for row in rows] == ["another", made.prompt]
        filtered = await get(f"/muniment/v_generation.json?_shape=array&id={made.id}")
        assert json.loads(filtered.json()[0]["tags"]) == ["news"]
        facet = await get("/muniment/v_verdict.json?_facet=filter&_shape=objects")
        (result,) = facet.json()["facet_results"]["filter"]["results"]
        assert (result["value"], result["count"]) == ("words", 2)
        assert (await get("/muniment/v_score.csv")).text.startswith("seq,generation,evaluator")

    datasette = Datasette([str(store.path)])
    asyncio.run(read())


@only_postgresql
def test_the_role_of_the_page_reads_only_the_views(store: Store, record: Make, url: str) -> None:
    record()
    (block,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    role = "auditor_of_" + str(make_url(url).database)
    for statement in block.replace("auditor", role).replace("…", "word").split(";\n"):
        change(url, statement) if statement.strip() else None
    try:
        own = make_url(url).set(username=role, password="word").render_as_string(False)
        with Store.open(own, create=False, read_only=True) as reader:
            for name in VIEWS:
                with reader.select(f"SELECT count(*) FROM {name}") as selected:
                    list(selected.rows)
            for table in ("payload", "entry", "generation"):
                with pytest.raises(SqlError), reader.select(f"SELECT * FROM {table}"):
                    pass
            with by_hand(url) as other:
                pid = other.exec_driver_sql("SELECT pg_backend_pid()").scalar()
                for call in (f"pg_terminate_backend({pid})", "pg_read_file('/etc/passwd')"):
                    with pytest.raises(SqlError), reader.select(f"SELECT {call}"):
                        pass
    finally:
        change(url, f"DROP OWNED BY {role}")
        change(url, f"DROP ROLE {role}")


# ---- backups -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("programs")
def test_restoring_a_backup_restores_the_views(
    store: Store, record: Make, view: View, url: str, tmp_path: Path
) -> None:
    made = record("first")
    backup = store.backup(tmp_path / "copy")
    record("second")
    restore(url, plan_restore(url, backup.file))
    with (
        Store.open(url, create=False) as restored,
        restored.select("SELECT id FROM v_generation") as selected,
    ):
        assert [tuple(row) for row in selected.rows] == [(made.id,)]


@pytest.mark.usefixtures("programs")
def test_a_backup_of_an_older_schema_can_be_restored(
    store: Store, record: Make, url: str, tmp_path: Path
) -> None:
    made = record("first")
    config = configuration(catalog.migrations())
    with store._database.upgrading() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "1001")
    backup = store.backup(tmp_path / "copy")
    store.upgrade()
    restore(url, plan_restore(url, backup.file))
    with Store.open(url, create=False, outdated=True) as restored:
        assert not restored.status().current
        restored.upgrade()
        with restored.select("SELECT id FROM v_generation") as selected:
            assert [tuple(row) for row in selected.rows] == [(made.id,)]
        assert restored.verify(projections=True, payloads=True).problems == []


@only_postgresql
@pytest.mark.usefixtures("programs")
def test_a_restore_that_fails_changes_nothing(
    store: Store, record: Make, view: View, tmp_path: Path
) -> None:
    record(outputs=(Output("application/octet-stream", random.Random(1).randbytes(2_000_000)),))
    backup = store.backup(tmp_path / "copy")
    record()
    names = VIEWS
    before = [view(name) for name in names]
    archive = backup.file.read_bytes()
    for content in (b"no archive", archive[: len(archive) // 2], archive[:-2_000]):
        backup.file.write_bytes(content)
        with pytest.raises(BackupError):
            backend_of(store._database).restore(store._database, backup.file)
        assert [view(name) for name in names] == before
        assert store.verify(projections=True, payloads=True).problems == []
