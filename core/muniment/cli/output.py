"""Functions that print data on stdout and messages on stderr.

A terminal gets tables and shortened ids. A pipe or file gets tab-separated text, whole ids and
times in UTC. JSON is printed as UTF-8 in every locale, one object per line.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import click

from muniment.times import iso

if TYPE_CHECKING:
    from muniment.types import Decision, Generation

Stream: TypeAlias = Literal["stdout", "stderr"]

_UNESCAPED = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_COLOUR_CODE = re.compile(r"(\x1b\[[0-9;:]*m)")
# Controls that a terminal acts on: the first two ranges of codes, and the writing direction.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(0x7F, 0xA0))}
_CONTROLS |= {
    code: f"\\u{code:04x}"
    for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
_ONE_LINE = _CONTROLS | {9: "\\t", 10: "\\n", 13: "\\r", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_PRINTABLE = {code: text for code, text in _CONTROLS.items() if chr(code) not in "\n\t"}
_VERBS: dict[Decision, str] = {
    "allow": "passed",
    "flag": "flagged",
    "block": "blocked",
}  # from mild to severe
_SHORT = 8  # 40 random bits: a given end is among 10^6 ids with odds of 1 to 10^6
_STATUS_COLUMNS = ("status", "state", "result")
_STATUS_COLOURS = {
    **dict.fromkeys(("completed", "ok", "exact", "certified", "enabled"), "green"),
    **dict.fromkeys(("flagged", "interrupted", "uncertified", "disabled", "pending"), "yellow"),
    **dict.fromkeys(("blocked", "failed", "broken", "gone", "diverged", "impossible"), "red"),
}


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


def write_styled(text: str) -> None:
    """Write a line to stdout, in which `coloured` is the only source of control characters."""
    with suspended("stdout"):
        click.echo(text)


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
    """Return a value as one line of JSON, without escaping non-ASCII characters.

    A record becomes what its `to_json()` returns, else its fields. A time becomes text in UTC,
    and a value of another type its `str`.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_json_value)
    return text if text.isprintable() else _UNESCAPED.sub(lambda m: f"\\u{ord(m[0]):04x}", text)


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
    """Write a line to stderr, with control characters escaped."""
    with suspended():
        click.echo(printable(text), err=True)


def printable(text: str) -> str:
    """Return text with all control characters except newline and tab escaped.

    A model's output must not be able to move the cursor, set a terminal's title or reverse the
    direction of writing.
    """
    return text if text.isprintable() else text.translate(_PRINTABLE)


def printable_colours(text: str) -> str:
    """Return text as `printable` does, with its colour codes (SGR), which are reset at the end."""
    parts = _COLOUR_CODE.split(text)
    if len(parts) == 1:
        return printable(text)
    return "".join(
        part if _COLOUR_CODE.fullmatch(part) else printable(part) for part in [*parts, "\x1b[0m"]
    )


def one_line(text: str) -> str:
    """Return text as one line, for a table's cell or a message."""
    return text if text.isprintable() else text.translate(_ONE_LINE)


def coloured(text: str, colour: str) -> str:
    """Return text in bold and a colour, both of which `click.echo` strips off a terminal."""
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=colour, bold=True)


def status_colour(header: str, text: str) -> str:
    """Return the colour of a known word in a column of statuses, else an empty text."""
    known = header in _STATUS_COLUMNS
    return _STATUS_COLOURS.get(text.rpartition(", ")[2], "") if known else ""


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


def excerpt(text: str, length: int = 200) -> str:
    """Return the beginning of a text as one line."""
    line = one_line(text[: length + 1])
    return line if len(text) <= length else line[:length] + "…"


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


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and aligned values, without those that are empty."""
    lines = [(name, text) for name, value in fields if (text := cell(value))]
    width = max((len(name) for name, _ in lines), default=0)
    for name, text in lines:
        write_data(f"{name:<{width}}  " + f"\n{'':<{width}}  ".join(text.splitlines()))


def warn_broken(broken: Iterable[Any]) -> None:
    """Print a warning for each plugin that could not be loaded."""
    for plugin in broken:
        write_note(f"Warning: {one_line(plugin.message)}")


def status_line(generation: Generation) -> str:
    """Return the one-line summary that `generate` prints for a generation."""
    parts: list[str] = [generation.status]
    if generation.model is not None:
        parts.append(generation.model.name)
    parts.append(f"seed {generation.seed}")
    if filters := _filters(generation):
        parts.append(filters)
    if generation.finished_at is not None:
        took = f"{(generation.finished_at - generation.started_at).total_seconds():.1f} s"
        usage = generation.usage
        parts.append(f"{pluralize(usage.output_tokens, 'token')} in {took}" if usage else took)
    return f"{short_id(generation.id, 'stderr')}  {one_line(' · '.join(parts))}"


def outcome_sentence(generation: Generation) -> str:
    """Return why a generation was blocked or failed, without content of a blocked output."""
    if generation.status == "failed":
        reason = generation.failure.message if generation.failure else "no reason was recorded"
        return f"Error: {one_line(reason)}"
    if generation.status != "blocked":
        return f"{generation.status.capitalize()}: no output"
    # A list that cannot be read is blocked by rules that only observe, too.
    blocking = [verdict for verdict in generation.verdicts if verdict.action == "block"] or [
        verdict for verdict in generation.verdicts if verdict.failure is not None
    ]
    findings = dict.fromkeys(map(_finding, blocking))
    return f"Blocked: {'; '.join(findings)} (policy {generation.policy})"


def _finding(verdict: Any) -> str:
    stage = {"system": "system prompt", "item": "items"}.get(verdict.stage, verdict.stage)
    if verdict.input is not None:
        stage = f"input {verdict.input}"
    if verdict.parameter is not None:
        stage = f"parameter {verdict.parameter}"
    if verdict.failure is not None:
        return f"the {stage} could not be checked: {one_line(verdict.failure)}"
    # A reason may quote the text it is about. For outputs and items only categories are printed.
    causes = dict.fromkeys(
        f"{reason.category} ({reason.message})"
        if reason.message and verdict.stage not in ("output", "item")
        else reason.category
        for reason in verdict.reasons
    ) or dict.fromkeys(name for name, score in verdict.categories.items() if score > 0)
    suffix = f" for {', '.join(causes)}" if causes else ""
    return f"filter {verdict.filter} blocked the {stage}{one_line(suffix)}"


def _filters(generation: Generation) -> str:
    """Return how many of the policy's rules, and of a list's items, passed or not."""
    worst: dict[tuple[str, int | None], Decision] = {}
    for verdict in generation.verdicts:
        key = ("item", verdict.item) if verdict.item else ("filter", verdict.policy_rule)
        worst[key] = max(worst.get(key, "allow"), verdict.action, key=list(_VERBS).index)
    actions = Counter((noun, action) for (noun, _), action in worst.items())
    return " · ".join(
        f"{pluralize(number, noun)} {verb}"
        for noun in ("filter", "item")
        for action, verb in _VERBS.items()
        if (number := actions[noun, action])
    )


_Record = TypeVar("_Record")

Column: TypeAlias = tuple[str, str | Callable[[_Record], object]]
"""A header, and the key, the attribute or the function that gives a record's value."""


def emit(
    records: Iterable[_Record],
    columns: Sequence[Column[_Record]],
    as_json: bool,
    *,
    to_json: Callable[[_Record], object] | None = None,
    empty: str = "",
    cut: str = "",
    limit: int | None = None,
    total: Callable[[], int] | None = None,
    show: Callable[[_Record], None] | None = None,
) -> int:
    """Print a list of records and return their number.

    A terminal gets a table with headers, in which numbers are right-aligned and the column `cut`
    is shortened to fit. Known words in a column named status, state or result are coloured. With
    `show`, that function prints each record on a terminal as it comes, instead of the table.
    Anything else gets one line of tab-separated values a record, without headers.

    With `as_json`, each record is one JSON object a line: the result of `to_json`, else of the
    record's own `to_json()`, else its keys or fields.

    `empty` is a note for standard error, printed when there are no records. When `limit` records
    were printed on a terminal, a note says so. With `total`, which returns the number of all
    records, it is "20 of 53", and omitted when these are all.
    """
    rows: list[Sequence[object]] = []
    terminal = on_terminal()
    number = 0
    for record in records:
        number += 1
        if as_json:
            write_json(to_json(record) if to_json else record)
        elif terminal and show is not None:
            show(record)
        elif terminal:
            rows.append([_value(record, key) for _, key in columns])
        else:
            write_data("\t".join(one_line(cell(_value(record, key))) for _, key in columns))
    if rows:
        from muniment.cli.terminal import print_table

        print_table([header for header, _ in columns], rows, cut)
    if number == 0 and empty:
        write_note(empty)
    if terminal and not as_json and limit and limit <= number:
        _write_limit(number, total)
    return number


def emit_one(
    record: _Record,
    columns: Sequence[Column[_Record]],
    as_json: bool,
    *,
    to_json: Callable[[_Record], object] | None = None,
) -> None:
    """Print one record: a line for each column that has a value, or one JSON object."""
    if as_json:
        write_json(to_json(record) if to_json else record)
    else:
        print_fields((header, _value(record, key)) for header, key in columns)


def emit_line(record: object, line: str, as_json: bool) -> None:
    """Print one record as a line of data or as one JSON object."""
    if as_json:
        write_json(record)
    else:
        write_data(line)


def _write_limit(number: int, total: Callable[[], int] | None) -> None:
    count = None if total is None else total()
    if count is None:
        write_note(f"stopped at the limit of {number:,}; use -n 0 for all")
    elif count > number:
        write_note(f"{number:,} of {count:,}; use -n 0 for all")


def _value(record: Any, key: str | Callable[[Any], object]) -> object:
    if callable(key):
        return key(record)
    return record[key] if isinstance(record, Mapping) else getattr(record, key)
