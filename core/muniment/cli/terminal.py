"""Tables, progress bars and spinners on a terminal.

This module imports rich, so it is imported only when one of them is displayed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.status import Status
from rich.table import Table
from rich.text import Text

from muniment.cli.output import (
    cell,
    one_line,
    print_fields,
    status_colour,
    suspended,
    write_data,
    write_note,
)
from muniment.cli.progress import Pace, duration, rate_text
from muniment.cli.signals import stopping
from muniment.cli.wrapping import LONG, least_width, shortened, terminal_width, wrapped

_MIN_WIDTH = 16  # cells of a shortened column
_GAP = 2  # cells between columns
_STOPPING = "stopping"  # in place of what a command waits for, after Ctrl-C
_LONGEST = (LONG, 16, 12, 10)  # cells of a whole word, tried in turn; a date has 10


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[object]],
    cut: str = "",
    drop: Sequence[str] = (),
) -> None:
    """Print a table whose words are whole if possible.

    On a narrow terminal the column `cut` is shortened, empty columns are left out, and texts of
    several words wrap. If that is not enough, columns in `drop` are left out in their order, which
    a note names. If the rest is still too wide, words are folded, at first only long ones such as
    digests, but never numbers and ids. If that is not enough either, each row is printed as a block
    of lines with all columns instead.
    """
    width = terminal_width()
    columns = [
        _Column(header, [row[index] for row in rows], header == cut)
        for index, header in enumerate(headers)
    ]
    columns = [column for column in columns if column.header not in drop or any(column.texts)]
    if _least_width(columns) > width:
        columns = [column for column in columns if any(column.texts)]
    shown, dropped = _fitting(columns, drop, width)
    for longest in _LONGEST:
        if _least_width(shown) <= width:
            break
        for column in columns:
            column.fold(longest)
        shown, dropped = _fitting(columns, drop, width)
    if _least_width(shown) > width:
        for number in range(len(rows)):
            if number:
                write_data()
            print_fields((column.header, column.texts[number]) for column in columns)
        return
    grid = Table(box=None, pad_edge=False, header_style="bold")
    sizes = _widths(shown, width)
    for column, size in zip(shown, sizes, strict=True):
        grid.add_column(
            column.head(size), justify="right" if column.is_number else "left", width=size
        )
    for number in range(len(rows)):
        grid.add_row(
            *(column.cell(number, size) for column, size in zip(shown, sizes, strict=True))
        )
    with suspended("stdout"):
        Console(width=width).print(grid)
    if dropped:
        noun = "column does" if len(dropped) == 1 else "columns do"
        write_note(
            f"{len(dropped)} {noun} not fit: {', '.join(dropped)}; use a wider terminal or --json"
        )


def _fitting(
    columns: Sequence[_Column], drop: Sequence[str], width: int
) -> tuple[Sequence[_Column], list[str]]:
    """Return the columns without as many of `drop` as needed to fit, and the headers of those."""
    dropped: list[str] = []
    for header in drop:
        if _least_width(columns) <= width:
            break
        if header in [column.header for column in columns]:
            columns = [column for column in columns if column.header != header]
            dropped.append(header)
    return columns, dropped


class _Column:
    """The texts of a column, and the cells that they take."""

    def __init__(self, header: str, values: Sequence[object], cut: bool) -> None:
        self.header = one_line(header)
        self.texts = [one_line(cell(value)) for value in values]
        self.cut = cut
        kinds = {type(value) for value in values if value is not None}
        self.is_number = kinds <= {int, float}
        self.natural = max(map(cell_len, (self.header, *self.texts)))
        if cut:
            self.least = min(self.natural, max(_MIN_WIDTH, cell_len(self.header)))
        elif self.is_number or kinds <= {datetime}:
            self.least = self.natural
        else:
            self.least = max(map(least_width, (self.header, *self.texts)))
        self._longest = LONG

    def fold(self, longest: int) -> None:
        """Let words of more than `longest` cells be folded, except numbers and ids."""
        if self.cut:
            return
        self._longest = longest
        words = [self.header] if self.is_number else [self.header, *self.texts]
        self.least = max(least_width(text, longest) for text in words)
        if self.is_number:
            self.least = max(self.least, *map(cell_len, self.texts))

    def head(self, width: int) -> Text:
        """Return the header within `width` cells."""
        return Text("\n".join(wrapped(self.header, width, self._longest)))

    def cell(self, row: int, width: int) -> Text:
        """Return the text of a row within `width` cells."""
        text = self.texts[row]
        lines = [shortened(text, width)] if self.cut else wrapped(text, width, self._longest)
        return Text("\n".join(lines), status_colour(self.header, text))


def _least_width(columns: Sequence[_Column]) -> int:
    return sum(column.least for column in columns) + _GAP * (len(columns) - 1)


def _widths(columns: Sequence[_Column], width: int) -> list[int]:
    """Return the cells of each column. Those that wrap get their space before the cut one."""
    sizes = [column.least for column in columns]
    rest = width - _least_width(columns)
    for index in sorted(range(len(columns)), key=lambda index: columns[index].cut):
        more = min(columns[index].natural - sizes[index], rest)
        sizes[index] += more
        rest -= more
    return sizes


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
            BarColumn(),
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


class _Label:
    """A text that is computed whenever a spinner is drawn, with the seconds since `began`."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self.began = time.monotonic()

    def __rich__(self) -> Text:
        seconds = int(time.monotonic() - self.began)
        text = _STOPPING if stopping() else self._text()
        return Text(one_line(text + (f", {seconds} s" if seconds else "")))


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
