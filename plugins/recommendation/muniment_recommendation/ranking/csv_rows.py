"""Rows of CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable


def csv_rows(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as CSV. Lines end with a carriage return and a line feed."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
