"""Import the commands that plugins add."""

from __future__ import annotations

import os
import traceback
from operator import attrgetter
from typing import NoReturn

import click

from muniment.errors import MunimentError, PluginError
from muniment.plugins.discovery import PluginCommand
from muniment.plugins.registry import describe_with_place, quiet_stdout

TRACEBACK_VARIABLE = "MUNIMENT_TRACEBACK"


def load_command(command: PluginCommand) -> click.Command:
    """Import and return a plugin's command.

    Raises PluginError, with the file and line of the exception, when the import fails or the
    attribute is not a `click.Command`. Prints the traceback when MUNIMENT_TRACEBACK is set.
    """
    try:
        with quiet_stdout():
            found: object = attrgetter(command.attribute)(command.load_module())
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            traceback.print_exception(error)
        raise PluginError(
            command.distribution,
            f"command `muniment {command.words}` of {command.distribution} cannot be imported: "
            f"{describe_with_place(error)}",
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

    Errors that are meant for the user stay as they are, and so do all with MUNIMENT_TRACEBACK.
    """
    meant = (click.ClickException, click.Abort, click.exceptions.Exit, MunimentError, OSError)
    if isinstance(error, meant) or os.environ.get(TRACEBACK_VARIABLE):
        raise error
    raise PluginError(
        command.distribution,
        f"command `muniment {command.words}` of {command.distribution} failed: "
        f"{describe_with_place(error)}; {TRACEBACK_VARIABLE}=1 shows the traceback",
    ) from error
