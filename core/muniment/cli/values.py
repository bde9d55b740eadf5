"""Values as text for people: times, ids, statuses, marks and numbers with their nouns.

A pipe or file gets whole ids and digests, and times in UTC.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from muniment.cli.output import Stream, json_text, on_terminal, one_line
from muniment.names import ERASED as ERASED
from muniment.times import iso

if TYPE_CHECKING:
    from muniment.types.generations import Generation
    from muniment.types.models import Model


ALTERED = "[altered]"
"""The mark in place of a name that was changed after it was recorded."""

_SHORT = 8  # 40 random bits: a given end is among 10^6 ids with odds of 1 to 10^6
_STATUS_COLUMNS = ("status", "state", "result", "decision")
_STATUS_COLOURS = {
    word: colour
    for colour, words in {
        "green": "completed ok exact certified enabled allow",
        "yellow": "flagged flag interrupted uncertified disabled pending",
        "red": "blocked block failed broken gone diverged impossible",
    }.items()
    for word in words.split()
}


def coloured(text: str, colour: str) -> str:
    """Return text in bold and a colour, both of which are printed only on a terminal."""
    if not colour or os.environ.get("NO_COLOR"):
        return text
    return click.style(text, fg=colour, bold=True)


def status_colour(header: str, text: str) -> str:
    """Return the colour of a known word in a column of statuses, else an empty text."""
    known = header in _STATUS_COLUMNS
    return _STATUS_COLOURS.get(text.rpartition(", ")[2], "") if known else ""


def coloured_status(status: str) -> str:
    """Return a word for a status in its colour."""
    return coloured(one_line(status), status_colour("status", status))


def cell(value: object) -> str:
    """Return a value as text for people: no text for None, `yes` and `no`, local times."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case datetime():
            return moment(value)
        case Mapping():
            return json_text(value)
        case list() | tuple() | set() | frozenset():
            return ", ".join(map(cell, value))
        case _:
            return str(value)


def parameter_text(value: object) -> str:
    """Return the value of a parameter as text, with quotes where a text has other characters."""
    if isinstance(value, tuple):
        return "[" + ", ".join(map(repr, value)) + "]"
    return repr(value) if isinstance(value, str) and not value.isalnum() else str(value)


def excerpt(text: str, length: int = 200) -> str:
    """Return the beginning of a text as one line."""
    return one_line(text) if len(text) <= length else one_line(text, end=length) + "…"


def short_id(identifier: str, stream: Stream = "stdout") -> str:
    """Return the last characters of an id on a terminal, else the whole id.

    The first characters of an id encode its time, so that recent ids share them.
    """
    return f"…{identifier[-_SHORT:]}" if on_terminal(stream) else identifier


def moment(when: datetime | None) -> str:
    """Return a time in the local zone on a terminal, else in UTC with milliseconds."""
    if when is None:
        return ""
    if on_terminal():
        return f"{when.astimezone():%Y-%m-%d %H:%M:%S}"
    return iso(when)


def altered_mark(kinds: Sequence[str]) -> str:
    """Return a mark with the kinds of texts that were altered, or an empty text."""
    return f"[altered after it was recorded: {', '.join(kinds)}]" if kinds else ""


def content_marks(generation: Generation) -> str:
    """Return marks with the kinds of a generation's texts that were erased or altered."""
    erased = f"[erased: {', '.join(generation.erased)}]" if generation.erased else ""
    return " ".join(filter(None, (erased, altered_mark(generation.altered))))


def actor_cell(name: str, altered: Collection[str] = ()) -> str:
    """Return the name of an actor, or a mark if it was erased or is among the altered texts."""
    return name or (ALTERED if "actor" in altered else ERASED)


def generator_name(generation: Generation) -> str:
    """Return the name of the generator, or a mark if it was erased or altered."""
    return generation.generator or (ALTERED if "request" in generation.altered else ERASED)


def model_name(model: Model, generation: Generation) -> str:
    """Return the name of a model of a generation, or a mark if it was erased or altered."""
    if model.name or "request" in generation.altered:
        return model.name or ALTERED
    return ERASED if "request" in generation.erased else ""


def pluralize(number: int, noun: str) -> str:
    """Return a number with its noun: `1 filter`, `1,204 entries`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def short_digest(digest: str) -> str:
    """Return the first and last characters of a digest on a terminal, else the whole digest."""
    kind, colon, value = digest.rpartition(":")
    if len(value) <= 12 or not on_terminal():
        return digest
    return f"{kind}{colon}{value[:4]}…{value[-2:]}"
