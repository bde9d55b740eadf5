"""Times of tables: one form in a column, as microseconds since 1970."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from .table_file import TableFile, quoted

Times = NDArray[np.int64]
"""Microseconds since 1970."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EARLIEST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND
_LATEST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND
_SECONDS, _ISO = "seconds", "ISO 8601"
# The size of a number has one meaning: 1e11 seconds are the year 5138, as milliseconds 1973.
_UNITS = (
    (_SECONDS, 10**11, Decimal(1_000_000)),
    ("milliseconds", 10**14, Decimal(1000)),
    ("microseconds", 10**17, Decimal(1)),
    ("nanoseconds", 2**63, Decimal("0.001")),
)
_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_REMEDY = "write seconds since 1970, or times such as 2026-01-31T12:00:00"


class TimeReader:
    """The times of one column, whose form must be the same in all records. 0 has every form."""

    def __init__(self, table: TableFile, column: int) -> None:
        self._table = table
        self._column = column
        self._first: dict[str, tuple[int, str]] = {}
        """The first record of each form, and its text."""

    def read(self, texts: Sequence[str], first: int) -> Times:
        """Return the times of texts, of which the first is that of record `first`.

        Raises DataError for a text that is not a time, and for a second form.
        """
        joined = "".join(texts)
        if joined.isascii() and joined.isdigit() and "" not in texts:
            times = self._integers(texts, first)
        else:
            times = self._any(texts, first)
        if len(self._first) > 1:
            records = sorted((record, form, text) for form, (record, text) in self._first.items())
            lines = self._table.lines_of([record for record, _, _ in records])
            forms = ", ".join(
                f"{form} in line {line} ({quoted(text)})"
                for line, (_, form, text) in zip(lines, records, strict=True)
            )
            raise self._table.error(
                records[1][0], f"the times have different forms: {forms}", "use one form for all"
            )
        return times

    def _integers(self, texts: Sequence[str], first: int) -> Times:
        """Return the times of texts that have only digits."""
        try:
            numbers = np.array(list(map(int, texts)), np.int64)
        except (OverflowError, ValueError):  # too large, or too many digits
            return self._any(texts, first)
        below = 0
        times = np.zeros_like(numbers)
        for form, limit, factor in _UNITS:
            within = (numbers > below) & (numbers < limit)
            if within.any():
                record = int(np.argmax(within))
                self._first.setdefault(form, (first + record, texts[record]))
                if factor < 1:
                    times[within] = numbers[within] // int(1 / factor)
                else:
                    times[within] = numbers[within] * int(factor)
            below = limit - 1
        return times

    def _any(self, texts: Sequence[str], first: int) -> Times:
        """Return the times of texts of any form."""
        times = np.zeros(len(texts), np.int64)
        for index, text in enumerate(texts):
            form, time = _parse(text)
            if not form:
                problem = (
                    "the time is missing" if not text.strip() else f"{quoted(text)} is no time"
                )
                raise self._table.column_error(
                    self._column, lambda text: not _parse(text)[0], problem, _REMEDY
                )
            if time or form == _ISO:
                self._first.setdefault(form, (first + index, text))
            times[index] = time
        return times


def _parse(text: str) -> tuple[str, int]:
    """Return the form of a text, empty for one that is no time, and its microseconds.

    A time before the year 1 or after the year 9999 of UTC is none.
    """
    text = text.strip()
    if _DECIMAL.fullmatch(text):
        number = Decimal(text)
        for form, limit, factor in _UNITS:
            if abs(number) < limit:
                return _within_years(form, int(number * factor))
        return "", 0
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return "", 0
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return _within_years(_ISO, (time - EPOCH) // _MICROSECOND)


def _within_years(form: str, microseconds: int) -> tuple[str, int]:
    return (form, microseconds) if _EARLIEST <= microseconds <= _LATEST else ("", 0)


def time_texts(times: Times) -> list[str]:
    """Return times as texts that are read as the same times: seconds if all are whole ones."""
    seconds, rest = np.divmod(times, 1_000_000)
    if not rest.any() and (np.abs(seconds) < _UNITS[0][1]).all():
        return list(map(str, seconds.tolist()))
    return [iso_time(time) for time in times.tolist()]


def iso_time(microseconds: int) -> str:
    """Return a time in the form of ISO 8601."""
    return (EPOCH + microseconds * _MICROSECOND).isoformat().replace("+00:00", "Z")
