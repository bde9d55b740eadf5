"""Progress bars and spinners on stderr, disabled when stderr is not a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from muniment.cli.output import displays, on_terminal, suspended, write_data, write_note


class Progress:
    """A running progress bar, or a substitute without a display.

    `write` and `note` print a line of data and a message above the bar.
    """

    write = staticmethod(write_data)
    note = staticmethod(write_note)

    def __init__(self, advance: Callable[[int], None] = lambda step: None) -> None:
        self.advance = advance


@contextlib.contextmanager
def counting(what: str, total: int | None) -> Iterator[Progress]:
    """Show the number of items done, the rate and the remaining time."""
    with _displayed(lambda terminal: terminal.counting_bar(what, total)) as bar:
        yield Progress(bar.advance_task) if bar else Progress()


@contextlib.contextmanager
def fraction(what: str) -> Iterator[Callable[[str, float, float], None]]:
    """Show a fraction and yield a function that updates it.

    The function takes a step's name, the number of items done, and their total, which may be 0.
    """
    with _displayed(lambda terminal: terminal.fraction_bar(what)) as bar:
        yield bar.update_task if bar else lambda step, done, total: None


@contextlib.contextmanager
def waiting(what: str) -> Iterator[Callable[[], None]]:
    """Show a spinner until the yielded function is called or the block ends."""
    with _displayed(lambda terminal: terminal.spinner(what)) as spinner:
        yield lambda: _end(spinner)


@contextlib.contextmanager
def _displayed(make: Callable[[Any], Any]) -> Iterator[Any]:
    """Show a display during the block, and suspend an outer one.

    `make` returns it, given the module `terminal`. Yields the display, or None when stderr is not a
    terminal.
    """
    if not on_terminal("stderr"):
        yield None
        return
    from muniment.cli import terminal

    display = make(terminal)
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
