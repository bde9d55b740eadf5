"""`muniment db backup` and `restore`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from support.commands import Here


@pytest.fixture
def recorded(muniment: Here) -> Here:
    muniment("generate", "echo", "one")
    return muniment


def prompts(muniment: Here) -> list[str]:
    return [g["prompt"] for g in muniment("audit", "list", "--json").json("generation")]


def test_a_backup_says_what_it_holds(recorded: Here, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    verified = recorded("audit", "verify", "--json").json("verification")[0]
    result = recorded("db", "backup", file)
    assert result.code == 0
    assert result.out == f"{file}  {verified['entries']} entries · root {verified['root']}\n"
    again = recorded("db", "backup", file)
    assert again.code == 2
    assert "already exists" in again.err
    (made,) = recorded("db", "backup", file, "--overwrite", "--json").json("backup")
    assert (made["entries"], made["root"]) == (verified["entries"], verified["root"])
    assert made["bytes"] == file.stat().st_size


def test_restore_asks_and_says_what_is_lost(recorded: Here, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    recorded("db", "backup", file)
    recorded("generate", "echo", "two")
    result = recorded("db", "restore", file)
    assert result.code == 2
    assert "2 will be lost; use --yes" in result.err
    assert prompts(recorded) == ["two", "one"]
    result = recorded("db", "restore", file, "--yes")
    assert result.code == 0
    assert prompts(recorded) == ["one"]
    assert recorded("audit", "verify", "--all").code == 0
    recorded("generate", "echo", "three")
    assert prompts(recorded) == ["three", "one"]
    (done,) = recorded("db", "restore", file, "--yes", "--json").json("restored")
    assert done["lost"] == 2
    assert done["erase_again"] == []


def test_a_lost_store_is_restored_without_asking(
    recorded: Here, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "copy.db"
    recorded("db", "backup", file)
    (home / "muniment.db").unlink()
    result = recorded("db", "restore", file)
    assert result.code == 0
    assert "erasures since the backup are not known" in result.err
    assert prompts(recorded) == ["one"]


def test_a_damaged_backup_is_named_and_another_is_asked_for(recorded: Here, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    recorded("db", "backup", file)
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], content[:4096] + bytes(len(content) - 4096)):
        file.write_bytes(damaged)
        result = recorded("db", "restore", file, "--yes")
        assert result.code == 1
        assert result.err.startswith(f"Error: {file} is ")
        assert "use another backup" in result.err
        assert "restore it from a backup" not in result.err
    assert prompts(recorded) == ["one"]


def test_another_ledger_is_replaced_only_if_it_is_named(
    recorded: Here, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "copy.db"
    recorded("db", "backup", file)
    other = ("--store", f"sqlite:///{tmp_path}/other.db")
    recorded("generate", "echo", "two", *other)
    assert recorded("keys", "generate", *other).code == 0
    (key,) = (home / "keys").glob("*.key")
    refused = recorded("db", "restore", file, "--yes", *other)
    assert refused.code == 2
    assert f"--replace-ledger {key.stem}" in refused.err
    assert recorded("db", "restore", file, "--yes", "--replace-ledger", "ab", *other).code == 2
    done = recorded("db", "restore", file, "--yes", "--replace-ledger", key.stem, *other)
    assert done.code == 0
    checkpoint = key.with_suffix(".json")
    assert str(checkpoint) in done.err
    assert recorded("generate", "echo", "three", *other).code == 4
    checkpoint.unlink()
    assert recorded("generate", "echo", "three", *other).code == 0
    assert key.exists()


def test_an_older_backup_of_a_signed_store_names_the_way_to_sign_again(
    recorded: Here, home: Path, tmp_path: Path
) -> None:
    file, keys = tmp_path / "copy.db", home / "keys"
    recorded("keys", "generate")
    recorded("db", "backup", file)
    assert str(keys) not in recorded("db", "restore", file, "--yes").err
    recorded("generate", "echo", "two")
    restored = recorded("db", "restore", file, "--yes")
    assert restored.code == 0
    assert recorded("generate", "echo", "three").code == 4
    assert sorted(path.suffix for path in keys.iterdir()) == [".json", ".key"]
    for path in keys.iterdir():
        assert str(path) in restored.err
        path.rename(tmp_path / path.name)
    assert recorded("keys", "generate").code == 0
    assert recorded("generate", "echo", "four").code == 0
    assert recorded("audit", "verify", "--all").code == 0


def test_an_unreadable_checkpoint_is_a_warning_after_a_restore(
    recorded: Here, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "copy.db"
    recorded("keys", "generate")
    recorded("db", "backup", file)
    (checkpoint,) = (home / "keys").glob("*.json")
    checkpoint.write_text("garbage")
    restored = recorded("db", "restore", file, "--yes")
    assert restored.code == 0
    assert str(checkpoint) in restored.err.splitlines()[-1]


def test_a_restore_names_holds_that_it_ends_or_states_that_they_are_not_known(
    recorded: Here, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "copy.db"
    recorded("db", "backup", file)
    other = ("--store", f"sqlite:///{tmp_path}/other.db")
    recorded("generate", "echo", "two", "--tag", "nice", *other)
    assert recorded("hold", "add", "--tag", "nice", "--reason", "case 7", *other).code == 0
    (hold,) = recorded("hold", "list", "--json", *other).json("hold")
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        [(log,)] = database.execute("SELECT log_id FROM ledger_head")
    replaced = recorded("db", "restore", file, "--replace-ledger", log, *other)
    assert replaced.code == 2  # to confirm, standard input must be a terminal
    assert hold["id"] in replaced.err
    with closing(sqlite3.connect(home / "muniment.db", isolation_level=None)) as database:
        database.execute("UPDATE alembic_version SET version_num = '1001'")
    outdated = recorded("db", "restore", file)
    assert outdated.code == 2
    assert "legal holds and erasures since the backup are not known" in outdated.err
    outdated = recorded("db", "restore", file, "--yes")
    assert outdated.code == 0
    assert "erasures since the backup are not known" in outdated.err.splitlines()[-1]


def test_a_backup_of_a_store_with_an_altered_schema_says_so(
    recorded: Here, home: Path, tmp_path: Path
) -> None:
    assert "altered" not in recorded("db", "backup", tmp_path / "first.db").err
    with closing(sqlite3.connect(home / "muniment.db", isolation_level=None)) as database:
        database.execute("CREATE INDEX mine ON event (kind)")
    result = recorded("db", "backup", tmp_path / "second.db")
    assert result.code == 0
    assert "index mine" in result.err
    assert recorded("generate", "echo", "two").code == 1


def test_what_is_no_backup_is_refused(recorded: Here, tmp_path: Path) -> None:
    file = tmp_path / "no.db"
    for content, sentence in ((b"", "is empty"), (b"nonsense" * 99, "is not a backup of a store")):
        file.write_bytes(content)
        result = recorded("db", "restore", file, "--yes")
        assert result.code == 1
        assert sentence in result.err
        assert result.err.count("\n") == 1
    for path, sentence in ((tmp_path, "is a folder"), ("/dev/null", "is not a regular file")):
        result = recorded("db", "restore", path, "--yes")
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert f"{path} {sentence}" in result.err
    assert f"{tmp_path}/x does not exist" in recorded("db", "restore", tmp_path / "x").err
    assert prompts(recorded) == ["one"]
