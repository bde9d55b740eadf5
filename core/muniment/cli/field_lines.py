"""The fields of one record, as lines of a name and a value."""

from __future__ import annotations

from collections.abc import Iterable

from muniment.cli.output import on_terminal, one_line, printable, write_data, write_styled
from muniment.cli.values import cell, coloured, status_colour


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and aligned values, without those that are empty.

    On a terminal, values are wrapped between words. A value with a word that is too long for the
    space after its name begins on the next line. Statuses are coloured.
    """
    lines = [(one_line(name), text) for name, value in fields if (text := cell(value))]
    width = max((len(name) for name, _ in lines), default=0) + 2
    if not on_terminal():
        for name, text in lines:
            parts = text.removesuffix("\n").split("\n")
            write_data(f"{name:<{width}}" + f"\n{'':<{width}}".join(parts))
        return
    from muniment.cli import wrapping

    columns = wrapping.terminal_width()
    for name, text in lines:
        value, indent = printable(text.removesuffix("\n")).expandtabs(), width
        if wrapping.least_width(value) > columns - width:
            write_styled(name)
            name, indent = "", 2
        parts = wrapping.wrapped(value, columns - indent)
        parts = [coloured(part, status_colour(name, text)) for part in parts]
        write_styled(f"{name:<{indent}}" + f"\n{'':<{indent}}".join(parts))
