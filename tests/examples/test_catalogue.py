"""The example catalogue: the same files from the same seed, and nothing twice."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

from support.catalogue import program
from support.commands import ROOT


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_equal_seeds_write_equal_files(tmp_path: Path) -> None:
    program().write(tmp_path / "here")
    command = [sys.executable, ROOT / "examples" / "make_catalogue.py", tmp_path / "there"]
    subprocess.run(command, check=True)
    for name in ("items.csv", "interactions.csv"):
        here, there = (tmp_path / folder / name for folder in ("here", "there"))
        assert here.read_bytes() == there.read_bytes(), name


def test_another_seed_changes_the_interactions_only(tmp_path: Path) -> None:
    program().write(tmp_path / "a", users=20, seed=1)
    program().write(tmp_path / "b", users=20, seed=2)
    items, other_items = ((tmp_path / name / "items.csv").read_bytes() for name in "ab")
    assert items == other_items
    rows, others = (_rows(tmp_path / name / "interactions.csv") for name in "ab")
    assert rows != others


def test_items_are_distinct_and_described_in_both_languages() -> None:
    items = program().make_items()
    assert len(items) == 300
    for part in ("id", "title"):
        repeated = [text for text, n in Counter(getattr(i, part) for i in items).items() if n > 1]
        assert not repeated, part
    for item in items:
        english, chinese = item.title.split(" · ", 1)
        assert english.isascii(), item.title
        assert not chinese[0].isascii(), item.title
        assert len(set(item.tags)) == len(item.tags) >= 6
        assert item.tags[0] in item.text, item.text
        assert item.tags[1] in item.text, item.text


def test_interactions_are_in_order_without_repeats_and_skewed(tmp_path: Path) -> None:
    program().write(tmp_path)
    items = {item.id: item for item in program().make_items()}
    histories = defaultdict(list)
    for row in _rows(tmp_path / "interactions.csv"):
        histories[row["user"]].append((int(row["timestamp"]), row["item"]))
    assert len(histories) == 200
    for history in histories.values():
        assert history == sorted(history)
        assert len({time for time, _ in history}) == len({item for _, item in history})
        assert 8 <= len(history) <= 60
        taken: set[str | None] = {None}
        for _, item in history:
            assert items[item].sequel_of in taken
            taken.add(item)
    counts = Counter(item for history in histories.values() for _, item in history)
    most = sum(number for _, number in counts.most_common(30))
    assert 0.2 < most / counts.total() < 0.5
