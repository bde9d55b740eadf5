"""A ranked list as rows for other programs: lines for a pipe, and a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import muniment
from muniment.provenance import to_json

from .csv_rows import csv_rows
from .document import Ranking
from .reason_texts import reason_texts

_HEADER = ("rank", "item", "title", "score", "reasons", "provenance")
_MARK = "\ufeff"  # without a byte order mark, spreadsheets read another encoding than UTF-8
_MAX_CELL = 32_767  # characters that a spreadsheet reads of a cell


class _Row(NamedTuple):
    rank: int
    item: str
    title: str
    score: float
    reasons: str


def lines(ranking: Ranking) -> str:
    """Return a line for each item: rank, id, title, score and reasons, separated by tabs."""
    return "\n".join("\t".join(map(str, row)) for row in _rows(ranking))


def csv_file(ranking: Ranking, provenance: muniment.Provenance) -> bytes:
    """Return a CSV file with a row for each item, the first of which has the provenance.

    The provenance has neither the prompt nor the parameters if a cell has no room for them.
    """
    origin = to_json([provenance], ensure_ascii=False)
    if len(origin) > _MAX_CELL:
        origin = to_json([replace(provenance, prompt="", parameters={})], ensure_ascii=False)
    rows: list[list[object]] = [
        [muniment.spreadsheet_text(cell) if isinstance(cell, str) else cell for cell in row]
        for row in _rows(ranking)
    ]
    first, *others = rows or [[""] * len(_Row._fields)]
    text = csv_rows([_HEADER, [*first, origin], *([*row, ""] for row in others)])
    return f"{_MARK}{text}".encode()


def is_csv_file(data: bytes) -> bool:
    """Return whether the first line of a file is the header of `csv_file`."""
    header = ",".join(_HEADER).encode()
    return data.removeprefix(_MARK.encode()).split(b"\n", 1)[0].rstrip(b"\r") == header


def read_provenance(data: bytes) -> str | None:
    """Return the provenance in a CSV file, or None.

    A spreadsheet can have sorted its rows, and in Chinese have saved it as GB 18030.
    """
    if not is_csv_file(data):
        return None
    try:
        decoded = data.decode()
    except UnicodeDecodeError:
        decoded = data.decode("gb18030", errors="replace")
    text = io.StringIO(decoded, newline="")
    try:
        origins = [row[-1] for row in csv.reader(text) if len(row) == len(_HEADER)]
    except csv.Error:  # such as a cell that is too long
        return None
    return next(filter(None, origins[1:]), None)


def _rows(ranking: Ranking) -> Iterator[_Row]:
    pairs = zip(ranking.items, reason_texts(ranking), strict=True)
    for rank, (item, reasons) in enumerate(pairs, 1):
        yield _Row(
            rank, muniment.escaped(item.item), muniment.escaped(item.title), item.score, reasons
        )
