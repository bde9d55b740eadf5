"""The signals that end a command, and whether one has arrived that is not handled yet.

Python runs a handler between two steps of the main thread. A call into a library delays it, by
seconds on a busy machine. The interpreter writes the signal into a pipe at once. Displays read it
there and show that the command is stopping.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_NAMES = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP
_IMPORTING = "<frozen importlib._bootstrap"
_RETRY_SECONDS = 0.05

_reader: int | None = None  # of the pipe of arrived signals
_stopping = False
_delayed = False  # whether Ctrl-C waits for the end of an import
_retrying = False  # whether the next signal is the delayed one


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, which end every command. Ctrl-C ends only an answer of a shell."""


def interrupt_at_signals(ends: list[int]) -> None:
    """Handle SIGTERM and SIGHUP like Ctrl-C, so that displayed text is recorded.

    The signals are appended to `ends`. An ignored signal, as under `nohup`, stays ignored.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        ends.append(number)
        raise Terminated

    for name in _NAMES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, interrupt)
    _watch()


@contextlib.contextmanager
def sparing_imports() -> Iterator[None]:
    """Delay Ctrl-C in the block while the main thread imports, unless it is pressed again.

    Libraries such as torch cannot be imported again after an interrupted import, so that a command
    that continues could not generate any more.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    import threading  # noqa: F401 - not first in a handler, which can interrupt that import

    signal.signal(signal.SIGINT, _interrupt_after_import)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def stopping() -> bool:
    """Return whether a signal to stop has arrived since `forget`."""
    global _stopping
    if _reader is not None:
        with contextlib.suppress(BlockingIOError):
            _stopping = bool(os.read(_reader, 4096)) or _stopping
    return _stopping


def forget() -> None:
    """Forget the signals that have arrived, because they were handled."""
    global _stopping
    stopping()  # empties the pipe
    _stopping = False


def _interrupt_after_import(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, after an import in progress if this is the first Ctrl-C."""
    global _delayed, _retrying
    retried, _retrying = _retrying, False
    if _is_importing(frame) and (retried or not _delayed):
        if not _delayed:
            import threading  # `--help` does without it

            _delayed = True
            threading.Thread(target=_retry, daemon=True).start()
        return
    _delayed = False
    raise KeyboardInterrupt


def _retry() -> None:
    """Interrupt the main thread as soon as it imports nothing, unless it was interrupted."""
    global _retrying
    import threading

    pause = threading.Event()
    main = threading.main_thread().ident or 0
    while True:
        pause.wait(_RETRY_SECONDS)
        if not _delayed:
            return
        if not _is_importing(sys._current_frames().get(main)):
            _retrying = True
            if hasattr(signal, "pthread_kill"):  # ends a system call of the main thread, too
                signal.pthread_kill(main, signal.SIGINT)
            else:
                signal.raise_signal(signal.SIGINT)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORTING):
            return True
        frame = frame.f_back
    return False


def _watch() -> None:
    global _reader
    if os.name != "posix":  # Windows accepts only sockets
        return
    _reader, writer = os.pipe()
    os.set_blocking(_reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
