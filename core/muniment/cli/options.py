"""Options and types that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from muniment.cli.context import CliContext

_Command = TypeVar("_Command", bound=Callable[..., Any])

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, one object a line where there are many."
)
tag_option = click.option(
    "--tag", "tags", metavar="TAG", multiple=True, help="A word to find it by; may be repeated."
)
policy_option = click.option(
    "--policy", metavar="FILE", help="A policy file, or the name of an installed policy."
)
output_option = click.option(
    "-o", "--output", metavar="FILE", help="Write to a new file instead of standard output."
)
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Let -o replace a file that is there."
)


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
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def generator_option(text: str) -> Callable[[_Command], _Command]:
    """Return the option `--generator`, which is `text` where it is left away."""
    return click.option("--generator", metavar="NAME", default="text", show_default=True, help=text)


def model_option(text: str) -> Callable[[_Command], _Command]:
    """Return the option `-m/--model`."""
    return click.option("-m", "--model", metavar="MODEL", help=text)


def pairs_option(text: str) -> Callable[[_Command], _Command]:
    """Return the option `-p KEY=VALUE`, which may be repeated; see `parameters_given`."""
    return click.option(
        "-p", "pairs", type=KeyValue(), multiple=True, metavar="KEY=VALUE", help=text
    )


def limit_option(default: int) -> Callable[[_Command], _Command]:
    """Return the option `-n/--limit` of lists; 0 means all."""
    return click.option(
        "-n",
        "--limit",
        type=click.IntRange(min=0),
        metavar="N",
        default=default,
        show_default=True,
        help="How many at most; 0 for all.",
    )


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class KeyValue(click.ParamType[tuple[str, str]]):
    """`key=value`, as `-p` takes it; a hyphen in the key is an underscore."""

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
    """A moment: an ISO date or time (local unless it names a zone), or how long ago: 7d, 2h.

    A date alone is its first moment, or with `end` the moment after its last.
    """

    name = "when"

    def __init__(self, *, end: bool = False) -> None:
        self.end = end

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read a moment and return it in UTC."""
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
                f"{value!r} is no moment; write a date (2026-01-31), a time "
                "(2026-01-31T12:00) or how long ago (7d, 2h, 30m).",
                param,
                ctx,
            )


def parameters_given(
    pairs: tuple[tuple[str, str], ...], options: dict[str, Any] | None = None
) -> dict[str, object]:
    """Return the parameters that `-p` and the generator's own options gave, as text by name.

    A name given several times by `-p` makes a list; given both ways it is refused.
    """
    given: dict[str, object] = {}
    for key, text in pairs:
        if key not in given:
            given[key] = text
        else:
            before = given[key]
            given[key] = (*(before if isinstance(before, tuple) else (before,)), text)
    for key, value in (options or {}).items():
        if value is None or value == ():
            continue
        if key in given:
            option = key.replace("_", "-")
            raise click.UsageError(f"{key} is given twice, by --{option} and by -p.")
        given[key] = value
    return given
