"""Output files never replace an input, the store, the settings or a key, whatever their names."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from support.commands import Here

NAMES = ["same name", "hard link", "link", "through a folder"]


def other_name(path: Path, how: str) -> Path:
    """Return another name of a file."""
    if how == "same name":
        return path
    if how == "through a folder":
        (path.parent / "sub").mkdir()
        return path.parent / "sub" / ".." / path.name
    name = path.with_name(f"other-{path.name}")
    name.hardlink_to(path) if how == "hard link" else name.symlink_to(path)
    return name


def refused(result: object, target: Path) -> None:
    assert result.code == 2, result.err  # type: ignore[attr-defined]
    assert result.err.startswith("Error: cannot write ")  # type: ignore[attr-defined]
    assert target.name.removeprefix("other-") in result.err  # type: ignore[attr-defined]
    assert result.err.count("\n") == 1  # type: ignore[attr-defined]


def generations(muniment: Here) -> int:
    return len(muniment("audit", "list").lines)


@pytest.mark.parametrize("how", NAMES)
def test_batch_its_lines_are_not_replaced(muniment: Here, tmp_path: Path, how: str) -> None:
    lines = tmp_path / "lines.jsonl"
    lines.write_text(json.dumps({"prompt": "x"}) + "\n")
    before = lines.read_bytes()
    refused(muniment("batch", lines, "-o", other_name(lines, how), "--overwrite"), lines)
    assert lines.read_bytes() == before
    assert generations(muniment) == 0


@pytest.mark.parametrize("how", NAMES)
def test_generate_its_policy_is_not_replaced(muniment: Here, tmp_path: Path, how: str) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("policy: team\nversion: '1'\nfilters: []\n")
    before = policy.read_bytes()
    result = muniment(
        *("generate", "echo", "x", "--policy", policy),
        *("-o", other_name(policy, how), "--overwrite"),
    )
    refused(result, policy)
    assert policy.read_bytes() == before
    assert generations(muniment) == 0


COMMANDS: dict[str, Callable[[Path], list[object]]] = {
    "generate": lambda path: ["generate", "echo", "x", "-o", path, "--overwrite"],
    "export": lambda path: ["audit", "export", "-o", path, "--overwrite"],
    "get": lambda path: ["audit", "get", "last", "-o", path, "--overwrite"],
    "prove": lambda path: ["audit", "prove", "last", "-o", path, "--overwrite"],
    "publish": lambda path: ["audit", "checkpoint", "--publish", path],
    "backup": lambda path: ["db", "backup", path, "--overwrite"],
    "restore": lambda path: ["db", "restore", path, "--yes"],
}


@pytest.fixture
def recorded(muniment: Here, home: Path) -> Path:
    """A store with a generation and a key."""
    assert muniment("generate", "echo", "x").code == 0
    assert muniment("keys", "generate").code == 0
    return home / "muniment.db"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_no_command_replaces_the_store(muniment: Here, recorded: Path, command: str) -> None:
    for how in NAMES:
        name = other_name(recorded, how)
        refused(muniment(*COMMANDS[command](name)), recorded)
        if name != recorded and name.parent == recorded.parent:
            name.unlink()
    assert generations(muniment) == 1
    assert muniment("audit", "verify", "--all").code == 0


@pytest.mark.parametrize("command", ["generate", "export", "publish"])
@pytest.mark.parametrize(
    "file",
    ["config.toml", "keys/*.key", "muniment.db-wal", "models/tiny/*.safetensors", "models/*.json"],
)
def test_settings_keys_models_and_the_write_ahead_log_are_not_replaced(
    muniment: Here, home: Path, recorded: Path, command: str, file: str
) -> None:
    for name in ("tiny/model.safetensors", "tiny.json"):
        model = home / "models" / name
        model.parent.mkdir(parents=True, exist_ok=True)
        model.write_text("{}")
    (path,) = home.glob(file) if "*" in file else [home / file]
    before = path.read_bytes() if path.exists() else None
    refused(muniment(*COMMANDS[command](path)), path)
    assert (path.read_bytes() if path.exists() else None) == before
    assert generations(muniment) == 1


@pytest.mark.parametrize("key", ["policy", "model.echo"])
def test_generate_a_file_in_the_settings_is_not_replaced(
    muniment: Here, home: Path, tmp_path: Path, key: str
) -> None:
    file = tmp_path / "default"
    file.write_text("policy: team\nversion: '1'\nfilters: []\n")
    settings = home / "config.toml"
    settings.write_text(f"{key} = '{file}'\n")
    refused(muniment("generate", "echo", "x", "-o", file, "--overwrite"), file)


def test_generate_a_file_in_a_folder_of_a_model_is_not_replaced(
    muniment: Here, tmp_path: Path
) -> None:
    path = tmp_path / "model" / "config.json"
    path.parent.mkdir()
    path.write_text("{}")
    for model in (path.parent, "/"):  # the files of the second are not listed
        refused(muniment("generate", "echo", "x", "-m", model, "-o", path, "--overwrite"), path)
    link = tmp_path / "link"
    link.symlink_to(path.parent)
    command = ["generate", "echo", "x", "-m", path.parent, "-o"]
    refused(muniment(*command, link / path.name, "--overwrite"), path)
    assert path.read_text() == "{}"


def test_generate_a_file_of_the_user_in_the_home_is_replaced(muniment: Here, home: Path) -> None:
    for name in ("notes.txt", "answers/one.txt"):
        path = home / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("old")
        assert muniment("generate", "echo", "new", "-o", path, "--overwrite").code == 0
        assert path.read_text() == "new"


def test_a_path_in_the_home_of_an_unknown_user_is_a_relative_path(
    muniment: Here, tmp_path: Path
) -> None:
    for options in (["-m", "~nouser/x"], ["-m", ""], ["--plugin", "~nouser/x.py"]):
        result = muniment("generate", "echo", "x", *options, "-o", tmp_path / "out")
        assert (result.code, result.err.count("\n")) == (2, 1)
    result = muniment("--home", "~nouser/x", "db", "path")
    assert (result.code, result.out) == (0, str(Path("~nouser/x/muniment.db").absolute()) + "\n")


def test_an_output_where_the_store_will_be_is_refused_before_anything_is_made(
    muniment: Here, tmp_path: Path
) -> None:
    lines, store = tmp_path / "lines.jsonl", tmp_path / "new.db"
    lines.write_text(json.dumps({"prompt": "x"}) + "\n")
    (tmp_path / "sub").mkdir()
    for target in (store, tmp_path / "sub" / ".." / "new.db"):
        refused(muniment("--store", store, "batch", lines, "-o", target), store)
        refused(muniment("--store", store, "generate", "echo", "x", "-o", target), store)
    assert not store.exists()


def test_new_outputs_follow_the_umask_and_replaced_ones_keep_their_mode(
    muniment: Here, recorded: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "lines.jsonl"
    lines.write_text(json.dumps({"prompt": "x"}) + "\n")
    recorded.chmod(0o600)
    for command in ("generate", "export", "get", "prove", "publish", "backup", "batch"):
        path = tmp_path / command
        arguments = COMMANDS.get(command, lambda path: ["batch", lines, "-o", path, "--overwrite"])(
            path
        )
        before = os.umask(0o026)
        try:
            assert muniment(*arguments).code == 0
            # A backup is the whole store, which only its owner can read.
            expected = 0o600 if command == "backup" else 0o640
            assert stat.S_IMODE(path.stat().st_mode) == expected, command
            path.chmod(0o604)
            assert muniment(*arguments).code == 0
            assert stat.S_IMODE(path.stat().st_mode) == 0o604, command
        finally:
            os.umask(before)
    assert not list(tmp_path.glob("*.part*"))


def test_the_home_is_for_its_owner_only(muniment: Here, tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    assert muniment("--home", home, "config", "set", "actor", "me").code == 0
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "config.toml").stat().st_mode) == 0o600
