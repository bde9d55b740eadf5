"""Write tables as CSV that a spreadsheet opens without running formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import muniment


def csv_text(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV with a header, a byte-order mark and line ends as in RFC 4180.

    A text that a spreadsheet would change, such as the formula `=1+1`, begins with an apostrophe.
    Numbers are written as they are, and None as an empty cell.
    """
    buffer = io.StringIO()
    buffer.write("\ufeff")  # without it, Excel reads Chinese characters as another encoding
    writer = csv.writer(buffer)
    writer.writerow(map(_cell, headers))
    writer.writerows(map(_cell, row) for row in rows)
    return buffer.getvalue()


def _cell(value: object) -> object:
    if value is None:
        return ""
    return muniment.spreadsheet_text(value) if isinstance(value, str) else value
