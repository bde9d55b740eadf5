"""`muniment audit diff` and `lineage`: generations beside one another."""

from __future__ import annotations

from collections.abc import Sequence
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
)

if TYPE_CHECKING:
    from muniment.diff import Change, Difference
    from muniment.store.queries.lineage import Lineage
    from muniment.types import Generation

_MARKS = {"same": ("", ""), "removed": ("[-", "-]"), "added": ("{+", "+}")}
_COLOURS = {"removed": "red", "added": "green"}


@click.command
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@json_option
@click.pass_obj
def diff(context: CliContext, first: str, second: str, as_json: bool) -> None:
    """Show what differs between two generations.

    Parameters, environment, prompt and output are compared; texts word by word, Chinese character
    by character. `[-…-]` was removed, `{+…+}` added on the way from A to B.
    """
    from muniment.diff import differences

    store = context.store
    a, b = (store.generation(store.find(reference)) for reference in (first, second))
    found = differences(a, b)
    if as_json:
        groups = ("fields", "parameters", "environment", "outputs")
        write_json(
            {
                "a": a.id,
                "b": b.id,
                "same": not found,
                **{
                    group: [_difference_json(item) for item in getattr(found, group)]
                    for group in groups
                },
                "texts": [
                    {
                        "name": text.name,
                        "changes": [{"kind": kind, "text": part} for kind, part in text.changes],
                    }
                    for text in found.texts
                ],
            }
        )
        return
    write_data(f"{short_id(a.id)} → {short_id(b.id)}{'' if found else '  no difference'}")
    for title, items in (
        ("", found.fields),
        ("parameters", found.parameters),
        ("environment", found.environment),
        ("", found.outputs),
    ):
        for item in items:
            name = f"{title}: {item.name}" if title else item.name
            sides: list[Change] = []
            if item.a is not None:
                sides.append(("removed", _shown(item.a)))
            if item.b is not None:
                sides.append(("added", _shown(item.b)))
            data_changes(f"{name}  ", sides, between=" ")
    for text in found.texts:
        write_data(f"\n{text.name}")
        data_changes("", text.changes)


def data_changes(prefix: str, changes: Sequence[Change], between: str = "") -> None:
    """Write changes to standard output, coloured on a terminal."""
    shown = []
    for kind, part in changes:
        before, after = _MARKS[kind]
        marked = f"{before}{printable(part)}{after}"
        shown.append(coloured(marked, _COLOURS[kind]) if kind in _COLOURS else marked)
    click.echo(prefix + between.join(shown))


def _difference_json(item: Difference) -> dict[str, Any]:
    return {"name": item.name, "a": item.a, "b": item.b}


def _shown(value: Any) -> str:
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
    """Draw what a generation was made from, and what from it.

    Its other attempts, which are generations for the same line of a batch, are drawn as well. The
    generation itself is marked `*`.
    """
    store = context.store
    id = store.find(reference)
    found = store.lineage(id)
    if as_json:
        write_json(
            {
                "id": id,
                "whole": found.whole,
                "generations": [
                    {
                        "id": item.id,
                        "run_id": item.run_id,
                        "line": item.line,
                        "attempt": found.attempts.get(item.id),
                        "status": item.status,
                        "generator": item.generator,
                        "parents": list(item.parents),
                        "started_at": item.to_json()["started_at"],
                    }
                    for item in found.generations
                ],
            }
        )
        return
    for line in _tree(found, id):
        write_data(line)
    if not found.whole:
        write_data("… and more than can be shown")


def _tree(found: Lineage, id: str) -> list[str]:
    """Return the lines of a drawing; what has several parents is drawn once and named again."""
    known = {item.id: item for item in found.generations}
    children: dict[str, list[str]] = {}
    for item in found.generations:
        for parent in dict.fromkeys(item.parents):
            children.setdefault(parent, []).append(item.id)
    roots = [item.id for item in found.generations if not any(p in known for p in item.parents)]
    lines: list[str] = []
    drawn: set[str] = set()
    # (id, what stands before it, what stands before its children)
    left = [(root, "", "") for root in reversed(roots)]
    while left:
        at, lead, indent = left.pop()
        again = " (see above)" if at in drawn else ""
        lines.append(lead + _line(known[at], found.attempts.get(at), at == id) + again)
        if again:
            continue
        drawn.add(at)
        below = children.get(at, [])
        for number, child in enumerate(reversed(below)):
            last = number == 0
            left.append(
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
