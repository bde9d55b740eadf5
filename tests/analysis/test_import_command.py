"""`muniment analyze import`: logs of Inspect and lm-evaluation-harness, whole and damaged."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from muniment.testing import CommandContract, CommandResult, run_command
from muniment_analysis.commands import analyze
from muniment_analysis.commands.import_logs import import_logs

if sys.version_info >= (3, 14):
    import zipfile
else:
    from backports.zstd import zipfile

HEADER = "item replicate model task measure value".split()
TIME = "2026-01-31T10-20-30.123456"


def run(path: Path, *more: str) -> CommandResult:
    target = path.parent / "table.csv"
    return run_command(analyze, "import", str(path), "-o", str(target), *more, session=object())


def table(result: CommandResult) -> list[list[str]]:
    assert result.code == 0, result.stderr
    assert result.stdout == ""
    path = Path(result.stderr.splitlines()[-1].removeprefix("wrote "))
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == HEADER
    return rows


def sample(item: int | str, epoch: int, *, error: str | None = None, **values: Any) -> Any:
    scores = {name: {"value": value, "answer": "…"} for name, value in values.items()}
    return {"id": item, "epoch": epoch, "input": "?", "scores": scores, "error": error}


def inspect_header(**fields: Any) -> dict[str, Any]:
    evaluation = {"task": "arithmetic", "model": "openai/m", **fields}
    return {"version": 2, "status": "success", "eval": evaluation}


def write_archive(
    path: Path,
    samples: Iterable[Any],
    header: str = "header.json",
    compression: int = zipfile.ZIP_DEFLATED,
    **fields: Any,
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("_journal/start.json", json.dumps({"eval": inspect_header()["eval"]}))
        if header == "header.json":
            archive.writestr(header, json.dumps(inspect_header(**fields)))
        archive.writestr("_journal/summaries/1.json", "[]")
        for one in samples:
            name = f"samples/{one['id']}_epoch_{one['epoch']}.json"
            archive.writestr(name, json.dumps(one))
    return path


def lm_row(doc: int, rule: str | None = "none", **values: Any) -> dict[str, Any]:
    row = {"doc_id": doc, "doc": {"q": "?"}, "target": "4", "resps": [["4"]], "doc_hash": "0"}
    if rule is not None:
        row |= {"filter": rule, "metrics": list(values)}
    return {**row, **values}


def write_lines(path: Path, rows: Iterable[Any]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


SAMPLES = [sample("a", 1, match="C", f1=0.25), sample("a", 2, match="I", f1=True), sample(2, 1)]
ROWS = [
    ["arithmetic/a", "1", "openai/m", "arithmetic", "match", "1.0"],
    ["arithmetic/a", "1", "openai/m", "arithmetic", "f1", "0.25"],
    ["arithmetic/a", "2", "openai/m", "arithmetic", "match", "0.0"],
    ["arithmetic/a", "2", "openai/m", "arithmetic", "f1", "1.0"],
]


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_ZSTANDARD])
def test_an_archive_of_inspect_is_read(tmp_path: Path, compression: int) -> None:
    """Newer versions of Inspect compress with Zstandard."""
    path = write_archive(tmp_path / "log.eval", SAMPLES, compression=compression)
    assert table(run(path)) == ROWS


def test_a_document_of_inspect_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps({**inspect_header(), "samples": SAMPLES}, indent=2))
    assert table(run(path)) == ROWS


def test_a_log_of_one_line_is_read(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "log.json", [{**inspect_header(), "samples": SAMPLES}])
    assert table(run(path)) == ROWS


def test_samples_in_parts_are_read(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps(inspect_header()))
        archive.writestr("samples/a_epoch_1/sample.json", json.dumps(SAMPLES[0]))
        archive.writestr("samples/a_epoch_1/messages/0.json", "[]")
    assert table(run(path)) == ROWS[:2]


def test_an_id_may_contain_a_slash(tmp_path: Path) -> None:
    path = write_archive(
        tmp_path / "log.eval", [sample("repo/1", 1, match="C"), sample("二", 1, match="I")]
    )
    assert [row[0] for row in table(run(path))] == ["arithmetic/repo/1", "arithmetic/二"]


def test_an_unfinished_log_is_read_with_a_warning(tmp_path: Path) -> None:
    result = run(write_archive(tmp_path / "log.eval", SAMPLES, header="none"))
    assert table(result) == ROWS
    assert "not finished" in result.stderr


@pytest.mark.parametrize(
    ("value", "expected"),
    [("C", 1), ("P", 0.5), ("N", 0), ("yes", 1), ("0.5", 0.5), (False, 0), (3, 3)],
)
def test_values_of_inspect_become_numbers(tmp_path: Path, value: Any, expected: float) -> None:
    [row] = table(run(write_archive(tmp_path / "log.eval", [sample(1, 1, score=value)])))
    assert float(row[-1]) == expected


@pytest.mark.parametrize("value", ["good", "", None, [1, 2], float("nan"), 10**400])
def test_values_that_are_not_numbers_are_left_out_and_counted(tmp_path: Path, value: Any) -> None:
    """Inspect takes an unknown text for 0, which no measurement supports."""
    samples = [sample(1, 1, score=value), sample(2, 1, score=1)]
    result = run(write_archive(tmp_path / "log.eval", samples))
    assert [row[0] for row in table(result)] == ["arithmetic/2"]
    assert "left out 1 non-numeric value of score" in result.stderr


def test_a_score_with_several_parts_gives_a_measure_for_each(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "log.eval", [sample(1, 1, judge={"style": 2, "fact": "I"})])
    assert [row[-2:] for row in table(run(path))] == [["judge.style", "2.0"], ["judge.fact", "0.0"]]


def test_samples_with_an_error_are_counted(tmp_path: Path) -> None:
    samples = [sample(1, 1, score=1), sample(2, 1, error="timeout")]
    result = run(write_archive(tmp_path / "log.eval", samples))
    assert len(table(result)) == 1
    assert "1 sample ended with an error" in result.stderr


def test_a_log_of_lm_evaluation_harness_is_read(tmp_path: Path) -> None:
    path = tmp_path / "org__m" / f"samples_gsm8k_{TIME}.jsonl"
    rows = [lm_row(0, acc=1.0), lm_row(0, "strict-match", exact_match=0), lm_row(1, acc=0)]
    write_lines(path, rows)
    assert table(run(path)) == [
        ["gsm8k/0", "1", "org__m", "gsm8k", "acc", "1.0"],
        ["gsm8k/0", "1", "org__m", "gsm8k", "exact_match,strict-match", "0.0"],
        ["gsm8k/1", "1", "org__m", "gsm8k", "acc", "0.0"],
    ]


def test_the_model_is_that_of_the_results(tmp_path: Path) -> None:
    path = write_lines(tmp_path / f"samples_gsm8k_{TIME}.jsonl", [lm_row(0, acc=1)])
    (tmp_path / f"results_{TIME}.json").write_text(json.dumps({"model_name": "org/m"}))
    assert table(run(path))[0][2] == "org/m"


def test_rows_of_older_versions_have_their_metrics_among_the_fields(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "samples_arc.jsonl", [lm_row(0, None, acc=1, acc_norm=0.0)])
    assert [row[-2:] for row in table(run(path))] == [["acc", "1.0"], ["acc_norm", "0.0"]]


def test_a_further_log_gives_further_replicates(tmp_path: Path) -> None:
    first = write_archive(tmp_path / "1.eval", SAMPLES)
    second = write_archive(tmp_path / "2.eval", [sample("a", 1, match="C")])
    rows = table(run(first, str(second), "--measure", "match"))
    assert [(row[1], row[-1]) for row in rows] == [("1", "1.0"), ("2", "0.0"), ("3", "1.0")]


def test_other_models_and_tasks_have_replicates_of_their_own(tmp_path: Path) -> None:
    first = write_archive(tmp_path / "1.eval", [sample(1, 1, match="C")])
    second = write_archive(tmp_path / "2.eval", [sample(1, 1, match="C")], model="n")
    third = write_archive(tmp_path / "3.eval", [sample(1, 1, match="C")], task="t")
    rows = table(run(first, str(second), str(third)))
    assert [row[:3] for row in rows] == [
        ["arithmetic/1", "1", "openai/m"],
        ["arithmetic/1", "1", "n"],
        ["t/1", "1", "openai/m"],
    ]


def test_the_table_can_be_analysed(tmp_path: Path) -> None:
    logs = [
        write_archive(
            tmp_path / f"{model}.eval",
            [
                sample(item, epoch, score=item + shift + (item * epoch) % 3)
                for item in range(12)
                for epoch in (1, 2)
            ],
            model=model,
        )
        for model, shift in (("m", 0), ("n", 5))
    ]
    target = tmp_path / "table.csv"
    arguments = ["import", *map(str, logs), "-o", str(target)]
    assert run_command(analyze, *arguments, session=object()).code == 0
    columns = "--item item --factors model --seed replicate --value value --json".split()
    result = run_command(analyze, "variance", str(target), *columns, session=object())
    assert json.loads(result.stdout)["shares"]["model"] > 0.5


def test_a_task_that_spreadsheets_take_for_a_formula_is_written_as_text(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "log.eval", [sample(1, 1, score=1)], task="=1+1")
    [row] = table(run(path))
    assert row[0] == "'=1+1/1"
    assert row[3] == "'=1+1"


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-40])
    return path


def with_text(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def damaged(path: Path) -> Path:
    write_archive(path, SAMPLES, compression=zipfile.ZIP_ZSTANDARD)
    data = path.read_bytes()
    place = data.index(b"\x28\xb5\x2f\xfd", data.index(b"samples/")) + 6  # in a frame
    return with_text(path, data[:place] + b"\xff\xff\xff" + data[place + 3 :])


def encrypted(path: Path) -> Path:
    write_archive(path, SAMPLES)
    data = bytearray(path.read_bytes())
    place = 0
    while (place := data.find(b"PK\x01\x02", place)) >= 0:
        data[place + 8] |= 1
        place += 4
    return with_text(path, bytes(data))


def in_another_way(path: Path) -> Path:
    write_archive(path, SAMPLES)
    data = bytearray(path.read_bytes())
    place = 0
    while (place := data.find(b"PK\x01\x02", place)) >= 0:
        data[place + 10] = 97  # WavPack
        place += 4
    return with_text(path, bytes(data))


BAD_LOGS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "cut archive": (lambda folder: cut(write_archive(folder / "x.eval", SAMPLES)), "x.eval"),
    "damaged archive": (lambda folder: damaged(folder / "x.eval"), "copy"),
    "other archive": (
        lambda folder: write_archive(folder / "x.eval", []).rename(folder / "y.eval"),
        "no number",
    ),
    "encrypted archive": (lambda folder: encrypted(folder / "x.eval"), "encrypted"),
    "archive in another way": (lambda folder: in_another_way(folder / "x.eval"), "--to json"),
    "epoch twice": (
        lambda folder: with_text(
            folder / "x.json",
            json.dumps({**inspect_header(), "samples": [sample(1, 1), sample("1", 1)]}),
        ),
        "twice",
    ),
    "sample without id": (
        lambda folder: with_text(
            folder / "x.json", json.dumps({**inspect_header(), "samples": [{"epoch": 1}]})
        ),
        "no id",
    ),
    "header alone": (
        lambda folder: with_text(folder / "x.json", json.dumps(inspect_header())),
        "no samples",
    ),
    "other JSON": (lambda folder: with_text(folder / "x.json", '{"a": 1}'), "no log of samples"),
    "deep JSON": (lambda folder: with_text(folder / "x.json", "[" * 100_000), "no log"),
    "empty file": (lambda folder: with_text(folder / "x.jsonl", ""), "no log of samples"),
    "binary file": (lambda folder: with_text(folder / "x.eval", b"\xff\xfe\x00"), "UTF-8"),
    "damaged row": (
        lambda folder: with_text(
            folder / "samples_t.jsonl", json.dumps(lm_row(0, acc=1)) + '\n{"doc_id": 1'
        ),
        "line 2",
    ),
    "row of another kind": (
        lambda folder: write_lines(folder / "samples_t.jsonl", [lm_row(0, acc=1), [1]]),
        "line 2",
    ),
    "row twice": (
        lambda folder: write_lines(folder / "samples_t.jsonl", [lm_row(0, acc=1)] * 2),
        "line 1",
    ),
}


@pytest.mark.parametrize("name", BAD_LOGS)
def test_a_log_that_cannot_be_read_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    make, expected = BAD_LOGS[name]
    result = run(make(tmp_path))
    assert result.code == 2
    assert not (tmp_path / "table.csv").exists()
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


def test_the_same_log_twice_is_refused(tmp_path: Path) -> None:
    """Its outputs would count as independent ones."""
    path = write_archive(tmp_path / "1.eval", SAMPLES)
    copy = with_text(tmp_path / "2.eval", path.read_bytes())
    result = run(path, str(copy))
    assert result.code == 2
    assert "1.eval" in result.stderr


def test_an_unknown_measure_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    result = run(write_archive(tmp_path / "1.eval", SAMPLES), "--measure", "acc")
    assert result.code == 2
    assert "match, f1" in result.stderr


class TestImport(CommandContract):
    command = import_logs
    arguments: ClassVar = ("log.eval", "-o", "table.csv")
    reads = False

    @pytest.fixture
    def session(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.chdir(tmp_path)
        write_archive(tmp_path / "log.eval", SAMPLES)
        return object()  # it needs none
