"""Errors as a user sees them: one line saying what was wrong and what to do, and an exit code."""

from __future__ import annotations

import os
import sys

import click

from muniment.cli import exit_codes
from muniment.cli.context import Interrupted
from muniment.cli.output import one_line, write_note
from muniment.errors import MunimentError, UsageError, VerificationError

TRACEBACK_VARIABLE = "MUNIMENT_TRACEBACK"


def report(error: BaseException) -> int:
    """Say what went wrong on standard error and return the exit code that it means.

    A broken pipe says nothing. Raises the error itself when MUNIMENT_TRACEBACK is set and it was
    not raised on purpose.
    """
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case SystemExit():  # how click leaves after a broken pipe
            return error.code if isinstance(error.code, int) else exit_codes.FAILED
        case BrokenPipeError():
            raise error
        case Interrupted():
            write_note(f"Interrupted: {error}" if str(error) != "interrupted" else "Interrupted")
            return exit_codes.INTERRUPTED
        case KeyboardInterrupt() | click.Abort():
            write_note("Interrupted")
            return exit_codes.INTERRUPTED
        case click.exceptions.NoArgsIsHelpError():
            write_note(error.format_message())
            return exit_codes.USAGE
        case click.ClickException():
            write_note(f"Error: {_sentence(error)}")
            return error.exit_code
        case UsageError():
            write_note(f"Error: {one_line(str(error))}")
            return exit_codes.USAGE
        case VerificationError():
            write_note(f"Error: {one_line(str(error))}")
            return exit_codes.UNVERIFIED
        case MunimentError():
            write_note(f"Error: {one_line(str(error))}")
            return exit_codes.FAILED
    if os.environ.get(TRACEBACK_VARIABLE):
        raise error
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        write_note(f"Error: {where}{error.strerror}")
    else:
        what = one_line(f"{type(error).__name__}: {error}")
        write_note(
            f"Error: something unexpected happened ({what}); this is a bug, "
            f"and {TRACEBACK_VARIABLE}=1 shows where"
        )
    return exit_codes.FAILED


def detach_stdout() -> None:
    """Send what is still to be written nowhere: whoever read standard output has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):
        return  # standard output is no file
    finally:
        os.close(nowhere)


def _sentence(error: click.ClickException) -> str:
    sentence = one_line(error.format_message()).rstrip(".")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        stop = "" if sentence.endswith(("?", "?)")) else "."
        sentence += f"{stop} Try '{error.ctx.command_path} --help'."
    return sentence
