"""Tables, progress bars and spinners on a terminal.

This module imports rich, so it is imported only when one of them is displayed.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.status import Status
from rich.table import Table
from rich.text import Text

from muniment.cli.output import cell, one_line, status_colour

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


class _Rate(ProgressColumn):
    """The number of items in a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.2f}/s", style="progress.data.speed")


class _Bar(Progress):
    """A bar of one task on stderr, removed when it stops."""

    def __init__(self, label: str, total: float | None, *columns: ProgressColumn) -> None:
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *columns,
            TimeRemainingColumn(),
            console=Console(stderr=True),
            redirect_stdout=False,
            redirect_stderr=False,
            transient=True,
        )
        self._task = self.add_task(one_line(label), total=total)

    def advance_task(self, steps: int) -> None:
        """Add to the number of items done."""
        self.advance(self._task, steps)

    def update_task(self, step: str, done: float, total: float) -> None:
        """Set the label and the fraction done."""
        done = done / total if total else 1.0
        self.update(self._task, description=one_line(step), completed=done)


def counting_bar(label: str, total: int | None) -> _Bar:
    """Return a bar with the number of items done, the rate and the remaining time."""
    return _Bar(label, total, MofNCompleteColumn(), _Rate())


def fraction_bar(label: str) -> _Bar:
    """Return a bar with the percentage done and the remaining time."""
    return _Bar(label, 1.0, TaskProgressColumn())


def spinner(label: str) -> Status:
    """Return a spinner."""
    return Status(Text(one_line(label)), console=Console(stderr=True))
