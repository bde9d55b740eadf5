"""Documentation that cannot rot: every hook, public name and command is documented and tested."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import click
import pytest

import muniment
import muniment.command
import muniment.installation
import muniment.provenance
import muniment.testing
from muniment import hookspecs
from muniment.testing import fixtures
from support.commands import ROOT

REFERENCE = ROOT / "docs" / "reference"
FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def made_by(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REFERENCE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


maker = made_by("make_api")
HOOKS = list(maker.hooks())


def command_paths() -> list[str]:
    from muniment.cli.root import root

    maker = made_by("make_cli")
    found = maker.commands(root, maker.root_context())
    return [c.command_path for c in found if not isinstance(c.command, click.Group)]


@cache
def pages() -> dict[Path, str]:
    paths = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("plugins/*/README.md")]
    return {path: path.read_text(encoding="utf-8") for path in paths}


@cache
def what_runs() -> str:
    """What runs in the tests: their own source, and the code blocks of the pages."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    blocks = [match[3] for page in pages().values() for match in FENCE.finditer(page)]
    return "\n".join([*sources, *blocks])


@cache
def words_in_a_row() -> set[tuple[str, ...]]:
    """Texts that stand side by side in the calls of the tests, such as ("audit", "show")."""
    found: set[tuple[str, ...]] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            held = [*getattr(node, "args", [])] if isinstance(node, ast.Call) else []
            held = node.elts if isinstance(node, ast.List | ast.Tuple) else held
            held = [item.value if isinstance(item, ast.Starred) else item for item in held]
            texts = [item.value if isinstance(item, ast.Constant) else None for item in held]
            said = [text for text in texts if isinstance(text, str)]
            words = [part for text in said for part in text.split()]
            for size in (1, 2, 3):
                found |= {tuple(words[at : at + size]) for at in range(len(words))}
    return found


# ---- documented, with the exact signature --------------------------------------------------------


def test_the_page_of_every_public_name_is_what_the_code_says() -> None:
    page = (REFERENCE / "api.md").read_text(encoding="utf-8")
    assert page == maker.page(), "run python docs/reference/make_api.py"


def test_every_function_that_hooks_are_made_of_is_found() -> None:
    named = {name for name in vars(hookspecs) if name.startswith("muniment_")}
    assert set(HOOKS) == named
    assert HOOKS


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_in_the_contract_as_an_author_writes_it(name: str) -> None:
    hook = getattr(hookspecs, name)
    written = f"{name}({', '.join(inspect.signature(hook).parameters)})"
    assert f"`{written}`" in (REFERENCE / "plugins.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", muniment.testing.__all__ + fixtures.__all__)
def test_every_name_for_testing_is_in_the_contract(name: str) -> None:
    assert f"`{name}" in (REFERENCE / "plugins.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", muniment.command.__all__)
def test_every_name_for_commands_is_in_the_contract(name: str) -> None:
    page = (REFERENCE / "plugins.md").read_text(encoding="utf-8")
    assert re.search(rf"`@?{name}\b", page), name


@pytest.mark.parametrize("name", muniment.provenance.__all__)
def test_every_name_for_provenance_is_on_the_page_of_python(name: str) -> None:
    page = (REFERENCE / "python.md").read_text(encoding="utf-8")
    assert re.search(rf"`{name}\b", page), name


@pytest.mark.parametrize(
    "contract",
    [
        "GeneratorContract",
        "FilterContract",
        "EvaluatorContract",
        "MediaTypeContract",
        "CommandContract",
        "TrainingContract",
    ],
)
def test_every_check_and_setting_of_a_suite_is_in_the_contract(contract: str) -> None:
    page = (REFERENCE / "plugins.md").read_text(encoding="utf-8")
    suite = getattr(muniment.testing, contract)
    own = {name for kind in suite.__mro__[:-1] for name in kind.__annotations__}
    checks = {name for name in dir(suite) if name.startswith("test_")}
    assert checks
    assert [name for name in sorted(own | checks) if f"`{name}`" not in page] == []


@pytest.mark.parametrize("path", command_paths())
def test_every_command_is_in_the_reference_and_on_a_page_of_its_own(path: str) -> None:
    reference = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    assert f"## {path}\n" in reference
    assert f"Usage: {path} " in reference or f"Usage: {path}\n" in reference


# ---- tested --------------------------------------------------------------------------------------


@cache
def used_names() -> set[str]:
    """What tests and code blocks take from muniment: `muniment.X`, or imported from there."""
    found = set(re.findall(r"\b(?:muniment(?:\.testing)?|command)\.(\w+)", what_runs()))
    for said in re.findall(
        r"^\s*from muniment\S* import (\(.*?\)|.*?$)", what_runs(), re.MULTILINE | re.DOTALL
    ):
        found |= set(re.findall(r"\w+", said))
    return found


@pytest.mark.parametrize(
    "name",
    [
        *muniment.__all__,
        *muniment.command.__all__,
        *muniment.provenance.__all__,
        *muniment.testing.__all__,
    ],
)
def test_every_public_name_is_used_in_a_test(name: str) -> None:
    assert name in used_names()


@pytest.mark.parametrize("name", HOOKS + fixtures.__all__)
def test_every_hook_and_fixture_is_used_in_a_test(name: str) -> None:
    assert re.search(rf"def {name}\(|def test_\w+\(.*\b{name}\b", what_runs())


@pytest.mark.parametrize("path", command_paths())
def test_every_command_is_called_in_a_test(path: str) -> None:
    words = tuple(path.split()[1:])
    if words[-1] == "NAME":  # whatever generators are installed
        words = words[:-1]
    shown = re.search(rf"^\$ muniment .*{' '.join(words)}\b", what_runs(), re.MULTILINE)
    assert shown or words in words_in_a_row(), path


def test_the_first_tutorial_takes_ten_commands_and_forty_lines() -> None:
    page = (ROOT / "docs" / "tutorial" / "first-plugin.md").read_text(encoding="utf-8")
    blocks = list(FENCE.finditer(page))
    written = [
        line for b in blocks if "file=" in b[2] for line in b[3].splitlines() if line.strip()
    ]
    commands = [line for b in blocks if b[1] == "console" for line in b[3].splitlines()]
    assert all(line.startswith("$ ") for line in commands)
    assert (len(commands), len(written)) == (10, 37), "and say so at the top of the page"
    assert "ten commands, and 37 lines" in page


def test_every_name_for_installers_is_used_by_the_installer() -> None:
    folder = ROOT / "plugins" / "installer" / "muniment_installer"
    source = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    unused = [
        name for name in muniment.installation.__all__ if not re.search(rf"\b{name}\b", source)
    ]
    assert unused == []
