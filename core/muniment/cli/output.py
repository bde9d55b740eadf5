"""Functions that print data on stdout and messages on stderr.

A terminal gets tables and shortened ids. A pipe or file gets tab-separated text, whole ids and
times in UTC. JSON is printed as UTF-8 in every locale, one object per line.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

import click

from muniment.escapes import escaped, json_escaped, settled
from muniment.language import gettext
from muniment.times import iso

Stream: TypeAlias = Literal["stdout", "stderr"]
_COLOUR_CODE = re.compile(r"(\x1b\[[0-9;:]*m)")


def on_terminal(stream: Stream = "stdout") -> bool:
    """Return whether that stream is a terminal."""
    return bool(getattr(sys, stream).isatty())


displays: list[Any] = []  # started bars and spinners of rich; only the last is on the screen


@contextlib.contextmanager
def suspended(stream: Stream = "stderr") -> Iterator[None]:
    """Remove the last display from the screen during the block, if the stream is a terminal."""
    display = displays[-1] if displays and on_terminal(stream) else None
    if display is not None:
        display.stop()
    try:
        yield
    finally:
        if display is not None and display in displays:
            display.start()


def write_data(text: str = "") -> None:
    """Write a line to stdout, with control characters escaped on a terminal."""
    if on_terminal():
        write_styled(printable(text))
    else:
        click.echo(text, color=True)  # otherwise click would remove the text's own sequences


def write_rest(text: str, start: int) -> None:
    """Write a line of the text from `start`, after `write_chunk` has written the beginning."""
    if on_terminal():
        write_styled(printable(text, start))
    else:
        write_data(text[start:])


def write_chunk(text: str, start: int) -> int:
    """Write a growing text from `start` to stdout, and return the start of the next chunk.

    On a terminal the escapes of the last characters depend on the next chunk, so these are kept.
    """
    end = settled(text) if on_terminal() else len(text)
    if end <= start:
        return start
    click.echo(printable(text, start, end) if on_terminal() else text[start:end], nl=False)
    return end


def write_prompt(text: str) -> None:
    """Write a text to stderr after which the user types, with control characters escaped."""
    with suspended():
        click.echo(printable(text), nl=False, err=True)


def write_styled(text: str, stream: Stream = "stdout") -> None:
    """Write a line in which `coloured` is the only source of control characters."""
    with suspended(stream):
        click.echo(text, err=stream == "stderr")


def write_bytes(content: bytes) -> None:
    """Write bytes to stdout unchanged."""
    with suspended("stdout"):
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def write_json(value: Any) -> None:
    """Write one JSON object as a line of UTF-8 to stdout."""
    write_bytes(json_text(value).encode() + b"\n")


def json_text(value: Any) -> str:
    """Return a value as one line of JSON, in which only hidden characters are escaped.

    A record becomes what its `to_json()` returns, else its fields. A time becomes text in UTC,
    and a value of another type its `str`.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_json_value)
    return json_escaped(text)


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Mapping):
        return dict(value)
    if callable(to_json := getattr(value, "to_json", None)):
        return to_json()
    # The fields of a dataclass, or of a struct of msgspec.
    names: Any = getattr(value, "__dataclass_fields__", getattr(value, "__struct_fields__", ()))
    return {name: getattr(value, name) for name in names} or str(value)


def write_note(text: str) -> None:
    """Write a line to stderr, with control characters escaped.

    The reason why a plugin is broken is shortened if `warn_broken` has printed it.
    """
    for message, summary in _warned().items():
        text = text.replace(message, summary)
    with suspended():
        click.echo(printable(text), err=True)


def write_note_on_copies() -> None:
    """Print after an erasure that copies of the texts outside the store are not erased."""
    write_note(gettext("Files that were exported, backups and proofs made before keep the texts."))


def printable(text: str, start: int = 0, end: int | None = None) -> str:
    """Return text, or a part of it, with hidden characters except newline and tab escaped.

    `muniment.escapes` states which these are.
    """
    return escaped(text, "\n\t", start, end)


def printable_colours(text: str) -> str:
    """Return text as `printable` does, with its colour codes (SGR), which are reset at the end."""
    parts = _COLOUR_CODE.split(text)
    if len(parts) == 1:
        return printable(text)
    return "".join(
        part if _COLOUR_CODE.fullmatch(part) else printable(part) for part in [*parts, "\x1b[0m"]
    )


def one_line(text: str, start: int = 0, end: int | None = None) -> str:
    """Return text, or a part of it, as one line, for a table's cell or a message."""
    return escaped(text, "", start, end)


def warn_broken(broken: Iterable[Any]) -> None:
    """Print a warning for each plugin that could not be loaded, once in a command."""
    warned = _warned()
    for failure in broken:
        message = one_line(failure.message)
        if message not in warned:
            write_note(f"Warning: {message}")
            warned[message] = f"plugin {failure.plugin.distribution} is broken"


def _warned() -> dict[str, str]:
    """Return the warnings of `warn_broken` in this command, each with a summary of it."""
    context = click.get_current_context(silent=True)
    warned: dict[str, str] = {} if context is None else context.meta.setdefault(__name__, {})
    return warned
