"""Import the commands that plugins add."""

from __future__ import annotations

from operator import attrgetter
from typing import NoReturn

import click

from muniment.errors import MunimentError, PluginError
from muniment.failures import TRACEBACK_VARIABLE, explain
from muniment.plugins.discovery import PluginCommand
from muniment.plugins.quiet_output import quiet_stdout


def load_command(command: PluginCommand) -> click.Command:
    """Import and return a plugin's command.

    Raises PluginError, with the file and line of the exception, when the import fails or the
    attribute is not a `click.Command`.
    """
    try:
        with quiet_stdout():
            found: object = attrgetter(command.attribute)(command.load_module())
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(
            command.distribution,
            f"command `muniment {command.words}` of {command.distribution} cannot be imported: "
            f"{explain(error, command.module)}",
        ) from error
    if not isinstance(found, click.Command):
        raise PluginError(
            command.distribution,
            f"command `muniment {command.words}` of {command.distribution} cannot be used: "
            f"{command.attribute} is {type(found).__name__}, not click.Command",
        )
    return found


def raise_failure(command: PluginCommand, error: Exception) -> NoReturn:
    """Raise the exception of a plugin's command again, as a PluginError where it is a bug.

    Errors that are meant for the user stay as they are.
    """
    meant = (click.ClickException, click.Abort, click.exceptions.Exit, MunimentError, OSError)
    if isinstance(error, meant):
        raise error
    raise PluginError(
        command.distribution,
        f"command `muniment {command.words}` of {command.distribution} failed: "
        f"{explain(error, command.module)}; {TRACEBACK_VARIABLE}=1 prints the traceback",
    ) from error
