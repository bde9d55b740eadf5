"""The prose rules of CONTRIBUTING.md that a test can check, over docstrings and help texts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from muniment.cli.root import root

ROOT = Path(__file__).parents[2]
PACKAGES = [
    ROOT / "core" / "muniment",
    *sorted(path.parent for path in ROOT.glob("plugins/*/muniment_*/__init__.py")),
]

MOST_WORDS = 25
_FORBIDDEN = re.compile(
    r"""\b(
      house | keepers? | befell | befalls? | mend(s|ed|ing)? | let(s|ting)?\ go\ of | in\ company
    | of\ another\ age | leaves?\ away | left\ away | leave\ -\w+\ away | look(s|ed)?\ after
    | whoever | whatever\ befalls | tables?\ to\ find\ by | cut\ short | brought\ along | spoilt
    | makes?\ way\ for | lay(s)?\ open | who\ asked | is\ no\ \w+,\ but | for\ good\b
    | say\ --\w+ | goes\ with\ that | believes? | believed | befits? | in\ one\ piece
    | are\ told | is\ told | nobody\ hears | knows\ better
    )\b""",
    re.VERBOSE | re.IGNORECASE,
)
# First words of a function's docstring that are not imperatives.
_NOT_IMPERATIVE = re.compile(
    r"^(The|A|An|What|Who|Whoever|Whether|That|Which|How|Where|When|Why|All|Every|Each|One|Some|"
    r"No|None|Nothing|This|These|It|Its|So|As|True|False|\w+s(?<!ss)(?<!Process)(?<!Focus))\b"
)
_BARE_CLAUSE = re.compile(r"(?:^|[.:;] )(What|Who|Whoever|That which|Whatever)\b")


class Doc(NamedTuple):
    """A docstring with the place where it stands."""

    where: str
    kind: str  # module, class, property or function
    text: str


def _module(path: Path, package: Path) -> str:
    return ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )


def _docs() -> Iterator[Doc]:
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            module = _module(path, package)
            yield from _docs_of(ast.parse(path.read_text(encoding="utf-8")), module)


def _docs_of(tree: ast.AST, where: str) -> Iterator[Doc]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        text = ast.get_docstring(node)
        if text is None:
            continue
        if isinstance(node, ast.Module):
            yield Doc(where, "module", text)
            continue
        kind = "class" if isinstance(node, ast.ClassDef) else "function"
        names = {ast.unparse(decorator) for decorator in node.decorator_list}
        if names & {"property", "cached_property", "functools.cached_property"}:
            kind = "property"
        yield Doc(f"{where}:{node.lineno} {node.name}", kind, text)


def _prose(text: str) -> str:
    """Return the sentences of a text: code becomes one word, blocks and lists are left out."""
    text = text.partition("\n\nExample:\n")[0]
    text = re.sub(r"\n\n(?: {2,}|\|)[^\n]*(?:\n(?: {2,}|\|)[^\n]*|\n(?=\n {2,}))*", "\n\n", text)
    text = re.sub(r"``?[^`]+``?", "CODE", text)
    return text


def _sentences(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n|\n\s*[-*] ", _prose(text)):
        line = " ".join(paragraph.split())
        yield from (part for part in re.split(r"(?<=[.!?:])\s+(?=[A-Z`\d(])", line) if part)


def _faults(text: str) -> Iterator[str]:
    prose = " ".join(_prose(text).split())
    if found := _FORBIDDEN.search(prose):
        yield f"forbidden: {found.group()!r}"
    if ";" in prose:
        yield "semicolon"
    if found := _BARE_CLAUSE.search(prose):
        yield f"clause without a subject: {found.group()!r}"
    for sentence in _sentences(text):
        if len(sentence.split()) > MOST_WORDS:
            yield f"{len(sentence.split())} words: {sentence!r}"


def _commands(
    command: click.Command, context: click.Context
) -> Iterator[tuple[str, click.Command]]:
    yield context.command_path, command
    if isinstance(command, click.Group) and context.command_path not in (
        "muniment generate",
        "muniment shell",
    ):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            inner = click.Context(below, info_name=name, parent=context)
            yield from _commands(below, inner)


def _helps() -> Iterator[tuple[str, str, str]]:
    for path, command in _commands(
        root, click.Context(root, info_name="muniment", **root.context_settings)
    ):
        yield path, "command", command.help or ""
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                yield f"{path} {parameter.opts[0]}", "option", parameter.help or ""


@pytest.mark.parametrize("kind", ["module", "class", "property", "function"])
def test_docstrings_follow_the_prose_rules(kind: str) -> None:
    faults = [
        f"{doc.where}: {fault}"
        for doc in _docs()
        if doc.kind == kind
        for fault in _faults(doc.text)
    ]
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)


def test_docstrings_of_functions_begin_with_an_imperative() -> None:
    faults = [
        f"{doc.where}: {doc.text.splitlines()[0]}"
        for doc in _docs()
        if doc.kind == "function" and _NOT_IMPERATIVE.match(doc.text)
    ]
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)


def test_docstrings_of_classes_and_properties_begin_with_a_noun_phrase() -> None:
    verbs = r"^(Return|Raise|Give|Get|Take|Make|Do|Be|Let|Have|What|Who|How|That|Which|Where)\b"
    faults = [
        f"{doc.where}: {doc.text.splitlines()[0]}"
        for doc in _docs()
        if doc.kind in ("class", "property") and re.match(verbs, doc.text)
    ]
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)


def test_help_texts_follow_the_prose_rules() -> None:
    faults = []
    for where, kind, text in _helps():
        if not text:
            faults.append(f"{where}: no help")
        faults += [f"{where}: {fault}" for fault in _faults(text)]
        if kind == "command" and _NOT_IMPERATIVE.match(text):
            faults.append(f"{where}: not an imperative: {text.splitlines()[0]}")
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)
