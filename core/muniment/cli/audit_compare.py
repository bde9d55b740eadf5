"""The commands `muniment audit diff` and `muniment audit lineage`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from muniment.cli.context import CliContext
from muniment.cli.options import json_option
from muniment.cli.output import (
    coloured,
    moment,
    one_line,
    printable,
    short_id,
    write_data,
    write_json,
    write_styled,
)
from muniment.diff import differences
from muniment.types import Generation

if TYPE_CHECKING:
    from muniment.store.queries.finder import Lineage

_MARKS = {"same": ("", ""), "removed": ("[-", "-]"), "added": ("{+", "+}")}
_COLOURS = {"removed": "red", "added": "green"}


@click.command
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@json_option
@click.pass_obj
def diff(context: CliContext, first: str, second: str, as_json: bool) -> None:
    """Show the differences between two generations.

    Compares parameters, environment, prompt and output. Texts are compared word by word, Chinese
    character by character. `[-…-]` marks text of A only, `{+…+}` text of B only.
    """
    store = context.store
    a, b = (store.generation(store.find(reference)) for reference in (first, second))
    differing = differences(a, b)
    if as_json:
        write_json(
            {
                "a": a.id,
                "b": b.id,
                "same": not differing,
                "fields": differing.fields,
                "parameters": differing.parameters,
                "environment": differing.environment,
                "outputs": differing.outputs,
                "texts": [
                    {
                        "name": text.name,
                        "changes": [{"kind": kind, "text": part} for kind, part in text.changes],
                    }
                    for text in differing.texts
                ],
            }
        )
        return
    write_data(f"{short_id(a.id)} → {short_id(b.id)}{'' if differing else '  no difference'}")
    for title, items in (
        ("", differing.fields),
        ("parameters: ", differing.parameters),
        ("environment: ", differing.environment),
        ("", differing.outputs),
    ):
        for item in items:
            sides = (("removed", item.a), ("added", item.b))
            values = [(kind, _value_text(value)) for kind, value in sides if value is not None]
            write_styled(f"{title}{item.name}  {' '.join(_marked(values))}")
    for text in differing.texts:
        write_data(f"\n{text.name}")
        write_styled("".join(_marked(text.changes)))


def _marked(changes: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the texts of changes with marks, coloured on a terminal."""
    for kind, text in changes:
        before, after = _MARKS[kind]
        marked = f"{before}{printable(text)}{after}"
        yield coloured(marked, _COLOURS[kind]) if kind in _COLOURS else marked


def _value_text(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['media_type']}, {value['bytes']:,} bytes, sha256 {value['sha256']}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


@click.command
@click.argument("reference", metavar="ID")
@json_option
@click.pass_obj
def lineage(context: CliContext, reference: str, as_json: bool) -> None:
    """Show parents and children of a generation.

    Shows all ancestors and descendants, and the other attempts at the same line of a batch. The
    generation itself is marked `*`.
    """
    store = context.store
    id = store.find(reference)
    family = store.lineage(id)
    if as_json:
        write_json(
            {
                "id": id,
                "whole": family.whole,
                "generations": [
                    {
                        "id": item.id,
                        "run_id": item.run_id,
                        "line": item.line,
                        "attempt": family.attempts.get(item.id),
                        "status": item.status,
                        "generator": item.generator,
                        "parents": list(item.parents),
                        "started_at": item.to_json()["started_at"],
                    }
                    for item in family.generations
                ],
            }
        )
        return
    for line in _tree(family, id):
        write_data(line)
    if not family.whole:
        write_data("… more generations, not shown")


def _tree(family: Lineage, id: str) -> list[str]:
    """Return the lines of a tree, in which a node with several parents is expanded only once."""
    by_id = {item.id: item for item in family.generations}
    children: dict[str, list[str]] = {}
    for item in family.generations:
        for parent in dict.fromkeys(item.parents):
            children.setdefault(parent, []).append(item.id)
    roots = [item.id for item in family.generations if not any(p in by_id for p in item.parents)]
    lines: list[str] = []
    expanded: set[str] = set()
    # Tuples of an id, the prefix of its line and the prefix of its children's lines.
    remaining = [(root, "", "") for root in reversed(roots)]
    while remaining:
        node, prefix, indent = remaining.pop()
        again = " (see above)" if node in expanded else ""
        lines.append(prefix + _line(by_id[node], family.attempts.get(node), node == id) + again)
        if again:
            continue
        expanded.add(node)
        below = children.get(node, [])
        for number, child in enumerate(reversed(below)):
            last = number == 0
            remaining.append(
                (child, indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  "))
            )
    return lines


def _line(item: Generation, attempt: int | None, marked: bool) -> str:
    parts = [
        short_id(item.id) + (" *" if marked else ""),
        moment(item.started_at),
        item.status,
        item.generator,
    ]
    if item.line is not None:
        parts.append(f"line {item.line}, attempt {attempt}")
    return one_line("  ".join(parts))
