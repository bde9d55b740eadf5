"""Commands, options and a formatter for help in the language of the user, on a narrow terminal too.

In English, on a terminal that is wide enough, nothing is copied, and what copies is not imported.
"""

from __future__ import annotations

import click

from muniment.cli.help_width import is_narrow
from muniment.cli.translation import CORE
from muniment.language import language


def translated(command: click.Command, distribution: str = CORE) -> click.Command:
    """Return a command with its help translated: a copy, or in English the command itself.

    For a terminal that is too narrow for the formatter of click, it is a copy in English, too.
    """
    if language() == "en":
        if not is_narrow():
            return command
        from muniment.cli.translated_help import wide_copy

        return wide_copy(command)
    from muniment.cli.translated_help import translated_copy

    return translated_copy(command, distribution)


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
