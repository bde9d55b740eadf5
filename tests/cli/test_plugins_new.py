"""`muniment plugins new` writes distributions that install, run and pass their tests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.commands import Here
from support.environments import python_with_packages

KINDS = ("generator", "filter", "evaluator", "media_type", "command")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own, which sees what is installed here."""
    return python_with_packages(tmp_path_factory.mktemp("environment")).parents[1]


def run(*command: str | Path, cwd: Path, home: Path) -> str:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MUNIMENT_", "PYTEST_", "PYTHON"))
    }
    done = subprocess.run(
        list(command),
        cwd=cwd,
        env={**kept, "MUNIMENT_HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.integration
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_installs_passes_its_tests_and_runs(
    kind: str, environment: Path, tmp_path: Path, muniment: Here
) -> None:
    name = f"my-{kind.replace('_', '-')}"
    made = muniment("plugins", "new", name, "--kind", kind, "--into", tmp_path)
    assert made.code == 0, made.err
    folder = tmp_path / f"muniment-{name}"
    assert made.out == f"{folder}\n"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        *("pyproject.toml", f"muniment_my_{kind}.py", "README.md"),
        *("tests/test_contract.py", ".github/workflows/test.yml"),
    }
    assert not [path for path in files if re.search("@[A-Z_]+@", (folder / path).read_text())]
    run(
        *(sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install"),
        *("--quiet", "--no-deps", "--no-index", "--no-build-isolation", folder),
        cwd=tmp_path,
        home=tmp_path,
    )
    python = environment / "bin" / "python"
    said = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder, home=tmp_path)
    assert "failed" not in said
    assert "skipped" not in said
    module = folder / f"muniment_my_{kind}.py"
    whole = module.read_text()
    module.write_text("raise RuntimeError('the file here')\n")
    with pytest.raises(AssertionError, match="the file here"):  # not the copy that is installed
        run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder, home=tmp_path)
    module.write_text(whole)
    command = (python, "-m", "muniment")
    (tmp_path / "config.toml").write_text('policy = "none"\n')
    if kind == "generator":
        asked = ("generate", "my-generator", "to be", "--times", "2", "--json")
        done = json.loads(run(*command, *asked, cwd=tmp_path, home=tmp_path))
        assert (done["status"], len(done["outputs"][0]["text"].split())) == ("completed", 4)
        assert "my-evaluator" not in {score["evaluator"] for score in done["scores"]}
    if kind == "filter":
        policy = tmp_path / "team.yaml"
        policy.write_text("{policy: team, version: 1, filters: [{filter: my-filter}]}")
        assert "my-filter" in run(*command, "policy", "show", policy, cwd=tmp_path, home=tmp_path)
    if kind == "command":
        assert "my-command" in run(*command, "--help", cwd=tmp_path, home=tmp_path)
        assert "--since" in run(*command, "my-command", "--help", cwd=tmp_path, home=tmp_path)


@pytest.mark.parametrize("name", ["shuffle", "muniment-shuffle", "a1-b2", "none", "class"])
def test_any_name_that_is_taken_makes_python_that_compiles(
    name: str, tmp_path: Path, muniment: Here
) -> None:
    for kind in KINDS:
        into = tmp_path / kind
        into.mkdir()
        made = muniment("plugins", "new", name, "--kind", kind, "--into", into)
        folder = into / f"muniment-{name.removeprefix('muniment-')}"
        assert (made.code, made.out) == (0, f"{folder}\n"), made.err
        for path in folder.rglob("*.py"):
            compile(path.read_text(encoding="utf-8"), str(path), "exec")
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        assert project["project"]["name"] == folder.name
        assert project["project"]["dependencies"] == ["muniment>=0.1,<0.2"]


def test_nothing_that_is_there_is_overwritten(tmp_path: Path, muniment: Here) -> None:
    folder = tmp_path / "muniment-shuffle"
    folder.mkdir()
    (folder / "README.md").write_text("mine")
    refused = muniment("plugins", "new", "shuffle", "--kind", "filter", "--into", tmp_path)
    assert refused.code == 2
    assert "exists already" in refused.err
    assert [path.name for path in folder.iterdir()] == ["README.md"]
    (tmp_path / "muniment-taken").write_text("a file")
    assert muniment("plugins", "new", "taken", "--kind", "filter", "--into", tmp_path).code == 2


@pytest.mark.parametrize(
    ("name", "kind", "owner"),
    [
        ("text", "generator", "muniment-text"),
        ("text", "filter", "muniment-text"),
        ("muniment-text", "command", "muniment-text"),
        ("installer", "evaluator", "muniment-installer"),
        ("dots", "generator", "test-dots"),
        ("words", "filter", "test-words"),
    ],
)
def test_the_name_of_an_installed_plugin_is_refused(
    name: str, kind: str, owner: str, tmp_path: Path, muniment: Here
) -> None:
    refused = muniment("plugins", "new", name, "--kind", kind, "--into", tmp_path)
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert f"taken by {owner}" in refused.err
    assert not list(tmp_path.glob("muniment-*"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("Shuffle", "--kind", "filter"), "'Shuffle' is not a name for a plugin; use a-z"),
        (("../evil", "--kind", "filter"), "is not a name for a plugin"),
        (("a--b", "--kind", "filter"), "is not a name for a plugin"),
        (("1st", "--kind", "filter"), "is not a name for a plugin"),
        (("a" * 51, "--kind", "filter"), "50 characters at most"),
        (
            ("shuffle", "--kind", "painter"),
            "is not one of 'generator', 'filter'",
        ),
        (("audit", "--kind", "command"), "is a command of Muniment itself"),
        (("shuffle",), "Missing option '--kind'"),
        (("shuffle", "--kind", "filter", "--into", "no/such"), "No such file or directory"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_sentence(
    arguments: tuple[str, ...],
    complaint: str,
    tmp_path: Path,
    muniment: Here,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    refused = muniment("plugins", "new", *arguments)
    assert refused.code in (1, 2)
    assert complaint in refused.err
    assert sorted(tmp_path.rglob("*")) == before
