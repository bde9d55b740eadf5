"""Conversion of exceptions into one line on stderr and an exit code."""

from __future__ import annotations

import os
import re
import sys

import click

from muniment.cli import exit_codes
from muniment.cli.context import Interrupted
from muniment.cli.output import one_line, write_note
from muniment.errors import MunimentError
from muniment.failures import TRACEBACK_VARIABLE


def report(error: BaseException) -> int:
    """Print an error on stderr and return its exit code.

    Raises the error itself if it is a broken pipe, or if it is unexpected and MUNIMENT_TRACEBACK
    is set.
    """
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case SystemExit():  # raised by click after a broken pipe
            return error.code if isinstance(error.code, int) else exit_codes.FAILED
        case BrokenPipeError():
            raise error
        case Interrupted() | KeyboardInterrupt() | click.Abort():
            detail = str(error) if isinstance(error, Interrupted) else ""
            write_note(f"Interrupted: {detail}" if detail else "Interrupted")
            return exit_codes.INTERRUPTED
        case click.exceptions.NoArgsIsHelpError():
            write_note(error.format_message())
            return exit_codes.USAGE
        case click.ClickException():
            write_note(f"Error: {_sentence(error)}")
            return error.exit_code
        case MunimentError():
            write_note(f"Error: {one_line(str(error))}")
            return exit_codes.of_error(error)
    if os.environ.get(TRACEBACK_VARIABLE):
        raise error
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        write_note(f"Error: {one_line(where)}{error.strerror}")
    else:
        message = one_line(f"{type(error).__name__}: {error}")
        write_note(
            f"Error: unexpected {message}; this is a bug, please report it with the traceback "
            f"that {TRACEBACK_VARIABLE}=1 prints"
        )
    return exit_codes.FAILED


def detach_stdout() -> None:
    """Redirect stdout to the null device, after the reader closed the pipe or the disk is full."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, sys.stdout.fileno())
        sys.stdout.flush()  # what it still buffers
    except (OSError, ValueError):
        return  # stdout has no file descriptor
    finally:
        os.close(null)


def _sentence(error: click.ClickException) -> str:
    if isinstance(error, click.exceptions.NoSuchCommand) and error.ctx is not None:
        from muniment.cli.suggestions import unknown_command

        message = unknown_command(error.ctx, error.command_name)
    elif isinstance(error, click.NoSuchOption) and error.ctx is not None:
        from muniment.cli.suggestions import unknown_option

        message = unknown_option(error, error.ctx)
    else:
        message = error.format_message()
        if isinstance(error, click.BadParameter):
            from muniment.cli.ranges import range_message
            from muniment.cli.suggestions import similar_choices

            message = f"{range_message(error)} {similar_choices(error)}".rstrip()
        message = re.sub(r"\s*\n\s*", " ", message)
    sentence = one_line(message).rstrip(".")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        stop = "" if sentence.endswith(("?", "?)")) else "."
        sentence += f"{stop} Try '{error.ctx.command_path} --help'."
    return sentence
