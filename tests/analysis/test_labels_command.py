"""`muniment analyze labels`: its output, and tables without a basis for scores."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from muniment.testing import CommandContract, CommandResult, run_command
from muniment_analysis.commands import analyze
from muniment_analysis.commands.labels import labels

HEADER = ("id", "gold", "label")
OPTIONS = ("--item", "id", "--expected", "gold", "--predicted", "label")
ROWS = [[n, gold, label] for n, (gold, label) in enumerate([("好", "好"), ("坏", "好")] * 10)]


def write(path: Path, rows: Iterable[Sequence[Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return path


def run(path: Path, *more: str) -> CommandResult:
    return run_command(analyze, "labels", str(path), *OPTIONS, *more, session=object())


class TestLabels(CommandContract):
    command = labels
    arguments: ClassVar = ("t.csv", *OPTIONS)

    @pytest.fixture
    def session(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.chdir(tmp_path)
        write(tmp_path / "t.csv", ROWS)
        return object()  # it needs none


def test_json_has_each_score_with_its_interval(tmp_path: Path) -> None:
    (report,) = run(write(tmp_path / "t.csv", ROWS), "--json").json
    assert report["accuracy"]["value"] == 0.5
    assert report["labels"]["坏"]["precision"] is None
    recall = report["labels"]["坏"]["recall"]
    assert (recall["value"], recall["low"], recall["n"]) == (0, 0, 10)
    assert recall["high"] == pytest.approx(0.278, abs=1e-3)
    assert report["confusion"] == {"labels": ["坏", "好"], "counts": [[0, 10], [0, 10]]}
    assert report["macro"]["recall"]["value"] == 0.5


def test_without_json_each_score_is_a_row(tmp_path: Path) -> None:
    result = run(write(tmp_path / "t.csv", ROWS))
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert rows[0] == ["", "accuracy", "0.500", "0.299", "0.701", "20"]
    assert [row[:2] for row in rows[-3:]] == [
        ["好", name] for name in ("precision", "recall", "f1")
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([*ROWS, [3, "好", "坏"]], "line 22"),
        ([*ROWS, [30, "", "坏"]], "line 22"),
        (ROWS[:1], "at least 2"),
        ([], "no row"),
    ],
)
def test_a_table_without_a_basis_is_refused(
    tmp_path: Path, rows: list[list[Any]], expected: str
) -> None:
    result = run(write(tmp_path / "t.csv", rows))
    assert (result.code, result.stdout) == (2, "")
    assert expected in result.stderr
