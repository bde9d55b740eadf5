"""Write every public name into docs/reference/api.md: python docs/reference/make_api.py."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click

import muniment
import muniment.command
import muniment.installation
import muniment.testing
from muniment import hookspecs
from muniment.testing import fixtures

PAGE = Path(__file__).with_name("api.md")

_ALIASES = ("typing", "types", "collections.abc")  # modules of the aliases of types

MARK = "<!-- what follows is written by make_api.py -->\n"


def hooks() -> dict[str, Any]:
    """Return the hooks by name: what a plugin's module may define."""
    return {
        name: value
        for name, value in vars(hookspecs).items()
        if callable(value) and hasattr(value, "muniment_spec")
    }


def names(module: ModuleType) -> dict[str, Any]:
    """Return what a module exports, by name."""
    return {name: getattr(module, name) for name in module.__all__}


def pytest_fixtures() -> dict[str, Any]:
    """Return the fixtures of `muniment.testing.fixtures` as the functions they are made of."""
    return {name: inspect.unwrap(getattr(fixtures, name)) for name in fixtures.__all__}


def signature(name: str, value: Any) -> str:
    """Return a callable's signature as one would write it; of anything else, its name."""
    if isinstance(value, str):
        return f"{name} = {value!r}"
    if not isinstance(value, type) and type(value).__module__ in _ALIASES:
        return f"{name} = {str(value).replace('typing.', '').replace('collections.abc.', '')}"
    if not callable(value) or name == "hookimpl":
        return name
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return name
    said: list[str] = []
    star = False
    positional = False
    for parameter in found.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if positional and parameter.kind is not parameter.POSITIONAL_ONLY:
            said.append("/")
        positional = parameter.kind is parameter.POSITIONAL_ONLY
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            said.append("*")
        star = star or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        said.append(_parameter(parameter))
    returned = found.return_annotation
    result = "" if returned is found.empty or isinstance(value, type) else f" -> {_plain(returned)}"
    return f"{name}({', '.join(said)}){result}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = f"{stars}{parameter.name}"
    if parameter.annotation is not parameter.empty:
        text += f": {_plain(parameter.annotation)}"
    if parameter.default is not parameter.empty:
        default = repr(parameter.default)
        text += f" = {'...' if default.startswith('<') else default}"
    return text


def _plain(annotation: object) -> str:
    if isinstance(annotation, str):
        return annotation
    return getattr(annotation, "__name__", str(annotation))


def members(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield a class's own public methods and properties, in the order of the source."""
    if isinstance(value, type) and value.__module__.startswith("muniment"):
        for name, member in vars(value).items():
            if name.startswith(("_", "test_")):
                continue
            if isinstance(member, property):
                yield name, member
            elif inspect.isroutine(member):
                yield name, getattr(value, name)


def is_option(value: Any) -> bool:
    """Return whether something is a decorator of click's that adds an option."""
    return inspect.isfunction(value) and value.__module__.startswith("click.")


def option_help(decorator: Any) -> str:
    """Return the option that a decorator adds, with its help."""

    @decorator
    def command() -> None: ...

    (option,) = command.__click_params__  # type: ignore[attr-defined]
    assert isinstance(option, click.Option)
    return f"Adds the option `{'/'.join(option.opts)}`, as `{option.name}`: {option.help}"


def sentence(value: Any) -> str:
    """Return the first paragraph of what something says of itself, in one line."""
    documentation = inspect.getdoc(value) or ""
    return " ".join(documentation.partition("\n\n")[0].split())


def section(title: str, found: dict[str, Any]) -> str:
    """Return one section: each name with its signature and what it is."""
    lines = [f"## {title}\n"]
    for name, value in found.items():
        if is_option(value):
            lines.append(f"### {name}\n\n```text\n@{name}\n```\n\n{option_help(value)}\n")
            continue
        lines.append(f"### {name}\n\n```text\n{signature(name, value)}\n```\n")
        described = isinstance(value, type) or inspect.isroutine(value)
        if name != "hookimpl" and described and sentence(value):
            lines.append(f"{sentence(value)}\n")
        rows = []
        for member, what in members(value):
            shown = member if isinstance(what, property) else signature(member, what)
            rows.append(f"- `{shown}`: {sentence(what)}")
        rows += [
            f"- `{name.removeprefix('test_')}`: {sentence(what)}"
            for name, what in inspect.getmembers(value, inspect.isfunction)
            if name.startswith("test_")
        ]
        if rows:
            lines.append("\n".join(rows) + "\n")
    return "\n".join(lines)


def page() -> str:
    """Return the whole page: what stands above the mark, then the names."""
    head, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    sections = (
        section("Hooks", hooks()),
        section("muniment", names(muniment)),
        section("muniment.command", names(muniment.command)),
        section("muniment.testing", names(muniment.testing)),
        section("muniment.testing.fixtures", pytest_fixtures()),
        section("muniment.installation", names(muniment.installation)),
    )
    return head + "\n".join([mark, *sections])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.exit(0)
