"""Redirection of standard output while code of plugins runs."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

_quiet_lock = threading.Lock()
_quiet_depth = 0  # number of active quiet_stdout contexts in all threads
_quiet_exit = contextlib.ExitStack()  # restores standard output after the last of them


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Redirect standard output to standard error, also for C code.

    Standard output contains only data, which the output of a plugin would corrupt. The redirection
    applies to the whole process, so it affects all threads while one of them is in this context.
    """
    global _quiet_depth
    with _quiet_lock:
        if _quiet_depth == 0:
            _redirect_stdout()
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                _quiet_exit.close()


def _redirect_stdout() -> None:
    _flush_stdout()
    try:
        saved = os.dup(1)
        os.dup2(2, 1)
    except OSError:
        pass  # standard output or standard error is closed, so nothing can be redirected
    else:
        _quiet_exit.callback(os.close, saved)
        _quiet_exit.callback(os.dup2, saved, 1)
    _quiet_exit.callback(_flush_stdout)
    _quiet_exit.enter_context(contextlib.redirect_stdout(sys.stderr))


def _flush_stdout() -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):  # it is None or closed
        sys.stdout.flush()
