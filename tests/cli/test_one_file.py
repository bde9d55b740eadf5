"""`muniment --plugin FILE`: a plugin of one file takes part in one command, and is recorded."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from muniment.errors import UsageError
from muniment.plugins.discovery import Plugin
from muniment.plugins.registry import Plugins
from support.commands import Here, Processes

POLITE = """
import muniment

class Polite(muniment.Generator):
    name, media_type, determinism = "polite", "text/plain", "exact"

    class Parameters(muniment.Parameters):
        times: int = muniment.param(1, ge=1, le=3, help="how often")

    def generate(self, requests):
        for request in requests:
            words = f"{request.prompt}, please " * request.parameters.times
            yield request.reply(muniment.Text(words.strip()))

class Lazy(Polite):
    name = "lazy"

@muniment.hookimpl
def muniment_generators(register):
    register(Polite)
    register(f"{__name__}:Lazy", name="lazy", media_type="text/plain", parameters=Polite.Parameters)
"""


@pytest.fixture
def polite(tmp_path: Path) -> Path:
    path = tmp_path / "polite.py"
    path.write_text(POLITE, encoding="utf-8")
    return path


def test_a_file_takes_part_where_it_is_named_and_nowhere_else(
    polite: Path, muniment: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = muniment("--plugin", polite, "generate", "polite", "Tea", "--times", "2")
    assert (done.code, done.out) == (0, "Tea, please Tea, please\n"), done.err
    assert muniment("generate", "lazy", "茶", "--plugin", polite).out == "茶, please\n"
    monkeypatch.chdir(polite.parent)
    refused = muniment("generate", "polite", "Tea")
    assert (refused.code, "no generator named 'polite'" in refused.err) == (2, True)


@pytest.mark.parametrize(
    "command", [("audit", "list"), ("plugins", "list"), ("db", "path"), ("models", "list")]
)
def test_every_command_refuses_an_unusable_file(
    polite: Path, muniment: Here, command: tuple[str, ...]
) -> None:
    other = polite.parent / "other" / polite.name
    other.parent.mkdir()
    other.write_text(POLITE, encoding="utf-8")
    for files, found in (
        ([polite.with_name("missing.py")], "missing.py"),
        ([polite.parent], f"plugins install {polite.parent}"),
        ([polite, other], "two single-file plugins have the name polite"),
    ):
        refused = muniment(*(f"--plugin={file}" for file in files), *command)
        assert (refused.code, refused.out, found in refused.err) == (2, "", True), refused.err
    assert muniment("--plugin", polite, "db", "path").code == 0


def test_the_record_has_the_files_name_no_version_and_its_digest(
    polite: Path, muniment: Here
) -> None:
    muniment("--plugin", polite, "generate", "polite", "Tea")
    (shown,) = muniment("audit", "show", "last", "--json").json("generation")
    digest = hashlib.sha256(polite.read_bytes()).hexdigest()
    assert {"distribution": "polite", "version": "", "digest": f"file-sha256:{digest}"} in (
        shown["plugins"]
    )
    assert muniment("audit", "verify", "--all").code == 0


def test_the_name_of_a_file_is_shown_without_a_space_for_its_version(
    polite: Path, muniment: Here
) -> None:
    assert "(polite)" in muniment("--plugin", polite, "generate", "polite", "--help").out
    muniment("--plugin", polite, "generate", "polite", "Tea")
    lines = muniment("audit", "show", "last", "--full").out.splitlines()
    assert any(re.fullmatch(r"plugin +polite  file-sha256:[0-9a-f]{64}", line) for line in lines)


def test_replay_takes_the_file_too_and_says_when_it_has_changed(
    polite: Path, processes: Processes
) -> None:
    assert processes("--plugin", polite, "generate", "polite", "Tea").code == 0
    (replayed,) = processes("--plugin", polite, "audit", "replay", "last", "--json").json("replay")
    assert (replayed["result"], replayed["differences"]) == ("exact", [])
    (impossible,) = processes("audit", "replay", "last", "--json").json("replay")
    assert impossible["result"] == "impossible"
    assert "polite" in impossible["detail"]
    polite.write_text(POLITE + "\n# changed\n", encoding="utf-8")
    (changed,) = processes("--plugin", polite, "audit", "replay", "last", "--json").json("replay")
    assert [difference["name"] for difference in changed["differences"]] == ["polite"]


def test_a_file_runs_in_a_worker_process_as_well(polite: Path, processes: Processes) -> None:
    done = processes("--plugin", polite, "generate", "polite", "Tea", "--isolate")
    assert (done.code, done.out) == (0, "Tea, please\n"), done.err
    (replayed,) = processes("--plugin", polite, "audit", "replay", "last", "--json").json("replay")
    assert replayed["result"] == "exact"


def test_without_a_file_that_is_broken_nothing_is_generated(
    tmp_path: Path, polite: Path, muniment: Here
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("def f(:")
    done = muniment("--plugin", broken, "--plugin", polite, "generate", "polite", "Tea")
    assert (done.code, done.out) == (1, "")
    assert "Error: plugin broken cannot be loaded: SyntaxError" in done.err
    assert muniment("--plugin", broken, "--help").code == 0
    assert muniment("--plugin", broken, "plugins", "list").err == ""


def test_what_cannot_be_a_plugin_is_said_in_a_sentence(
    tmp_path: Path, polite: Path, muniment: Here
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "my plugin.py").write_text("")
    other = tmp_path / "folder" / "polite.py"
    other.write_text(POLITE)
    for files, complaint in (
        (["gone.py"], "there is no file"),
        (["folder"], "is a folder; `muniment plugins install"),
        (["notes.txt"], "cannot be a plugin; name the file with letters"),
        (["my plugin.py"], "cannot be a plugin; name the file with letters"),
        (["polite.py", "folder/polite.py"], "two single-file plugins have the name polite"),
    ):
        options = [part for name in files for part in ("--plugin", tmp_path / name)]
        refused = muniment(*options, "generate", "polite", "Tea")
        assert refused.code == 2
        assert complaint in refused.err
    assert len(Plugins([], files=[polite, polite]).installed) == 1
    with pytest.raises(UsageError):
        Plugin.from_file(tmp_path / "gone.py")


def test_two_files_of_one_name_in_one_process_are_two_modules(tmp_path: Path) -> None:
    made = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "same.py").write_text(f"NUMBER = {number}\n")
        made.append(Plugin.from_file(folder / "same.py"))
    assert [plugin.load_module().NUMBER for plugin in made] == [1, 2]
    assert made[0].load_module() is made[0].load_module()
