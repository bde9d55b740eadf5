"""Commands, options and a formatter for help in the language of the user, on a narrow terminal too.

In English, the code that makes the help is imported when it is printed.
"""

from __future__ import annotations

import copy

import click

from muniment.cli.groups import TranslatingGroup
from muniment.cli.help_width import is_narrow
from muniment.cli.translation import CORE
from muniment.language import language


def translated(command: click.Command, distribution: str = CORE) -> click.Command:
    """Return a copy of a command with its help translated, and in English with ranges in words."""
    if language() == "en":
        return _english_copy(command)
    from muniment.cli.translated_help import translated_copy

    return translated_copy(command, distribution)


def _english_copy(command: click.Command) -> click.Command:
    """Return a copy of a command whose help imports the code that it needs when it is printed.

    The commands that a group contains are copied, too, unless it is a `TranslatingGroup`.
    """
    copied = copy.copy(command)

    def get_help(ctx: click.Context) -> str:
        ranges = (click.IntRange, click.FloatRange)
        if not is_narrow() and not any(isinstance(one.type, ranges) for one in command.params):
            return command.get_help(ctx)  # such as that of the root, which imports little
        from muniment.cli.translated_help import english_help

        return english_help(command, ctx)

    copied.get_help = get_help  # type: ignore[method-assign]
    if isinstance(copied, click.Group) and not isinstance(copied, TranslatingGroup):
        copied.commands = {name: _english_copy(one) for name, one in copied.commands.items()}
    return copied


def translated_option(option: click.Option, distribution: str) -> click.Option:
    """Return an option with its help translated, as `translated` does for a command."""
    if language() == "en":
        return option
    from muniment.cli.translated_help import translated_parameter

    return translated_parameter(option, distribution)


def help_formatter() -> click.HelpFormatter:
    """Return the formatter of help texts in the language of the user."""
    if language() == "en" and not is_narrow():
        return click.HelpFormatter()
    from muniment.cli.wide_formatter import WideFormatter

    return WideFormatter()
