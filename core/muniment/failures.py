"""Descriptions of the exceptions that plugins raise, each with its file and line."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from pathlib import PurePath
from types import FrameType

TRACEBACK_VARIABLE = "MUNIMENT_TRACEBACK"

_CORE = os.path.join(os.path.dirname(__file__), "")
_LONGEST = 500  # characters of an exception's message
# Packages whose frames call a plugin, and so are not the place of its exception.
_CALLERS = frozenset({"", "muniment", "click", "pluggy", *sys.stdlib_module_names})


class WorkerError(Exception):
    """An exception in a worker process, or its unexpected end. `str()` describes it in full."""


def explain(error: BaseException, module: str = "", function: object = None) -> str:
    """Return the description of a plugin's exception, for the message of its caller.

    `module` is that of the plugin, as in `place_of`, and `function` as in `describe`. Print the
    traceback on standard error if MUNIMENT_TRACEBACK is set.
    """
    print_traceback(error)
    return describe(error, module, function)


def print_traceback(error: BaseException) -> None:
    """Print the traceback of a plugin's exception if MUNIMENT_TRACEBACK is set."""
    if os.environ.get(TRACEBACK_VARIABLE):
        # Its __str__ may raise, and standard error may be closed.
        with contextlib.suppress(Exception):
            traceback.print_exception(error)


def describe(error: BaseException, module: str = "", function: object = None) -> str:
    """Return the type of an exception, the first line of its message, and its file and line.

    These are those of the plugin's `function` if the exception was raised outside of the plugin,
    such as for a result that breaks the contract.
    """
    if isinstance(error, WorkerError):
        return str(error)
    name, place = type(error).__name__, place_of(error, module) or place_of_code(function, module)
    try:
        text = error.msg if isinstance(error, SyntaxError) and place else str(error)
        line = text.strip().partition("\n")[0][:_LONGEST]
    except Exception:  # the __str__ of a plugin's exception may raise
        line = ""
    return f"{name}{f': {line}' if line else ''}{f' ({place})' if place else ''}"


def place_of(error: BaseException, module: str = "") -> str:
    """Return the file and line of the plugin where an exception was raised, or an empty text.

    An exception of a library has the place where the plugin called the library. `module` is the
    plugin's, whose package is preferred to those that call it, such as the one of a decorator. The
    file is relative to the folder of the package, because failures are recorded.
    """
    package = module.partition(".")[0]
    # ast.parse() and compile() raise an error of their text, which has no file.
    if isinstance(error, SyntaxError) and os.path.isfile(error.filename or ""):
        return f"{_in_package(str(error.filename), package)}:{error.lineno}"
    places = [
        (_package(frame), frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    packages = [found for found, _, _ in places]
    if package not in packages:
        package = next((found for found in packages if found not in _CALLERS), "")
    own = [(file, line) for found, file, line in places if package and found == package]
    return f"{_in_package(own[-1][0], package)}:{own[-1][1]}" if own else ""


def place_of_code(function: object, module: str = "") -> str:
    """Return the file and line of a plugin's function, or an empty text if it has none.

    The file is relative to the folder of the package of `module`.
    """
    while (wrapped := getattr(function, "__wrapped__", None)) is not None:
        function = wrapped
    code = getattr(function, "__code__", None)
    if code is None or code.co_filename.startswith(_CORE):
        return ""
    return f"{_in_package(code.co_filename, module.partition('.')[0])}:{code.co_firstlineno}"


def is_module_file(file: str) -> bool:
    """Return whether a module has a file, which is given as `place_of` returns it."""
    if any(os.path.isfile(os.path.join(folder, file)) for folder in sys.path):
        return not os.path.isabs(file)
    loaded = (getattr(module, "__dict__", {}).get("__file__") for module in [*sys.modules.values()])
    return any(f"/{path}".endswith(f"/{file}") for path in loaded if path)


def _in_package(file: str, package: str) -> str:
    """Return the path of a file from the folder of its package, or else its name."""
    *folders, name = PurePath(file).parts
    while folders and folders[-1] != package:
        name = f"{folders.pop()}/{name}"
    return f"{package}/{name}" if folders else PurePath(file).name


def _package(frame: FrameType) -> str:
    """Return the name of the top-level package that contains the code of a frame."""
    if frame.f_code.co_filename.startswith(_CORE):  # the program of a worker is `__main__`
        return "muniment"
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
