"""Copies of commands with translated help, and their help in English."""

from __future__ import annotations

import copy
import re
from typing import TypeVar

import click

from muniment.cli.groups import TranslatingGroup
from muniment.cli.help_width import is_narrow
from muniment.cli.ranges import FACTS as RANGES, with_range_in_words
from muniment.cli.translation import CORE, translate
from muniment.cli.wide_formatter import WideFormatter
from muniment.language import gettext

# Words of help that click adds, and the facts at the end of an option's help.
WORDS = (
    "Usage:",
    "Options",
    "Commands",
    "Positional arguments",
    "Show this message and exit.",
    "Show the version and exit.",
    "Do you want to continue?",
    "Confirm the action without prompting.",
    "options",
    "command",
    "arguments",
)
FACTS = (
    "required",
    "(dynamic)",
    "may be repeated",
    "default: {value}",
    "env var: {value}",
    *RANGES,
)

_Parameter = TypeVar("_Parameter", bound=click.Parameter)

# The parts of a usage line that click adds.
_METAVARS = (("[OPTIONS]", "options"), ("COMMAND", "command"), ("[ARGS]", "arguments"))
_HELP_WITH_FACTS = re.compile(r"(?:(.*)  )?\[([^\[\]]*)\]", re.DOTALL)


def translated_copy(command: click.Command, distribution: str) -> click.Command:
    """Return a copy of a command with its help and that of its options translated.

    The commands that a group contains are copied, too, unless it is a `TranslatingGroup`.
    """
    copied = copy.copy(command)
    if command.help:
        copied.help = translate(command.help, distribution)
        # click finds the end of a sentence by its full stop and space.
        copied.short_help = "".join(copied.help.partition("\n\n")[0].partition("。")[:2])
    if command.short_help:
        copied.short_help = translate(command.short_help, distribution)
    if command.epilog:
        copied.epilog = translate(command.epilog, distribution)
    copied.options_metavar = _translated_usage(copied.options_metavar or "")
    if isinstance(copied, click.Group):
        copied.subcommand_metavar = _translated_usage(copied.subcommand_metavar or "")
    copied.params = [translated_parameter(one, distribution) for one in command.params]
    _translate_help_option(copied)
    _format_wide(copied)
    if isinstance(copied, click.Group) and not isinstance(copied, TranslatingGroup):
        copied.commands = {
            name: translated_copy(nested, distribution) for name, nested in copied.commands.items()
        }
    return copied


def english_help(command: click.Command, ctx: click.Context) -> str:
    """Return the help of a command with ranges in words, formatted for a narrow terminal, too."""
    copied = copy.copy(command)
    copied.params = [with_range_in_words(one) for one in command.params]
    if is_narrow():
        _format_wide(copied)
    return copied.get_help(ctx)


def _translated_usage(metavar: str) -> str:
    for part, word in _METAVARS:
        metavar = metavar.replace(part, part.replace(part.strip("[]"), gettext(word)))
    return metavar


def _translate_help_option(command: click.Command) -> None:
    """Let a command return a translated copy of its option `--help`, always the same one."""
    find = command.get_help_option
    copies: dict[int, click.Option] = {}

    def get_help_option(ctx: click.Context) -> click.Option | None:
        option = find(ctx)
        if option is None:
            return None
        return copies.setdefault(id(option), translated_parameter(option, CORE))

    command.get_help_option = get_help_option  # type: ignore[method-assign]


def _format_wide(command: click.Command) -> None:
    """Let a command format its help with `WideFormatter`."""
    get_help = command.get_help

    def get_wide_help(ctx: click.Context) -> str:
        ctx.formatter_class = WideFormatter
        return get_help(ctx)

    command.get_help = get_wide_help  # type: ignore[method-assign]


def translated_parameter(parameter: _Parameter, distribution: str) -> _Parameter:
    """Return a copy of an option or argument with its help translated."""
    copied = with_range_in_words(parameter)
    for name in ("help", "prompt"):
        if isinstance(text := getattr(copied, name, None), str):
            setattr(copied, name, _translated_help(text, distribution))
    get_record = copied.get_help_record

    def get_help_record(ctx: click.Context) -> tuple[str, str] | None:
        record = get_record(ctx)
        return record and (record[0], _translated_help(record[1], distribution))

    copied.get_help_record = get_help_record  # type: ignore[method-assign]
    return copied


def split_facts(text: str) -> tuple[str, str]:
    """Return the help of an option, and the facts in brackets at its end."""
    match = _HELP_WITH_FACTS.fullmatch(text)
    return (match[1] or "", match[2]) if match else (text, "")


def _translated_help(text: str, distribution: str) -> str:
    sentences, facts = split_facts(text)
    sentences = translate(sentences, distribution)
    if not facts:
        return sentences
    first, *rest = re.split(r"([,;] )", facts)
    shown = _fact(first)
    for separator, part in zip(rest[::2], rest[1::2], strict=True):
        fact = _fact(part)
        # A separator before a part that is no fact belongs to a value.
        shown += f"，{fact}" if fact != part else separator + part
    return f"{sentences}  [{shown}]" if sentences else f"[{shown}]"


def _fact(fact: str) -> str:
    """Return a fact about an option translated, such as its default or its range."""
    for template in FACTS:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(template))
        if match := re.fullmatch(pattern, fact, re.DOTALL):
            return gettext(template).format(**match.groupdict())
    return fact
