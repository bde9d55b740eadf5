"""Every code block of the README and the documentation runs.

`console` blocks run line by line in a shell (`# exits with N` states another exit code than 0),
`python` blocks run in an interpreter, `yaml` blocks are policies or designs, and a block with
`file=NAME` is written to that file first. `text` blocks are not code. `make` lines are what runs
these tests.

A stub stands for the language model; the first two pages run with the model itself, too.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import site
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from muniment.generation import policy
from muniment_analysis.controllability.experiment_design import parse_design
from muniment_installer.environment import Environment
from muniment_installer.wheels import repack
from support import diffusion, stub_text
from support.commands import Here
from support.sharing import once

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"[|&;<>$`*]")  # what only a shell understands
BUILDING = "hatchling packaging pathspec pluggy setuptools tomlkit trove-classifiers".split()
INSTALLS = re.compile(r"^\$ .*\b(pip|plugins) (install|restore|uninstall)\b", re.MULTILINE)
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
def wheels(shared: Path) -> Path:
    """A folder with the wheels of what builds a plugin, so that no page needs a network."""

    def build(folder: Path) -> None:
        here = Environment.here()
        present = here.present()
        for name in BUILDING:
            repack(present[name], here, folder)

    return once(shared / "wheels-to-build", build)


@pytest.fixture
def page_folder(tmp_path: Path, home: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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
        "datasette": "from datasette.cli import cli; cli()",
        "muniment": "import sys; from muniment.cli import main; sys.exit(main())",
        "muniment-verify": "import sys; from muniment.verifier import main; sys.exit(main())",
        "pip": "from pip._internal.cli.main import main; import sys; sys.exit(main())",
    }.items():
        script = environment / "bin" / name
        script.write_text(f"#!{environment}/bin/python\n{call}\n")
        script.chmod(0o755)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{environment}/bin{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("MUNIMENT_STORE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path / ".local"))
    assert site.ENABLE_USER_SITE is not None
    return tmp_path


@pytest.fixture
def stub(page_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where a stub answers in place of the language model, and brings its model."""
    plugins = page_folder / ".stub"
    plugins.mkdir()
    stub_text.install(plugins)
    monkeypatch.setenv("PYTHONPATH", str(plugins))
    monkeypatch.syspath_prepend(str(plugins))
    return page_folder


@pytest.fixture
def downloads(request: pytest.FixtureRequest, page_folder: Path) -> None:
    """Put the files into the folder that a page takes for downloaded ones."""
    if request.getfixturevalue("page").name == "use-stable-diffusion.md":
        pipeline = diffusion.make_pipeline(page_folder / "stable-diffusion", flagged=False)
        diffusion.make_lora(page_folder / "style.safetensors", pipeline)
        diffusion.make_controlnet(page_folder / "edges")


@pytest.fixture
def muniment(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    """The command line in this process."""
    return Here(capfd, monkeypatch)


def pages_as_cases() -> Iterator[ParameterSet]:
    """The pages; those that install plugins with pip, but for the README, take longest."""
    for page in PAGES:
        slow = INSTALLS.search(page.read_text(encoding="utf-8")) and page.name != "README.md"
        marks = pytest.mark.integration if slow else ()
        yield pytest.param(page, id=str(page.relative_to(ROOT)), marks=marks)


@pytest.mark.usefixtures("downloads")
@pytest.mark.parametrize("page", pages_as_cases())
def test_every_code_block_of_the_page_runs(page: Path, stub: Path, muniment: Here) -> None:
    run_blocks(page, stub, muniment)


@pytest.mark.integration
@pytest.mark.model
@pytest.mark.parametrize(
    "page",
    ["README.md", "docs/tutorial/first-generation.md", "docs/tutorial/first-generation.zh-CN.md"],
)
def test_the_first_pages_run_with_the_default_model(
    page: str, page_folder: Path, home: Path, gemma_home: Path
) -> None:
    shutil.copytree(gemma_home, home, copy_function=os.link)
    run_blocks(ROOT / page, page_folder)


def test_the_demo_runs(stub: Path) -> None:
    run(["bash", "examples/demo.sh"], 0)


def run_blocks(page: Path, page_folder: Path, muniment: Here | None = None) -> None:
    """Run a page; where `muniment` is given, plain commands of it run in this process.

    They need a process of their own as soon as the page has changed what is installed.
    """
    for block in blocks_of(page):
        if block.file is not None:
            target = page_folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.body, encoding="utf-8")
        match block.language:
            case "console":
                muniment = run_console(block.body, muniment)
            case "python" if block.file is None:
                run(["python", "-W", "error::SyntaxWarning", "-c", block.body], 0)
            case "yaml" if "settings:" in block.body:
                parse_design(block.body, str(page))
            case "yaml":
                policy.parse_policy(block.body, str(page))
            case "toml":
                tomllib.loads(block.body)
            case _:
                pass


def run_console(body: str, muniment: Here | None) -> Here | None:
    """Run the commands of a block; return what runs those of the next."""
    for line in body.splitlines():
        if not line.startswith("$ ") or line.startswith("$ make "):
            continue
        command = line[2:]
        if INSTALLS.search(f"$ {command}"):
            muniment = None
        expected = EXITS.search(command)
        code = int(expected.group(1)) if expected else 0
        if muniment is None or not command.startswith("muniment ") or SHELL.search(command):
            run(["bash", "-c", command], code)
        else:
            done = muniment(*shlex.split(command, comments=True)[1:])
            assert done.code == code, (command, done)
    return muniment


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


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    links = re.findall(r"\]\(([^)#:]+)\)", index.read_text(encoding="utf-8"))
    listed = {(index.parent / target).resolve() for target in links}
    pages = {page for page in PAGES if page.parent != ROOT and "decisions" not in page.parts}
    assert pages - {index} == pages & listed
