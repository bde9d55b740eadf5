"""Pages of an SQLite file overwritten at random: each command ends with one sentence."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from support.commands import Here

PAGE = 4096
COMMANDS = [
    ("audit", "list"),
    ("audit", "show", "last"),
    ("audit", "search", "prompt"),
    ("audit", "stats"),
    ("audit", "export"),
    ("audit", "tail"),
    ("audit", "runs"),
    ("hold", "list"),
    ("db", "status"),
    ("db", "sql", "SELECT count(*) FROM v_generation"),
]


@pytest.fixture
def intact(muniment: Here, home: Path) -> bytes:
    """Give the bytes of a store without a write-ahead log."""
    for number in range(30):
        muniment("generate", "echo", f"prompt {number} 最近", "--tag", "t")
    muniment("hold", "add", "--tag", "t", "--reason", "case 7")
    muniment("feedback", "last", "--rating", "up", "--comment", "好")
    with closing(sqlite3.connect(home / "muniment.db")) as database:
        database.execute("PRAGMA journal_mode = DELETE")
    return (home / "muniment.db").read_bytes()


def damaged(content: bytes, seed: int) -> bytes:
    """Return content in which a few bytes of one page are random."""
    source = random.Random(seed)
    place = source.randrange(len(content) // PAGE) * PAGE + source.randrange(PAGE)
    new = source.randbytes(source.choice([1, 4, 64, 1024]))
    return (content[:place] + new + content[place + len(new) :])[: len(content)]


def is_sound(file: Path) -> bool:
    """Return whether SQLite finds no fault in a file."""
    try:
        with closing(sqlite3.connect(file)) as database:
            return database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    except sqlite3.Error:
        return False


@pytest.mark.parametrize(
    "seeds",
    [range(12), pytest.param(range(12, 112), marks=pytest.mark.integration)],
    ids=["a few", "many"],
)
def test_a_damaged_file_is_one_sentence(
    muniment: Here, home: Path, intact: bytes, seeds: range
) -> None:
    file = home / "muniment.db"
    found = 0
    for seed in seeds:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{file}{suffix}").unlink(missing_ok=True)
        file.write_bytes(damaged(intact, seed))
        sound = is_sound(file)
        verified = muniment("audit", "verify", "--all")
        assert verified.code in (0, 4), (seed, verified.err)
        assert sound or verified.code == 4, seed
        found += verified.code == 4
        for command in COMMANDS:
            result = muniment(*command)
            assert result.code in (0, 1, 4), (seed, command, result.err)
            for message in (result.err, verified.err):
                assert "bug" not in message, (seed, command, message)
                assert "Traceback" not in message
    assert found >= len(seeds) // 4
