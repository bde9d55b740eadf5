"""The public API: every name can be had, says what it is, and costs nothing before its use."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import muniment
import muniment.command
import muniment.installation
import muniment.provenance
import muniment.testing


def modules_after(program: str) -> set[str]:
    """Return the names of the modules that a program has imported."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("name", muniment.__all__)
def test_every_public_name_can_be_had_and_says_what_it_is(name: str) -> None:
    value = getattr(muniment, name)
    documentation = inspect.getdoc(value) if name != "hookimpl" else "a marker of pluggy's"
    assert documentation
    assert not documentation.startswith(f"{name}("), "a dataclass without words of its own"


@pytest.mark.parametrize("name", muniment.__all__)
def test_every_public_method_says_what_it_does(name: str) -> None:
    value = getattr(muniment, name)
    if isinstance(value, type):
        for method, member in inspect.getmembers(value, inspect.isroutine):
            own = getattr(member, "__module__", None) or ""
            if not method.startswith("_") and own.startswith("muniment"):
                assert inspect.getdoc(member), f"{name}.{method}"


def test_the_names_are_those_that_type_checkers_see() -> None:
    tree = ast.parse(inspect.getsource(muniment))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname for node in imports for alias in node.names if alias.asname == alias.name}
    seen.remove("__version__")
    assert seen == set(muniment.__all__)
    assert set(muniment.__all__) <= set(dir(muniment))


_OTHERS = {
    *("None", "Literal", "ClassVar", "Export"),  # of Python, and of a class in it
    *("DigitalSourceType", "Invalid", "Trusted", "Valid"),  # terms of IPTC and C2PA
}


@pytest.mark.parametrize("page", ["python.md", "plugins.md"])
def test_every_name_that_the_reference_uses_is_public(page: str) -> None:
    root = Path(__file__).parents[2]
    text = (root / "docs" / "reference" / page).read_text(encoding="utf-8")
    named = set(re.findall(r"\bmuniment\.([A-Za-z]\w*)", text)) - {"v1", "db", "commands", "repair"}
    named |= set(re.findall(r"`([A-Z][a-z]+[A-Za-z]*)", text)) - _OTHERS
    assert "Generation" in named or "Generator" in named
    public = {*muniment.__all__, *muniment.testing.__all__, "testing", "command", "installation"}
    public |= {*muniment.command.__all__, *muniment.installation.__all__}
    public |= {"provenance", *muniment.provenance.__all__}
    assert named <= public, named - public


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'muniment' has no attribute 'nothing'"):
        muniment.nothing  # noqa: B018
    assert not hasattr(muniment, "Nothing")


HEAVY = {
    "alembic",
    "cryptography",
    "importlib.metadata",
    "jinja2",
    "numpy",
    "pydantic",
    "rich",
    "sqlalchemy",
    "tomlkit",
    "torch",
    "transformers",
    "yaml",
}


def test_importing_muniment_imports_next_to_nothing() -> None:
    plain = modules_after("")
    found = modules_after("import muniment") - plain
    assert not found & HEAVY
    ours = {name for name in found if name.split(".")[0] not in sys.stdlib_module_names}
    assert ours == {"muniment", "muniment._lazy", "muniment._version"}


def test_what_a_plugin_imports_is_light() -> None:
    program = (
        "import muniment\n"
        "for name in 'Generator Filter Evaluator Parameters param hookimpl Text Verdict'.split():\n"
        "    getattr(muniment, name)"
    )
    found = modules_after(program)
    assert not found & (HEAVY - {"importlib.metadata"})
    assert "muniment.store" not in found


def test_a_session_imports_no_heavy_library_of_a_model() -> None:
    found = modules_after("import muniment; muniment.open('/nonexistent').close()")
    assert not found & {"torch", "numpy", "transformers", "rich", "pydantic", "alembic"}


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert muniment.__version__ == version("muniment")


def test_listing_plugins_imports_no_plugin_and_not_even_the_contract() -> None:
    found = modules_after(
        "import contextlib, io\nfrom muniment.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()): main(['plugins', 'list'])"
    )
    assert "muniment.plugins.discovery" in found
    heavy = {
        "pluggy",
        "msgspec",
        "muniment.hookspecs",
        "muniment.types",
        "muniment.plugins.registry",
    }
    assert not found & (HEAVY - {"importlib.metadata"} | heavy)
    assert not [name for name in found if name.startswith(("muniment_text", "muniment_moderation"))]
