"""Cells of CSV that a spreadsheet reads as texts."""

from __future__ import annotations

import re

# Some spreadsheets also compute cells that begin with the wide forms. A number keeps 15 digits.
_INTERPRETED = re.compile(r"[=+\-@\t\r\n＝＋－＠]|(?:0[0-9]+|[0-9]{16,})\Z")


def spreadsheet_text(text: str) -> str:
    """Return a text for a cell of CSV, after an apostrophe if a spreadsheet would change it.

    A spreadsheet computes a text such as `=1+1` as a formula. Of a long integer it keeps 15 digits,
    and it omits zeros at the beginning.

    Example:
        >>> muniment.spreadsheet_text("=1+1")
        "'=1+1"
        >>> muniment.spreadsheet_text("18446744073709551615")
        "'18446744073709551615"
    """
    return f"'{text}" if _INTERPRETED.match(text) else text
