"""Signals that end a training after the step in progress, instead of within it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextlib.contextmanager
def postponed_signals() -> Iterator[Callable[[], int | None]]:
    """Yield a function that returns the number of a signal which arrived in the block, or None.

    A second signal has its usual effect at once. An ignored signal, as under `nohup`, stays
    ignored. In another thread than the main one, signals cannot be handled.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    arrived: int | None = None
    previous: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(number: int, frame: object) -> None:
        nonlocal arrived
        arrived = number
        restore()

    for name in _NAMES:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            previous[number] = signal.signal(number, handle)
    try:
        yield lambda: arrived
    finally:
        restore()
