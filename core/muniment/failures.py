"""Descriptions of the exceptions that plugins raise, each with its file and line."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from types import FrameType

TRACEBACK_VARIABLE = "MUNIMENT_TRACEBACK"

_CORE = os.path.join(os.path.dirname(__file__), "")
_LONGEST = 500  # characters of an exception's message
# Packages whose frames call a plugin, and so are not the place of its exception.
_CALLERS = frozenset({"", "muniment", "click", "pluggy", *sys.stdlib_module_names})


class WorkerError(Exception):
    """An exception in a worker process, or its unexpected end. `str()` describes it in full."""


def explain(error: BaseException) -> str:
    """Return the description of a plugin's exception, for the message of its caller.

    Print the traceback on standard error if MUNIMENT_TRACEBACK is set.
    """
    print_traceback(error)
    return describe(error)


def print_traceback(error: BaseException) -> None:
    """Print the traceback of a plugin's exception if MUNIMENT_TRACEBACK is set."""
    if os.environ.get(TRACEBACK_VARIABLE):
        # Its __str__ may raise, and standard error may be closed.
        with contextlib.suppress(Exception):
            traceback.print_exception(error)


def describe(error: BaseException) -> str:
    """Return the type of an exception, the first line of its message, and its file and line."""
    if isinstance(error, WorkerError):
        return str(error)
    name, place = type(error).__name__, place_of(error)
    try:
        text = error.msg if isinstance(error, SyntaxError) and place else str(error)
        line = text.strip().partition("\n")[0][:_LONGEST]
    except Exception:  # the __str__ of a plugin's exception may raise
        line = ""
    return f"{name}{f': {line}' if line else ''}{f' ({place})' if place else ''}"


def place_of(error: BaseException) -> str:
    """Return the file and line of the plugin where an exception was raised, or an empty text.

    An exception of a library has the place where the plugin called the library.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    places = [
        (_package(frame), frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    plugin = next((package for package, _, _ in places if package not in _CALLERS), None)
    own = [f"{file}:{line}" for package, file, line in places if package == plugin]
    return own[-1] if own else ""


def _package(frame: FrameType) -> str:
    """Return the name of the top-level package that contains the code of a frame."""
    if frame.f_code.co_filename.startswith(_CORE):  # the program of a worker is `__main__`
        return "muniment"
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
