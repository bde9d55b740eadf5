"""Every code block of the README and the documentation runs.

`console` blocks run line by line in a shell (`# exits with N` states another exit code than 0),
`python` blocks run in an interpreter, `yaml` blocks are policies, and a block with `file=NAME` is
written to that file first. `text` blocks are not code. `make` lines are what runs these tests.
"""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from muniment.generation import policy
from muniment.installing.environment import Environment
from muniment.installing.wheels import repack

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXITS = re.compile(r"#\s*exits with (\d+)")


@dataclass
class Block:
    language: str
    attributes: str
    body: str

    @property
    def file(self) -> str | None:
        found = re.search(r"file=(\S+)", self.attributes)
        return found and found.group(1)


def blocks_of(page: Path) -> list[Block]:
    return [Block(*match.groups()) for match in FENCE.finditer(page.read_text(encoding="utf-8"))]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of what builds a plugin, so that no page needs a network."""
    folder = tmp_path_factory.mktemp("wheels")
    here = Environment.here()
    present = here.present()
    for name in ("hatchling", "packaging", "pathspec", "pluggy", "trove-classifiers"):
        repack(present[name], here, folder)
    return folder


@pytest.fixture
def desk(tmp_path: Path, gemma_home: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an environment of its own, which sees what is installed here."""
    environment = tmp_path / ".venv"
    venv.create(environment, with_pip=False, symlinks=True)
    library = next((environment / "lib").glob("python*/site-packages"))
    packages = [path for path in sys.path if path.endswith("site-packages")]
    # addsitedir, so that editable installs (their .pth files) are seen too
    (library / "here.pth").write_text(
        "\n".join(f"import site; site.addsitedir({path!r})" for path in packages)
    )
    for name, call in {
        "muniment": "import sys; from muniment.cli import main; sys.exit(main())",
        "muniment-verify": "import sys; from muniment.verifier import main; sys.exit(main())",
        "pip": "from pip._internal.cli.main import main; import sys; sys.exit(main())",
    }.items():
        script = environment / "bin" / name
        script.write_text(f"#!{environment}/bin/python\n{call}\n")
        script.chmod(0o755)
    home = tmp_path / "home"
    shutil.copytree(gemma_home, home, copy_function=os.link)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{environment}/bin{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MUNIMENT_HOME", str(home))
    monkeypatch.delenv("MUNIMENT_STORE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path / ".local"))
    assert site.ENABLE_USER_SITE is not None
    return tmp_path


@pytest.mark.model
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_code_block_of_the_page_runs(page: Path, desk: Path) -> None:
    for block in blocks_of(page):
        if block.file is not None:
            target = desk / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.body, encoding="utf-8")
        match block.language:
            case "console":
                run_console(block.body)
            case "python" if block.file is None:
                run(["python", "-W", "error::SyntaxWarning", "-c", block.body], 0)
            case "yaml":
                policy.parse(block.body, str(page))
            case "toml":
                tomllib.loads(block.body)
            case _:
                pass


def run_console(body: str) -> None:
    for line in body.splitlines():
        if not line.startswith("$ ") or line.startswith("$ make "):
            continue
        command = line[2:]
        if command.startswith("muniment models add gemma-3-270m"):
            command += " --name another-gemma && muniment models remove --yes another-gemma"
        expected = EXITS.search(command)
        run(["bash", "-c", command], int(expected.group(1)) if expected else 0)


def run(command: list[str], expected: int) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == expected, (command, done.returncode, done.stdout, done.stderr)


def test_links_between_the_pages_lead_somewhere() -> None:
    broken = [
        (page.name, target)
        for page in PAGES
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken
