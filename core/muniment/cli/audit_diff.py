"""The command `muniment audit diff`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click

from muniment.cli.context import CliContext
from muniment.cli.options import isolate_option, json_option
from muniment.cli.output import one_line, printable, write_data, write_json, write_styled
from muniment.cli.values import coloured, short_id
from muniment.diff import OutputDifference, differences

_CHANGE_MARKS = {"same": ("", ""), "removed": ("[-", "-]"), "added": ("{+", "+}")}
_COLOURS = {"removed": "red", "added": "green"}


@click.command
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@isolate_option
@json_option
@click.pass_obj
def diff(context: CliContext, first: str, second: str, as_json: bool) -> None:
    """Show the differences between two generations.

    Compares parameters, environment, prompt, inputs and output. Texts are compared word by word,
    Chinese character by character. `[-…-]` marks text of A only, `{+…+}` text of B only. Erased
    and altered contents cannot be compared, and are named.
    """
    store = context.store
    a, b = (store.generation(store.find(reference)) for reference in (first, second))
    differing = differences(a, b, lambda first, second: context.media.compare(first, second))
    if as_json:
        write_json(
            {
                "a": a.id,
                "b": b.id,
                "same": not differing,
                "unavailable": differing.unavailable,
                "fields": differing.fields,
                "parameters": differing.parameters,
                "environment": differing.environment,
                "inputs": differing.inputs,
                "outputs": [_output_json(item) for item in differing.outputs],
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
    for lost in differing.unavailable:
        write_data(f"{lost.name}  cannot be compared: {lost.a} → {lost.b}")
    for title, items in (
        ("", differing.fields),
        ("parameters: ", differing.parameters),
        ("environment: ", differing.environment),
        ("", differing.inputs),
        ("", differing.outputs),
    ):
        for item in items:
            sides = (("removed", item.a), ("added", item.b))
            values = [(kind, _value_text(value)) for kind, value in sides if value is not None]
            name = one_line(f"{title}{item.name}")
            write_styled(f"{name}  {' '.join(_marked(values))}")
            if isinstance(item, OutputDifference) and item.comparison is not None:
                write_data(f"{item.name}  {one_line(str(item.comparison))}")
    for text in differing.texts:
        write_data(f"\n{text.name}")
        write_styled("".join(_marked(text.changes)))


def _output_json(item: OutputDifference) -> dict[str, Any]:
    comparison = item.comparison
    return {
        "name": item.name,
        "a": item.a,
        "b": item.b,
        "distance": comparison and comparison.distance,
        "unit": comparison and comparison.unit,
        "position": comparison and comparison.position,
    }


def _marked(changes: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the texts of changes with marks, coloured on a terminal."""
    for kind, text in changes:
        before, after = _CHANGE_MARKS[kind]
        marked = f"{before}{printable(text)}{after}"
        yield coloured(marked, _COLOURS[kind]) if kind in _COLOURS else marked


def _value_text(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['media_type']}, {value['bytes']:,} bytes, sha256 {value['sha256']}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
