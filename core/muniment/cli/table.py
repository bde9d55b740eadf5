"""Tables on a terminal.

This module imports rich, so it is imported only when a table is displayed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from muniment.cli.field_lines import print_fields
from muniment.cli.output import one_line, suspended, write_data, write_note
from muniment.cli.values import cell, status_colour
from muniment.cli.wrapping import LONG, least_width, shortened, terminal_width, wrapped

_MIN_WIDTH = 16  # cells of a shortened column
_GAP = 2  # cells between columns
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
    a note names. If all of them are not enough, the column `cut` is printed below each row, and
    times have no seconds. If the rest is still too wide, words are folded, at first only long ones
    such as digests, but never numbers and ids. If that is not enough either, each row is printed
    as a block of lines with all columns instead.
    """
    width = terminal_width()
    columns = [
        _Column(header, [row[index] for row in rows], header == cut)
        for index, header in enumerate(headers)
    ]
    fields = [(column.header, column.texts) for column in columns]
    columns = [column for column in columns if column.header not in drop or any(column.texts)]
    if _least_width(columns) > width:
        columns = [column for column in columns if any(column.texts)]
    shown, dropped = _fitting(columns, drop, width)
    below = None
    if _least_width(shown) > width:
        below = next((one for one in columns if one.cut and one.header not in drop), None)
        columns = [column for column in columns if column is not below]
        shown, dropped = _fitting(columns, drop, width)
    if _least_width(shown) > width:
        for column in columns:
            column.leave_out_seconds()
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
            print_fields((header, texts[number]) for header, texts in fields)
        return
    with suspended("stdout"):
        # With a width alone, rich takes 80 columns for a terminal with TERM=dumb.
        console = Console(width=width, height=25)
        for lines in _lines(shown, below, len(rows), width):
            console.print(lines)
    if dropped:
        noun = "column does" if len(dropped) == 1 else "columns do"
        write_note(
            f"{len(dropped)} {noun} not fit: {', '.join(dropped)}; use a wider terminal or --json"
        )


def _lines(
    columns: Sequence[_Column], below: _Column | None, number: int, width: int
) -> Iterator[Table | Text]:
    """Yield a table, or with a column `below` the header and each row, followed by its text."""
    sizes = _widths(columns, width)
    if below is None:
        yield _grid(columns, sizes, range(number), header=True)
        return
    room = width - _GAP
    yield _grid(columns, sizes, (), header=True)
    yield Text(" " * _GAP + shortened(below.header, room), "bold")
    for row in range(number):
        yield _grid(columns, sizes, (row,), header=False)
        if below.texts[row]:
            yield Text(" " * _GAP + shortened(below.texts[row], room))


def _grid(
    columns: Sequence[_Column], sizes: Sequence[int], rows: Iterable[int], *, header: bool
) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="bold", show_header=header)
    for column, size in zip(columns, sizes, strict=True):
        grid.add_column(
            column.head(size), justify="right" if column.is_number else "left", width=size
        )
    for row in rows:
        grid.add_row(*(column.cell(row, size) for column, size in zip(columns, sizes, strict=True)))
    return grid


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
        self._is_time = kinds == {datetime}
        self.natural = max(map(cell_len, (self.header, *self.texts)))
        if cut:
            self.least = min(self.natural, max(_MIN_WIDTH, cell_len(self.header)))
        elif self.is_number or kinds <= {datetime}:
            self.least = self.natural
        else:
            self.least = max(map(least_width, (self.header, *self.texts)))
        self._longest = LONG

    def leave_out_seconds(self) -> None:
        """Let times end with the minutes."""
        if not self._is_time:
            return
        self.texts = [text.rpartition(":")[0] for text in self.texts]
        self.natural = self.least = max(map(cell_len, (self.header, *self.texts)))

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
