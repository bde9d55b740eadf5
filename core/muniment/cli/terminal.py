"""Tables, progress bars and spinners on a terminal.

This module imports rich, so it is imported only when one of them is displayed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.status import Status
from rich.table import Table
from rich.text import Text

from muniment.cli.output import cell, one_line, status_colour
from muniment.cli.progress import Pace, duration, rate_text

_MIN_WIDTH = 16  # cells of a shortened column
_LONG_WORD = 10  # cells, from which a word of a table may be broken


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]], cut: str) -> None:
    """Print a table. On a narrow terminal the column `cut` is shortened and the others wrap.

    Where words would be broken, each row is printed as a block of lines instead.
    """
    console = Console()
    grid = Table(box=None, pad_edge=False, header_style="bold")
    cells = [
        [
            Text(one_line(cell(value)), status_colour(header, cell(value)))
            for header, value in zip(headers, row, strict=True)
        ]
        for row in rows
    ]
    if _least_width(headers, cells) > console.width:
        _print_blocks(console, headers, cells)
        return
    widths = [
        max(cell_len(header), *(row[index].cell_len for row in cells))
        for index, header in enumerate(headers)
    ]
    for index, header in enumerate(headers):
        values = [row[index] for row in rows if row[index] is not None]
        numbers = {type(value) for value in values} <= {int, float}
        if header == cut:
            others = sum(widths) - widths[index] + 2 * (len(headers) - 1)
            remaining = max(console.width - others, _MIN_WIDTH)
            grid.add_column(header, no_wrap=True, overflow="ellipsis", max_width=remaining)
        else:
            grid.add_column(header, overflow="fold", justify="right" if numbers else "left")
    for texts in cells:
        grid.add_row(*texts)
    console.print(grid)


def _least_width(headers: Sequence[str], rows: Sequence[Sequence[Text]]) -> int:
    """Return the cells that a table needs so that only long words are broken."""
    words = [
        max(
            (cell_len(word) for text in (header, *column) for word in str(text).split()),
            default=0,
        )
        for header, *column in zip(headers, *rows, strict=True)
    ]
    return sum(min(width, _LONG_WORD) for width in words) + 2 * (len(headers) - 1)


def _print_blocks(console: Console, headers: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    """Print a line for each value that is not empty, and an empty line between rows."""
    for number, row in enumerate(rows):
        grid = Table(box=None, pad_edge=False, show_header=False)
        grid.add_column(no_wrap=True, style="bold")
        grid.add_column(overflow="fold")
        for header, text in zip(headers, row, strict=True):
            if text.plain:
                grid.add_row(header, text)
        if number:
            console.print()
        console.print(grid)


class _Column(ProgressColumn):
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
            _Column(lambda: one_line(pace.label)),
            BarColumn(),
            _Column(amount, "progress.percentage"),
            *columns,
            _Column(lambda: _remaining(pace), "progress.remaining"),
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

    return _Bar(pace, amount, _Column(rate, "progress.data.speed"))


def fraction_bar(pace: Pace) -> Progress:
    """Return a bar with the percentage done and the remaining time."""
    return _Bar(pace, lambda: f"{pace.done:.0%}" if pace.done else "")


def _remaining(pace: Pace) -> str:
    return "" if (seconds := pace.remaining) is None else f"{duration(seconds)} left"


class _Label:
    """A text that is computed whenever a spinner is drawn, with the seconds since `began`."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self.began = time.monotonic()

    def __rich__(self) -> Text:
        seconds = int(time.monotonic() - self.began)
        return Text(one_line(self._text() + (f", {seconds} s" if seconds else "")))


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
