"""Options and parameter types shared by several commands."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from muniment.cli.context import CliContext

_Command = TypeVar("_Command", bound=Callable[..., Any])

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, one object per line."
)
tag_option = click.option(
    "--tag",
    "tags",
    metavar="TAG",
    multiple=True,
    help="Tag to record, for finding it later (may be repeated).",
)
policy_option = click.option(
    "--policy", metavar="FILE", help="Policy file, or name of an installed policy."
)
output_option = click.option(
    "-o", "--output", metavar="FILE", help="New file to write instead of standard output."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an existing file.")


def _isolate(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    context = ctx.find_object(CliContext)
    if value and context is not None:
        context.isolate = True


isolate_option = click.option(
    "--isolate",
    is_flag=True,
    expose_value=False,
    callback=_isolate,
    help="Run every plugin in a worker process.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def generator_option(text: str) -> Callable[[_Command], _Command]:
    """Return the option `--generator`, which defaults to `text`."""
    return click.option("--generator", metavar="NAME", default="text", show_default=True, help=text)


def model_option(text: str) -> Callable[[_Command], _Command]:
    """Return the option `-m/--model`."""
    return click.option("-m", "--model", metavar="MODEL", help=text)


def pairs_option(text: str) -> Callable[[_Command], _Command]:
    """Return the repeatable option `-p KEY=VALUE`, to be read by `parameters_given`."""
    return click.option(
        "-p", "pairs", type=KeyValue(), multiple=True, metavar="KEY=VALUE", help=text
    )


def limit_option(default: int) -> Callable[[_Command], _Command]:
    """Return the option `-n/--limit` of lists, where 0 means all."""
    return click.option(
        "-n",
        "--limit",
        type=click.IntRange(min=0),
        metavar="N",
        default=default,
        show_default=True,
        help="Maximum number of results (0 for all).",
    )


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class KeyValue(click.ParamType[tuple[str, str]]):
    """The value `key=value` of `-p`, with hyphens in the key replaced by underscores."""

    name = "key=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split at the first `=`."""
        key, equals, text = str(value).partition("=")
        if not equals or not key.strip():
            self.fail(f"{value!r} is not of the form key=value.", param, ctx)
        return key.strip().replace("-", "_"), text


class Moment(click.ParamType[datetime]):
    """A point in time, as an ISO date or time (local without a zone) or an age such as 7d or 2h.

    A date alone means its first instant, or with `end` the first instant of the next day.
    """

    name = "when"

    def __init__(self, *, end: bool = False) -> None:
        self.end = end

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time in UTC."""
        text = str(value).strip()
        try:
            if ago := re.fullmatch(r"(\d{1,9})([smhdw])", text):
                span = timedelta(**{_UNITS[ago[2]]: int(ago[1])})
                return datetime.now(UTC) - span
            when = datetime.fromisoformat(text)
            if self.end and re.fullmatch(r"\d{4}-?(\d{2}-?\d{2}|W\d{2}-?\d)", text):
                when += timedelta(days=1)
            return when.astimezone(UTC)
        except (ValueError, OverflowError, OSError):
            self.fail(
                f"{value!r} is not a date; use 2026-01-31, 2026-01-31T12:00, or 7d / 2h / 30m.",
                param,
                ctx,
            )


def parameters_given(
    pairs: tuple[tuple[str, str], ...], options: dict[str, Any] | None = None
) -> dict[str, object]:
    """Return the parameters set by `-p` and by the generator's own options, by name.

    A name repeated with `-p` becomes a tuple. Raises UsageError for a name set both ways.
    """
    parameters: dict[str, object] = {}
    for key, text in pairs:
        if key not in parameters:
            parameters[key] = text
        else:
            earlier = parameters[key]
            parameters[key] = (*(earlier if isinstance(earlier, tuple) else (earlier,)), text)
    for key, value in (options or {}).items():
        if value is None or value == ():
            continue
        if key in parameters:
            option = key.replace("_", "-")
            raise click.UsageError(f"{key} is set twice, by --{option} and by -p; remove one.")
        parameters[key] = value
    return parameters
