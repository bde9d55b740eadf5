"""Files of rows: CSV with a header, and the atomic files of RecBole.

Records are read in chunks of columns, so memory is linear in the distinct texts and numbers. A
record is counted from 0 after the header, without empty lines.
"""

from __future__ import annotations

import contextlib
import csv
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from muniment_recommendation.errors import DataError

if TYPE_CHECKING:
    from _csv import Reader

CHUNK = 4096
"""Records that are read at once."""
MAX_FIELD = 10_000_000
"""Characters of the longest field."""
_MAX_LINE = 16_000_000
_MAX_SHOWN = 60
_MAX_PLACES = 5
_MAX_COUNTED = 1000  # wrong lines, since a large table can have only such lines


class Column(NamedTuple):
    """A column by its name in lower case, and its type in an atomic file."""

    name: str
    type: str = ""


@dataclass(frozen=True)
class TableFile:
    """A file of records whose first line names the columns.

    `is_atomic` is true for tab-separated files with typed column names and without quotes.
    """

    path: Path
    is_atomic: bool
    columns: tuple[Column, ...]

    @classmethod
    def open(cls, path: Path, *, is_atomic: bool = False) -> TableFile:
        """Read the header of a file. Raises DataError for a file that is not a table."""
        _check_regular(path)
        table = cls(path, is_atomic, ())
        with table._errors_named(), table._open() as file, _long_fields():
            names = next(table._reader(_lines(file)), None)
        if not names:
            raise DataError(f"{path} is empty; write a first line that names its columns")
        return cls(path, is_atomic, tuple(_column(name, is_atomic) for name in names))

    def number_of(self, names: Sequence[str]) -> int | None:
        """Return the position of the column with the first of these names that occurs, or None.

        Raises DataError for a name that occurs twice.
        """
        present = [column.name for column in self.columns]
        for name in names:
            if present.count(name) > 1:
                count = present.count(name)
                raise DataError(f"{self.path} has {count} columns named {name}; rename all but one")
            if name in present:
                return present.index(name)
        return None

    def required(self, names: Sequence[str], content: str) -> int:
        """Return the position of a column as `number_of` does. Raise DataError if it is missing."""
        number = self.number_of(names)
        if number is None:
            raise DataError(self._missing_column(names[0], content))
        return number

    def chunks(self) -> Iterator[list[tuple[str, ...]]]:
        """Yield the columns of the next records until the end. Raises DataError."""
        with self._open() as file:
            reader = self._reader(_lines(file))
            with self._errors_named(), _long_fields():
                next(reader, None)
            while True:
                with self._errors_named(), _long_fields():
                    records = list(islice(reader, CHUNK))
                if not records:
                    return
                if set(map(len, records)) != {len(self.columns)}:
                    records = [record for record in records if record]
                    if any(len(record) != len(self.columns) for record in records):
                        raise self._wrong_width()
                if records:
                    yield list(zip(*records, strict=True))

    def texts(self) -> Iterator[tuple[list[str], str]]:
        """Yield each record, the header included, with its text in the file. Raises DataError."""
        with self._errors_named(), self._open("utf-8") as file, _long_fields():
            lines: list[str] = []

            def noted() -> Iterator[str]:
                for line in _lines(file):
                    lines.append(line)
                    yield line

            for record in self._reader(noted()):
                if record and len(record) != len(self.columns):
                    raise self._wrong_width()
                yield record, "".join(lines)
                lines.clear()

    def lines_of(self, records: Sequence[int]) -> list[int]:
        """Return the numbers of the first lines of some records, which must be sorted."""
        lines: list[int] = []
        wanted = iter(records)
        following = next(wanted, None)
        for number, (line, _) in enumerate(self._numbered()):
            if following is None:
                break
            if number == following:
                lines.append(line)
                following = next(wanted, None)
        return lines

    def places(self, records: Sequence[int]) -> str:
        """Return the lines of some sorted records for a message, at most five of them."""
        return _places(self.lines_of(records[:_MAX_PLACES]), len(records))

    def error(self, record: int, problem: str, remedy: str) -> DataError:
        """Return an error that names the file and the line of a record."""
        return DataError(f"{self.path}, line {self.lines_of([record])[0]}: {problem}; {remedy}")

    def column_error(
        self, column: int, is_wrong: Callable[[str], bool], problem: str, remedy: str
    ) -> DataError:
        """Return an error that names the file and the lines with a wrong value in a column.

        `problem` describes the first one.
        """
        return self._lines_error(
            lambda record: len(record) > column and is_wrong(record[column]), problem, remedy
        )

    # ---- internals ---------------------------------------------------------------------------

    def _reader(self, lines: Iterable[str]) -> Reader:
        if self.is_atomic:
            return csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        # Without `strict`, an unclosed quotation mark would join the rest of the file.
        return csv.reader(lines, strict=True)

    def _open(self, encoding: str = "utf-8-sig") -> TextIO:
        try:
            return self.path.open(encoding=encoding, newline="")
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}") from None

    def _numbered(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each record with the number of its first line."""
        with self._open() as file, _long_fields():
            reader = self._reader(_lines(file))
            next(reader, None)
            line = reader.line_num + 1
            for record in reader:
                if record:
                    yield line, record
                line = reader.line_num + 1

    @contextlib.contextmanager
    def _errors_named(self) -> Iterator[None]:
        """Raise a DataError that names the line for an error within the block."""
        try:
            yield
        except UnicodeDecodeError:
            line = self._first_line_not_utf8()
            raise DataError(
                f"{self.path}, line {line}: the text is not UTF-8; save the file as UTF-8, which "
                "Excel names CSV UTF-8"
            ) from None
        except (csv.Error, _LineError) as error:
            raise self._malformed(str(error)) from None
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}") from None

    def _first_line_not_utf8(self) -> int:
        line = 1
        with self.path.open("rb") as file:
            while text := file.readline(_MAX_LINE):
                try:
                    text.decode()
                except UnicodeDecodeError:
                    return line
                line += text.endswith(b"\n")
        return line

    def _malformed(self, reason: str) -> DataError:
        """Return the error for a record that the module `csv` cannot read."""
        line = 1
        with (
            contextlib.suppress(csv.Error, _LineError, UnicodeDecodeError),
            self._open() as file,
            _long_fields(),
        ):
            reader = self._reader(_lines(file))
            for _ in reader:
                line = reader.line_num + 1
        if reason == "unexpected end of data":
            reason, remedy = "a quotation mark is not closed", "close it, or double it in a text"
        elif reason.startswith("field larger"):
            reason = f"a field has more than {MAX_FIELD:,} characters"
            remedy = "shorten it, or close the quotation mark that begins it"
        elif "expected after" in reason:
            reason, remedy = (
                "a text follows a closing quotation mark",
                "double the quotation marks within a field",
            )
        else:
            remedy = "use a table of lines of text"
        return DataError(f"{self.path}, line {line}: {reason}; {remedy}")

    def _wrong_width(self) -> DataError:
        width = len(self.columns)
        number = next(len(record) for _, record in self._numbered() if len(record) != width)
        return self._lines_error(
            lambda record: len(record) != width,
            f"{number} field{'' if number == 1 else 's'} instead of the {width} of the header",
            "separate fields by a tab"
            if self.is_atomic
            else "separate fields by a comma, and quote a field with a comma in it",
        )

    def _lines_error(
        self, is_wrong: Callable[[list[str]], bool], problem: str, remedy: str
    ) -> DataError:
        """Return an error that names the first lines of wrong records and their number."""
        wrong = (line for line, record in self._numbered() if is_wrong(record))
        lines: list[int] = []
        with contextlib.suppress(csv.Error, _LineError, UnicodeDecodeError):
            lines.extend(islice(wrong, _MAX_COUNTED))
        if len(lines) > 1:
            least = "at least " if len(lines) == _MAX_COUNTED else ""
            problem = f"{problem} (the first of {least}{len(lines):,})"
        places = _places(lines[:_MAX_PLACES], len(lines))
        return DataError(f"{self.path}, {places}: {problem}; {remedy}")

    def _missing_column(self, name: str, content: str) -> str:
        only = self.columns[0].name if len(self.columns) == 1 and not self.is_atomic else ""
        for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")):
            if separator in only:
                return f"the fields of {self.path} are separated by {word}; save it with commas"
        names = ", ".join(quoted(column.name) for column in self.columns[:10])
        return (
            f"{self.path} has no column {name} for {content}; add it and name it in the first "
            f"line, which names {names}"
        )


def _places(lines: Sequence[int], count: int) -> str:
    """Return the first lines of `count` wrong ones for a message."""
    more = f" and {count - len(lines):,} more" if count > len(lines) else ""
    return f"line{'s' if count > 1 else ''} {', '.join(map(str, lines))}{more}"


class _LineError(Exception):
    """A line that no table has."""


def _lines(file: TextIO) -> Iterator[str]:
    """Yield the lines of a file. Raise _LineError for one that would fill the memory."""
    while line := file.readline(_MAX_LINE):
        if len(line) == _MAX_LINE:
            raise _LineError(f"the line has more than {_MAX_LINE:,} characters")
        if "\0" in line:
            raise _LineError("the line has a character NUL, which no text has")
        yield line


@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
    """Allow longer fields during the block, because the limit of `csv` is that of the process."""
    limit = csv.field_size_limit(MAX_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _column(text: str, is_atomic: bool) -> Column:
    name, _, type = text.strip().partition(":") if is_atomic else (text.strip(), "", "")
    return Column(name.casefold(), type)


def _check_regular(path: Path) -> None:
    """Raise DataError unless a path is a regular file, since opening a pipe would wait."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        problem = "is a link to a missing file" if path.is_symlink() else "does not exist"
        raise DataError(f"{path} {problem}; use the path of a table") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise DataError(f"{path} is {kind}; replace it by a table")


def quoted(text: str) -> str:
    """Return a text of the data for a message, in quotes and cut."""
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")
