"""Exports hold what the store shows, whatever the format, and survive being killed anywhere."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import signal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy import func, select

import muniment
from muniment.errors import MunimentError, StoreError
from muniment.ledger.events import FeedbackEntry
from muniment.store import Query, Store
from muniment.store.database import export_pool, tables
from muniment.store.database.engine import Database
from muniment.store.export import ExportError, batches, exporter, formats, unfinished
from muniment.types.generations import Generation
from muniment.types.outputs import Output, Text

FORMATS = ("jsonl", "csv", "csv-excel", "parquet")


@pytest.fixture
def filled(store: Store, start: Any, finish: Any, rich: tuple[Generation, Generation]) -> Store:
    """One generation that has something in every field, and some of every status."""
    started, ended = rich
    store.record_started([started], policy_document="a policy")
    store.record_outcomes([ended], declared_categories={"words": frozenset({"violence"})})
    many = [start(f'prompt {n}\n=1+1, "q"', tags=("even",) * (n % 2 == 0)) for n in range(7)]
    store.record_started(many, policy_document="")
    store.record_outcomes([finish(g, f"output {g.prompt}") for g in many[:5]])
    return store


def export(store: Store, target: Path, format: str, **wanted: Any) -> int:
    return store.export(target, format, Query(**wanted)).run()


def shown(store: Store, **wanted: Any) -> list[dict[str, Any]]:
    """Return the records of generations without reviews, as an export has them."""
    return [
        json.loads(json.dumps(g.to_json() | {"feedback": [], "reviews": []}))
        for g in store.generations(Query(**wanted))
    ]


def test_a_line_is_what_json_prints(filled: Store, tmp_path: Path) -> None:
    target = tmp_path / "all.jsonl"
    assert export(filled, target, "jsonl") == 8
    lines = target.read_bytes().splitlines()
    assert [json.loads(line) for line in lines] == shown(filled)
    assert "最近我国".encode() in target.read_bytes()
    assert [path.name for path in tmp_path.glob("all*")] == ["all.jsonl"]


def test_filters_and_limit_choose(filled: Store, tmp_path: Path) -> None:
    target = tmp_path / "some.jsonl"
    for wanted in ({"tag": "even"}, {"status": "blocked"}, {"limit": 3}, {"generator": "nobody"}):
        export(filled, target, "jsonl", **wanted)
        lines = target.read_bytes().splitlines()
        assert [json.loads(line) for line in lines] == shown(filled, **wanted), wanted


def test_a_csv_row_has_the_same_fields(filled: Store, tmp_path: Path) -> None:
    target = tmp_path / "all.csv"
    export(filled, target, "csv")
    rows = list(csv.DictReader(io.StringIO(target.read_text(encoding="utf-8"), newline="")))
    for row, generation in zip(rows, shown(filled), strict=True):
        assert row["prompt"] == generation["prompt"]
        assert row["seed"] == generation["seed"]
        assert row["output"] == "\n\n".join(o["text"] for o in generation["outputs"] if o["text"])
        for name in ("tags", "verdicts", "scores", "parameters", "environment", "plugins"):
            assert (json.loads(row[name]) if row[name] else type(generation[name])()) == (
                generation[name]
            )


def test_a_row_has_decision_categories_and_reviews(filled: Store, tmp_path: Path) -> None:
    from pyarrow import parquet

    blocked = next(filled.generations(Query(status="blocked")))
    filled.events.add_review(blocked.id, "Ada", "approve")
    filled.events.add_review(blocked.id, "Ben", "overturn", "harmless")
    for format in FORMATS:
        export(filled, tmp_path / format, format)
    lines = [json.loads(line) for line in (tmp_path / "jsonl").read_bytes().splitlines()]
    for row in (*lines, *parquet.read_table(tmp_path / "parquet").to_pylist()):
        is_blocked = row["id"] == blocked.id
        assert row["decision"] == (
            "block" if is_blocked else "allow" if row["status"] == "completed" else None
        )
        assert row["categories"] == (["my own", "violence"] if is_blocked else [])
        found = [(item["actor"], item["decision"], item["reason"]) for item in row["reviews"]]
        reviews = [("Ada", "approve", None), ("Ben", "overturn", "harmless")]
        assert found == (reviews if is_blocked else [])
    for format in ("csv", "csv-excel"):
        text = (tmp_path / format).read_text(encoding="utf-8-sig")
        rows = {row["id"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}
        row = rows.pop(blocked.id)
        assert (row["decision"], row["review"]) == ("block", "overturn")
        assert json.loads(row["categories"]) == ["my own", "violence"]
        assert [item["actor"] for item in json.loads(row["reviews"])] == ["Ada", "Ben"]
        assert {row["review"] + row["reviews"] + row["categories"] for row in rows.values()} == {""}


def test_a_row_has_the_feedback_and_the_digest_of_the_policy(filled: Store, tmp_path: Path) -> None:
    from pyarrow import parquet

    blocked = next(filled.generations(Query(status="blocked")))
    filled.events.add_feedback(blocked.id, "Ada", "down", "too long")
    filled.events.add_feedback(blocked.id, "Ben", "4", "=1+1")
    filled.events.add_feedback(blocked.id, "Eve", "up")
    filled.events.add_feedback(blocked.id, "Eve", "down", "no", action="click", item=2)
    feedback = [item.to_json() for item in filled.events.of(blocked.id, FeedbackEntry)]
    feedback = json.loads(json.dumps(feedback))
    for format in FORMATS:
        export(filled, tmp_path / format, format)
    digest = f"sha256:{sha256(b'a policy').hexdigest()}"
    lines = [json.loads(line) for line in (tmp_path / "jsonl").read_bytes().splitlines()]
    for row in (*lines, *parquet.read_table(tmp_path / "parquet").to_pylist()):
        is_blocked = row["id"] == blocked.id
        assert row["policy_digest"] == (digest if is_blocked else "")
        assert row["feedback"] == (feedback if is_blocked else [])
    for format, comment in (("csv", "=1+1"), ("csv-excel", "'=1+1")):
        text = (tmp_path / format).read_text(encoding="utf-8-sig")
        rows = {row["id"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}
        row = rows.pop(blocked.id)
        assert row["policy_digest"] == digest
        assert (row["rating"], row["comment"]) == ("up", comment)  # of the whole generation
        assert json.loads(row["feedback"]) == feedback
        assert {row["rating"] + row["comment"] + row["feedback"] for row in rows.values()} == {""}


def test_an_event_after_the_beginning_is_not_in_it(filled: Store, tmp_path: Path) -> None:
    work = filled.export(tmp_path / "all.jsonl", "jsonl")
    blocked = next(filled.generations(Query(status="blocked")))
    filled.events.add_review(blocked.id, "Ada", "approve")
    filled.events.add_feedback(blocked.id, "Ada", "up")
    work.run()
    lines = (tmp_path / "all.jsonl").read_bytes().splitlines()
    records = [json.loads(line) for line in lines]
    assert not any(record["reviews"] or record["feedback"] for record in records)


def test_excel_finds_a_byte_order_mark(filled: Store, tmp_path: Path) -> None:
    filled.export(tmp_path / "a.csv", "csv").run()
    filled.export(tmp_path / "b.csv", "csv-excel").run()
    content = (tmp_path / "b.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert content[3:].replace(b",'", b",") == (tmp_path / "a.csv").read_bytes()


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1", "007"]
)
def test_only_csv_for_spreadsheets_changes_formulas_and_long_numbers(
    store: Store, tmp_path: Path, start: Any, finish: Any, text: str
) -> None:
    seed = 2**64 - 1
    started = start(text, seed=seed)
    store.record_started([started], policy_document="")
    store.record_outcomes([finish(started, text)])
    for format, mark in (("csv", ""), ("csv-excel", "'")):
        store.export(tmp_path / format, format).run()
        content = (tmp_path / format).read_bytes().decode("utf-8-sig")
        [row] = csv.DictReader(io.StringIO(content, newline=""))
        assert (row["prompt"], row["seed"]) == (f"{mark}{text}", f"{mark}{seed}")
        assert row["output"] == f"{mark}{text}"


@pytest.mark.parametrize("text", ["", "0", "123456789012345", "1+1", "a=1", "'a"])
def test_other_texts_are_unchanged_for_a_spreadsheet(text: str) -> None:
    assert muniment.spreadsheet_text(text) == text


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_a_part_file_of_someone_else_is_refused(filled: Store, tmp_path: Path, kind: str) -> None:
    part, other = tmp_path / "all.jsonl.part", tmp_path / "other"
    if kind == "folder":
        part.mkdir()
    elif kind == "link":
        part.symlink_to(other)
    else:
        part.write_text("mine")
    with pytest.raises(ExportError, match=r"all\.jsonl\.part exists and is not a part"):
        filled.export(tmp_path / "all.jsonl", "jsonl").run()
    assert kind != "file" or part.read_text() == "mine"
    assert kind != "link" or (part.is_symlink() and not other.exists())
    assert [path.name for path in tmp_path.glob("all*")] == ["all.jsonl.part"]


def test_a_parquet_row_has_the_same_fields(filled: Store, tmp_path: Path) -> None:
    from pyarrow import parquet

    target = tmp_path / "all.parquet"
    export(filled, target, "parquet")
    for row, generation in zip(parquet.read_table(target).to_pylist(), shown(filled), strict=True):
        assert str(row.pop("seed")) == generation["seed"]
        for name in ("started_at", "finished_at"):
            moment = row.pop(name)
            written = moment and moment.isoformat(timespec="milliseconds")[:-6] + "Z"
            assert written == generation[name]
        for name in ("parameters", "models", "environment"):
            assert json.loads(row.pop(name)) == generation[name]
        for score in row["scores"]:
            score |= {name: json.loads(score[name]) for name in ("parameters", "models")}
        for verdict in row["verdicts"]:
            verdict["categories"] = json.loads(verdict["categories"])
        # A column is in every row, and this export writes no outputs.
        assert [output.pop("file") for output in row["outputs"]] == [None] * len(row["outputs"])
        assert row == {name: generation[name] for name in row}


def test_parquet_without_pyarrow_says_what_brings_it(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(MunimentError, match=r"pip install 'muniment\[parquet\]'"):
        filled.export(tmp_path / "x.parquet", "parquet")
    assert list(tmp_path.glob("x*")) == []


def test_an_empty_export_is_a_file_of_its_format(store: Store, tmp_path: Path) -> None:
    from pyarrow import parquet

    for format in FORMATS:
        assert export(store, tmp_path / format, format) == 0
    assert (tmp_path / "jsonl").read_bytes() == b""
    assert (tmp_path / "csv").read_text().startswith("id,run_id,")
    assert parquet.read_table(tmp_path / "parquet").num_rows == 0


class Killed(BaseException):
    """Stands for the process ending at that moment: nothing is cleaned up after it."""


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_killed_after_any_page_ends_up_byte_equal(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    monkeypatch.setattr(batches, "FIRST_PAGE", 1)
    monkeypatch.setattr(batches, "MAX_PAGE", 2)
    monkeypatch.setattr(exporter, "SAVE_SECONDS", -1.0)
    whole = tmp_path / "whole"
    export(filled, whole, format)
    killed_at_all = 0
    for after in range(1, 9):
        target = tmp_path / f"after-{after}"
        made = 0

        def die(rows: int, after: int = after) -> None:
            nonlocal made
            made += 1
            if made == after:
                raise Killed

        try:
            filled.export(target, format).run(die)
        except Killed:
            killed_at_all += 1
            assert not target.exists()
            assert unfinished(target)
            # A page that was half written when the process died:
            with target.with_name(f"{target.name}.part").open("ab") as part:
                part.write(b'{"id": "half a li')
            filled.resume_export(target).run()
        assert target.read_bytes() == whole.read_bytes()
        assert not unfinished(target)
    assert killed_at_all > 2


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_killed_while_it_is_finished_ends_up_byte_equal(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    whole, target = tmp_path / "whole", tmp_path / "target"
    export(filled, whole, format)
    finish = type(formats.FORMATS[format]).finish

    def die(self: Any, part: Path, file: Path) -> None:
        finish(self, part, file)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(type(formats.FORMATS[format]), "finish", die)
        with pytest.raises(Killed):
            export(filled, target, format)
    filled.resume_export(target).run()
    assert target.read_bytes() == whole.read_bytes()
    assert not unfinished(target)


def test_what_is_recorded_after_the_beginning_is_not_in_it(
    filled: Store, tmp_path: Path, start: Any, finish: Any
) -> None:
    before = shown(filled)
    work = filled.export(tmp_path / "all.jsonl", "jsonl")
    open_ = next(g for g in filled.generations() if g.status == "started")
    filled.record_outcomes([finish(open_)])
    filled.record_started([start("later")], policy_document="")
    work.run()
    lines = (tmp_path / "all.jsonl").read_bytes().splitlines()
    assert [json.loads(line) for line in lines] == before


def test_parquet_groups_end_by_rows_and_by_bytes(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import parquet

    def groups() -> int:
        target = tmp_path / "all.parquet"
        export(filled, target, "parquet")
        found = parquet.ParquetFile(target)
        assert found.metadata.num_rows == 8
        return int(found.metadata.num_row_groups)

    assert groups() == 1
    monkeypatch.setattr(formats, "GROUP_ROWS", 3)
    assert groups() == 3
    monkeypatch.setattr(formats, "GROUP_BYTES", 10)
    assert groups() == 8


def test_what_cannot_be_gone_on_with_is_said(filled: Store, tmp_path: Path, url: str) -> None:
    target = tmp_path / "all.jsonl"
    with pytest.raises(ExportError, match="there is no unfinished export"):
        filled.resume_export(target)

    def die(rows: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        filled.export(target, "jsonl").run(die)
    with (
        Store.open(f"sqlite:///{tmp_path}/other.db", create=True) as other,
        pytest.raises(ExportError, match="of another store"),
    ):
        other.resume_export(target)
    state = tmp_path / "all.jsonl.part.json"
    held = json.loads(state.read_text())
    for version in (5, 9):  # 5 had fewer columns
        state.write_text(json.dumps({**held, "version": version}))
        with pytest.raises(ExportError, match="another version of Muniment"):
            filled.resume_export(target)
    state.write_text("{")
    with pytest.raises(ExportError, match="is not readable"):
        filled.resume_export(target)


def test_a_part_that_was_cut_short_is_noticed(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "SAVE_SECONDS", -1.0)
    monkeypatch.setattr(batches, "FIRST_PAGE", 1)
    target = tmp_path / "all.jsonl"

    def die(rows: int) -> None:
        if rows > 1:
            raise Killed

    with pytest.raises(Killed):
        filled.export(target, "jsonl").run(die)
    (tmp_path / "all.jsonl.part").write_bytes(b"x")
    with pytest.raises(ExportError, match="missing or too short"):
        filled.resume_export(target).run()


def test_a_folder_that_cannot_be_written_is_one_sentence(filled: Store, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"cannot write .*use --resume"):
        export(filled, tmp_path / "nowhere" / "all.jsonl", "jsonl")


def test_a_stream_is_the_file(filled: Store, tmp_path: Path) -> None:
    for format in ("jsonl", "csv"):
        export(filled, tmp_path / format, format)
        output = io.BytesIO()
        assert filled.export_to(output, format) == 8
        assert output.getvalue() == (tmp_path / format).read_bytes()
    with pytest.raises(MunimentError, match="use -o FILE"):
        filled.export_to(io.BytesIO(), "parquet")


def test_long_outputs_are_read_a_few_at_a_time(
    store: Store, start: Any, finish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "PAGE_BYTES", 1000)
    many = [start(f"{n}") for n in range(60)]
    store.record_started(many, policy_document="")
    store.record_outcomes(
        [finish(g, outputs=(Text("long " * 200), Output("image/png", b"x" * 999))) for g in many]
    )
    made = batches.pages(store._database, "jsonl", Query(), 10**9, 10**9, None, processes=1)
    sizes = [page.rows for page in made]
    assert sum(sizes) == 60
    assert max(sizes[1:]) == 1


def shared(store: Store, target: Path, format: str, **wanted: Any) -> bytes:
    """Export by two processes besides this one, from the second page on."""
    store.export(target, format, Query(**wanted)).run(processes=2)
    return target.read_bytes()


def test_several_processes_write_the_same_bytes(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "FIRST_PAGE", 1)
    monkeypatch.setattr(batches, "MAX_PAGE", 1)
    for format in FORMATS:
        export(filled, tmp_path / "alone", format)
    monkeypatch.setattr(batches, "PARALLEL_AFTER", 1)
    for format in FORMATS:
        export(filled, tmp_path / "alone", format)
        assert shared(filled, tmp_path / format, format) == (tmp_path / "alone").read_bytes()
    export(filled, tmp_path / "alone", "jsonl", limit=5, tag="even")
    few = shared(filled, tmp_path / "few", "jsonl", limit=5, tag="even")
    assert few == (tmp_path / "alone").read_bytes()
    stream = io.BytesIO()
    assert filled.export_to(stream, "csv", processes=2) == 8
    assert stream.getvalue() == (tmp_path / "csv").read_bytes()


def test_what_a_worker_cannot_read_is_said_as_ever(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "FIRST_PAGE", 1)
    monkeypatch.setattr(batches, "PARALLEL_AFTER", 1)
    with filled._database.writing() as connection:
        oldest = select(func.min(tables.generation.c.seq)).scalar_subquery()
        connection.execute(tables.entry.delete().where(tables.entry.c.seq == oldest))
    with pytest.raises(StoreError, match="run `muniment audit verify --all`"):
        shared(filled, tmp_path / "all", "jsonl")


def test_a_worker_that_is_killed_is_one_sentence(store: Store) -> None:
    with (
        pytest.raises(StoreError, match="a worker process ended before its work was done"),
        export_pool.worker_pool(store._database, _die, 2) as start,
    ):
        start().result()


def _die(database: Database) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_export_is_not_gone_on_with_after_an_erasure(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "SAVE_SECONDS", -1.0)
    monkeypatch.setattr(batches, "FIRST_PAGE", 1)
    first, target = tmp_path / "first.jsonl", tmp_path / "all.jsonl"
    rows = 0

    def die(more: int) -> None:
        nonlocal rows
        rows += more
        if rows > 1:
            raise Killed

    for part in (first, target):
        with pytest.raises(Killed):
            filled.export(part, "jsonl").run(die)
        rows = 1  # nothing is certain yet when the second dies
    newest = next(filled.generations(Query(status="completed")))
    filled.erasures.erase(Query(ids=[newest.id]), "Ada", reason="asked for")
    with pytest.raises(ExportError, match=r"erased since.* --overwrite"):
        filled.resume_export(first)
    assert filled.resume_export(target).run() == 8
    assert newest.prompt not in [
        json.loads(line)["prompt"] for line in target.read_bytes().splitlines()
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parameters=st.dictionaries(
        st.from_regex(r"[a-z]{1,4}", fullmatch=True),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
        | st.text() | st.lists(st.text()).map(tuple),
    ),
    text=st.text(),
)  # fmt: skip
def test_whatever_is_recorded_is_exported_as_it_is_shown(
    store: Store, tmp_path: Path, start: Any, finish: Any, parameters: Any, text: str
) -> None:
    written = text.replace("\0", "")  # NUL is refused in what people write, and kept in outputs
    tag = f"t{''.join(filter(str.isalnum, written))}"[:100]  # names are checked when recorded
    started = start(written, parameters=parameters, system=written, tags=(tag,))
    store.record_started([started], policy_document="")
    store.record_outcomes([finish(started, text)])
    target = tmp_path / "one.jsonl"
    export(store, target, "jsonl", limit=1)
    whole = dataclasses.replace(store.generation(started.id), trace=None)
    record = json.loads(json.dumps(whole.to_json() | {"feedback": [], "reviews": []}))
    assert json.loads(target.read_bytes()) == record
