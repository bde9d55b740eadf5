"""Ranges of numbers in words, in place of the formulas of click, such as `1<=x<=10`."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import click

FACTS = (
    "{low} to {high}",
    "more than {low} and less than {high}",
    "more than {low} and at most {high}",
    "at least {low} and less than {high}",
    "more than {low}",
    "less than {high}",
    "at least {low}",
    "at most {high}",
)
"""Ranges as facts at the end of an option's help, which are messages of the catalogues."""

_Parameter = TypeVar("_Parameter", bound=click.Parameter)


def range_text(kind: click.ParamType[Any]) -> str:
    """Return the range of a type in words, such as `1 to 10`. Empty for a type without one."""
    if not isinstance(kind, click.IntRange | click.FloatRange):
        return ""
    low = "" if kind.min is None else f"{'more than' if kind.min_open else 'at least'} {kind.min}"
    high = "" if kind.max is None else f"{'less than' if kind.max_open else 'at most'} {kind.max}"
    if low and high and not (kind.min_open or kind.max_open):
        return f"{kind.min} to {kind.max}"
    return " and ".join(filter(None, (low, high)))


def range_message(error: click.BadParameter) -> str:
    """Return the message of an error about a value, with a range in words.

    The message of click has the value and the range in a sentence.
    """
    kind = error.param and error.param.type
    words = range_text(kind) if kind else ""
    value, verb, _ = error.message.partition(" is not in the range ")
    if not words or not verb:
        return error.format_message()
    before = "in the range from " if " to " in words else ""
    sentence = f"{value} is not {before}{words}"
    return click.BadParameter(sentence, error.ctx, error.param, error.param_hint).format_message()


def with_range_in_words(parameter: _Parameter) -> _Parameter:
    """Return a copy of an option or argument whose help has its range in words."""
    copied = copy.copy(parameter)
    if isinstance(copied, click.Option) and (words := range_text(copied.type)):
        get_extra = copied.get_help_extra

        def get_help_extra(ctx: click.Context) -> Any:
            extra = get_extra(ctx)
            return {**extra, "range": words} if "range" in extra else extra

        copied.get_help_extra = get_help_extra  # type: ignore[method-assign]
    return copied
