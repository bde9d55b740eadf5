"""Progress on stderr: bars and spinners on a terminal, and now and then a line elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from muniment.cli.output import displays, on_terminal, suspended, write_data, write_note
from muniment.cli.pace import Pace, duration, rate_text

LINE_SECONDS = 30.0  # until the first line without a terminal, and at least between two lines
_LINE_SHARE = 0.1  # of the running time between two lines, so that a long log stays readable


class Progress:
    """A running progress bar, or lines without a terminal.

    `write` and `note` print a line of data and a message above the bar.
    """

    write = staticmethod(write_data)
    note = staticmethod(write_note)

    def __init__(self, advance: Callable[[int], None] = lambda step: None) -> None:
        self.advance = advance


_running: list[Pace] = []  # of the counted items, to restart their clocks


def begin_all() -> None:
    """Restart the clocks of counted items of which none is done, as only now the first begins."""
    for pace in _running:
        if not pace.done:
            pace.begin()


@contextlib.contextmanager
def counting(what: str, total: int | None) -> Iterator[Progress]:
    """Show the number of items done, the rate and the remaining time."""
    pace = Pace(what, total)
    _running.append(pace)
    try:
        with _displayed(lambda bars: bars.counting_bar(pace)), _lines(pace, _counted):
            yield Progress(pace.advance)
    finally:
        _running.remove(pace)


@contextlib.contextmanager
def fraction(what: str) -> Iterator[Callable[[str, float, float], None]]:
    """Show a fraction and yield a function that updates it.

    The function takes a step's name, the number of items done, and their total, which may be 0.
    A step of which nothing is done has an unknown fraction.
    """
    pace = Pace(what, 1.0)

    def update(step: str, done: float, total: float) -> None:
        if step != pace.label:
            pace.begin()
            pace.label = step
        pace.advance((done / total if total else 1.0) - pace.done)

    with _displayed(lambda bars: bars.fraction_bar(pace)), _lines(pace, _percentage):
        yield update


@contextlib.contextmanager
def waiting(what: str | Callable[[], str]) -> Iterator[Callable[[], None]]:
    """Show a spinner with the time until the yielded function is called or the block ends.

    `what` can be a function that returns the current label.
    """
    label = (lambda: what) if isinstance(what, str) else what
    with _displayed(lambda bars: bars.spinner(label)) as spinner:
        yield lambda: _end(spinner)


@contextlib.contextmanager
def _displayed(make: Callable[[Any], Any]) -> Iterator[Any]:
    """Show a display during the block, and suspend an outer one.

    `make` returns it, given the module `bars`. Yields the display, or None when stderr is not a
    terminal.
    """
    if not on_terminal("stderr"):
        yield None
        return
    from muniment.cli import bars

    display = make(bars)
    with suspended():
        displays.append(display)
        display.start()
        try:
            yield display
        finally:
            _end(display)


def _end(display: Any) -> None:
    if display in displays:
        displays.remove(display)
        display.stop()


@contextlib.contextmanager
def _lines(pace: Pace, text: Callable[[Pace], str]) -> Iterator[None]:
    """Print a line now and then during the block, unless stderr is a terminal.

    A log then shows that the command still runs. A short block prints nothing.
    """
    if on_terminal("stderr"):
        yield
        return
    ended, began = threading.Event(), time.monotonic()

    def report() -> None:
        pause = LINE_SECONDS
        while not ended.wait(pause):
            write_note(text(pace))
            pause = max(LINE_SECONDS, _LINE_SHARE * (time.monotonic() - began))

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _counted(pace: Pace) -> str:
    done = f"{pace.done:,.0f}"
    parts = [f"{done} done" if pace.total is None else f"{done} of {pace.total:,.0f}"]
    if (rate := pace.rate) is not None:
        parts.append(rate_text(rate))
    return _line(pace, parts)


def _percentage(pace: Pace) -> str:
    return _line(pace, [f"{pace.done:.0%}"] if pace.done else [])


def _line(pace: Pace, parts: list[str]) -> str:
    if (remaining := pace.remaining) is not None:
        parts.append(f"{duration(remaining)} left")
    return f"{pace.label}: {', '.join(parts)}" if parts else f"{pace.label} …"
