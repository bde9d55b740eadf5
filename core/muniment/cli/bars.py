"""Progress bars and spinners on a terminal.

This module imports rich, so it is imported only when one of them is displayed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.status import Status
from rich.text import Text

from muniment.cli.output import one_line
from muniment.cli.pace import Pace, duration, rate_text
from muniment.cli.signals import stopping
from muniment.cli.wrapping import shortened, terminal_width

_SPINNER_CELLS = 3  # of the spinner itself, the space after it, and the last cell of the line
_MOST_BAR_CELLS = 40
_STOPPING = "stopping"  # in place of what a command waits for, after Ctrl-C


class _LiveText(ProgressColumn):
    """A text that is computed whenever the bar is drawn."""

    def __init__(self, text: Callable[[], str], style: str = "") -> None:
        super().__init__()
        self._text, self._style = text, style

    def render(self, task: Task) -> Text:
        return Text(self._text(), style=self._style)


class _Bar(Progress):
    """A bar of one task on stderr, removed when it stops. `amount` returns the amount as text."""

    def __init__(self, pace: Pace, amount: Callable[[], str], *columns: ProgressColumn) -> None:
        self._pace = pace
        super().__init__(
            _LiveText(lambda: _STOPPING if stopping() else one_line(pace.label)),
            BarColumn(_bar_cells()),
            _LiveText(amount, "progress.percentage"),
            *columns,
            _LiveText(lambda: _remaining(pace), "progress.remaining"),
            console=Console(stderr=True),
            redirect_stdout=False,
            redirect_stderr=False,
            transient=True,
        )
        self.add_task("", total=None)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return the bar with the current amount. It pulses while that is unknown."""
        pace = self._pace
        for task in self.tasks:  # none while rich creates the display
            self.update(task.id, completed=pace.done, total=pace.total if pace.done else None)
        return super().get_renderables()


def counting_bar(pace: Pace) -> Progress:
    """Return a bar with the number of items done, the rate and the remaining time."""

    def amount() -> str:
        return f"{pace.done:,.0f}" + ("" if pace.total is None else f"/{pace.total:,.0f}")

    def rate() -> str:
        return "" if pace.rate is None else rate_text(pace.rate)

    return _Bar(pace, amount, _LiveText(rate, "progress.data.speed"))


def fraction_bar(pace: Pace) -> Progress:
    """Return a bar with the percentage done and the remaining time."""
    return _Bar(pace, lambda: f"{pace.done:.0%}" if pace.done else "")


def _remaining(pace: Pace) -> str:
    return "" if (seconds := pace.remaining) is None else f"{duration(seconds)} left"


def _bar_cells() -> int:
    """Return the width of a bar that leaves space for its texts on a narrow terminal."""
    return max(8, min(_MOST_BAR_CELLS, terminal_width() - 64))


class _Label:
    """A text that is computed whenever a spinner is drawn, with the seconds since `began`."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self.began = time.monotonic()

    def __rich__(self) -> Text:
        seconds = int(time.monotonic() - self.began)
        text = _STOPPING if stopping() else self._text()
        seconds_text = f", {seconds} s" if seconds else ""
        # A key that a user types moves the cursor, so rich removes a second line only in part.
        cells = terminal_width() - _SPINNER_CELLS - len(seconds_text)
        return Text(shortened(one_line(text), cells) + seconds_text, no_wrap=True)


class _Spinner(Status):
    """A spinner on stderr, which counts the seconds since it was displayed last."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._label = _Label(text)
        super().__init__(self._label, console=Console(stderr=True))

    def start(self) -> None:
        """Display the spinner, at the beginning or after an inner display."""
        self._label.began = time.monotonic()
        super().start()


def spinner(label: Callable[[], str]) -> Status:
    """Return a spinner, whose label is computed whenever it is drawn."""
    return _Spinner(label)
