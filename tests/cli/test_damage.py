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


ABSURD = {
    "a size that is no number": "UPDATE ledger_head SET size = 'abc'",
    "a size that is too large": "UPDATE ledger_head SET size = 9000000000000000000",
    "a start after the year 9999": "UPDATE generation SET started_at = 9000000000000000000",
    "a start before the year 1": "UPDATE generation SET started_at = -9000000000000000000",
    "a start that is no number": "UPDATE generation SET started_at = 'abc'",
    "an end that is no number": "UPDATE generation SET finished_at = 'abc'",
    "an end after the year 9999": "UPDATE generation SET finished_at = 9000000000000000000",
    "tokens that are no number": "UPDATE generation SET prompt_tokens = 'abc', output_tokens = 'b'",
    "a status that is unknown": "UPDATE generation SET status = 'abc'",
    "an actor that is unknown": "UPDATE generation SET actor = 'abc'",
    "an outcome that is unknown": "UPDATE generation SET outcome = 'abc'",
    "a line that is no number": "UPDATE generation SET line = 'abc'",
}


@pytest.mark.parametrize("statement", ABSURD.values(), ids=ABSURD)
def test_an_absurd_value_is_one_sentence_with_a_remedy(
    muniment: Here, home: Path, intact: bytes, statement: str
) -> None:
    file = home / "muniment.db"
    for suffix in ("-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute(statement)
        database.commit()
    for command in (*COMMANDS, ("generate", "echo", "x")):
        result = muniment(*command)
        assert result.code in (0, 1, 4), (command, result.err)
        assert "bug" not in result.err, (command, result.err)
        if result.code == 1:
            assert "muniment audit verify" in result.err, (command, result.err)
