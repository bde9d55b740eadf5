"""Rows of CSV files, of which a spreadsheet computes no text as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

# A spreadsheet computes a cell that begins with one of these.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_text(text: str) -> str:
    """Return a text, after an apostrophe if a spreadsheet would compute it as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_rows(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as CSV. Lines end with a carriage return and a line feed."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
