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

from muniment.escapes import escaped, json_escaped, settled
from muniment.times import iso

if TYPE_CHECKING:
    from muniment.types.generations import Generation
    from muniment.types.models import Model
    from muniment.types.verdicts import Decision, Verdict

Stream: TypeAlias = Literal["stdout", "stderr"]

_COLOUR_CODE = re.compile(r"(\x1b\[[0-9;:]*m)")
_SEVERITY: dict[Decision, int] = {"allow": 0, "flag": 1, "block": 2}
# Outcomes from mild to severe. The second and third are those of a rule that only observes.
_OUTCOMES = {
    "rule": ("passed", "would flag", "would block", "flagged", "blocked"),
    "item": ("passed", "would be flagged", "would be blocked", "flagged", "blocked"),
}
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
    """Write a line to stderr, with control characters escaped."""
    with suspended():
        click.echo(printable(text), err=True)


def write_note_on_copies() -> None:
    """Print after an erasure that copies of the texts outside the store are not erased."""
    write_note("Files that were exported, backups and proofs made before keep the texts.")


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


def coloured(text: str, colour: str) -> str:
    """Return text in bold and a colour, both of which `click.echo` strips off a terminal."""
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


ERASED = "[erased]"
"""The mark in place of an erased text or name."""


def model_name(model: Model, generation: Generation) -> str:
    """Return the name of a model of a generation, or a mark if it was erased."""
    return model.name or (ERASED if "request" in generation.erased else "")


def short_path(name: str, stream: Stream = "stdout") -> str:
    """Return the last part of an absolute path on a terminal, else the name unchanged.

    The path of a model that was not added is its name.
    """
    return os.path.basename(name) if on_terminal(stream) and os.path.isabs(name) else name


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


def warn_broken(broken: Iterable[Any]) -> None:
    """Print a warning for each plugin that could not be loaded."""
    for plugin in broken:
        write_note(f"Warning: {one_line(plugin.message)}")


def write_status(generation: Generation, loading: float = 0.0) -> None:
    """Write the one-line summary of a generation that `generate` prints to stderr.

    The time has a part of its own for the seconds in which models were loaded.
    """
    parts: list[str] = []
    if generation.model is not None:
        parts.append(short_path(generation.model.name, "stderr"))
    parts.append(f"seed {generation.seed}")
    if counts := rule_counts(generation):
        parts.append(counts)
    if generation.finished_at is not None:
        seconds = (generation.finished_at - generation.started_at).total_seconds()
        took = f"{max(seconds - loading, 0):.1f} s"
        usage = generation.usage
        parts.append(f"{pluralize(usage.output_tokens, 'token')} in {took}" if usage else took)
        if loading >= 0.05:
            parts.append(f"loading {loading:.1f} s")
    details = one_line(" · ".join(["", *parts]))
    identifier = short_id(generation.id, "stderr")
    write_styled(f"{identifier}  {coloured_status(generation.status)}{details}", "stderr")


def rule_counts(generation: Generation) -> str:
    """Return how many of the policy's rules, and of a list's items, passed or not.

    A rule counts once, by its most severe action, however many contents its filter checked.
    """
    worst: dict[tuple[str, object], int] = {}
    for verdict in generation.verdicts:
        rule = verdict.filter if verdict.policy_rule is None else verdict.policy_rule
        key = ("item", verdict.item) if verdict.item else ("rule", rule)
        worst[key] = max(worst.get(key, 0), _outcome(verdict))
    numbers = Counter((noun, outcome) for (noun, _), outcome in worst.items())
    return " · ".join(
        f"{pluralize(number, noun)} {words}"
        for noun, outcomes in _OUTCOMES.items()
        for outcome, words in enumerate(outcomes)
        if (number := numbers[noun, outcome])
    )


def _outcome(verdict: Verdict) -> int:
    """Return the position in `_OUTCOMES` of what a verdict led to, or would have led to."""
    if action := _SEVERITY[verdict.action]:
        return action + 2
    return _SEVERITY[verdict.observed_action or "allow"]


_Record = TypeVar("_Record")

Column: TypeAlias = tuple[str, str | Callable[[_Record], object]]
"""A header, and the key, the attribute or the function that gives a record's value."""


_IDS = ("id", "run", "hold")


def emit(
    records: Iterable[_Record],
    columns: Sequence[Column[_Record]],
    as_json: bool,
    *,
    to_json: Callable[[_Record], object] | None = None,
    empty: str | Callable[[], str] = "",
    cut: str = "",
    drop: Sequence[str] = (),
    limit: int | None = None,
    total: Callable[[], int | None] | None = None,
    show: Callable[[_Record], None] | None = None,
) -> int:
    """Print a list of records and return their number.

    A terminal gets a table with headers. Numbers are right-aligned, the column `cut` is shortened
    to fit, and a column of ids comes last. On a narrow terminal the columns `drop` are
    left out, the first of them first, and a note names them. If the rest does not fit either, long
    words are folded. At last, each record is a block of lines. Known words in a column named
    status, state or result are coloured.
    With `show`, that function prints each record on a terminal as it comes, instead of the table.
    Anything else gets one line of tab-separated values a record, after a line with the headers if
    `--headers` is given.

    With `as_json`, each record is one JSON object a line: the result of `to_json`, else of the
    record's own `to_json()`, else its keys or fields.

    `empty` is a note for standard error, or returns one, printed when there are no records. When
    `limit` records were printed on a terminal, a note says so. With `total`, which returns the
    number of all records, it is "20 of 53", and omitted when these are all.
    """
    rows: list[Sequence[object]] = []
    terminal, headers = on_terminal(), _headers_wanted(as_json)
    if terminal:
        columns = sorted(columns, key=lambda column: column[0] in _IDS)
    elif headers:
        write_data("\t".join(one_line(header) for header, _ in columns))
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

        print_table([header for header, _ in columns], rows, cut, drop)
    if number == 0 and empty:
        write_note(empty if isinstance(empty, str) else empty())
    if terminal and not as_json and limit and limit <= number:
        _write_limit(number, total)
    return number


_HEADERS = "muniment.headers"


def want_headers() -> None:
    """Let `emit` print a line of headers above tab-separated values in the current command."""
    click.get_current_context().meta[_HEADERS] = True


def _headers_wanted(as_json: bool) -> bool:
    context = click.get_current_context(silent=True)
    if context is None or not context.meta.get(_HEADERS):
        return False
    if as_json:
        raise click.UsageError("--headers has no effect with --json; remove one.")
    return True


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


def _write_limit(number: int, total: Callable[[], int | None] | None) -> None:
    count = None if total is None else total()
    if count is None:
        write_note(f"stopped at the limit of {number:,}; use -n 0 for all")
    elif count > number:
        write_note(f"{number:,} of {count:,}; use -n 0 for all")


def _value(record: Any, key: str | Callable[[Any], object]) -> object:
    if callable(key):
        return key(record)
    return record[key] if isinstance(record, Mapping) else getattr(record, key)
