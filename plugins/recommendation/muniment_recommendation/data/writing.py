"""Writing tables, and removing the rows of a user from a table."""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

import muniment
from muniment_recommendation.errors import DataError

from .catalogue import CatalogueItem
from .items import join_tags
from .rows import Rows
from .sources import INTERACTIONS, ITEMS, find_source
from .table_file import TableFile
from .tables import USER_NAMES, Tables
from .times import time_texts


def write_tables(folder: Path, tables: Tables) -> None:
    """Write a new folder with `interactions.csv`, and with `items.csv` if items are described.

    The folder appears with all its files or not at all. Raises DataError if the folder exists or
    cannot be written.
    """
    with new_folder(folder) as temporary:
        _write_files(temporary, tables)


def write_parts(folder: Path, parts: Mapping[str, Tables]) -> None:
    """Write a new folder with one folder of tables for each part, as `write_tables` does."""
    with new_folder(folder) as temporary:
        for name, tables in parts.items():
            (temporary / name).mkdir()
            _write_files(temporary / name, tables)


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder, which gets its name when the block ends. Raises DataError."""
    with contextlib.suppress(OSError):  # without its parent, the folder cannot be made below
        folder.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(folder):
        raise DataError(f"{folder} exists; use the path of a new folder")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as parent:
            temporary = Path(parent) / folder.name  # unlike its parent, readable by other accounts
            temporary.mkdir()
            yield temporary
            os.rename(temporary, folder)
            muniment.sync_folder(folder.parent)
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be written: {error.strerror}") from None


def _write_files(folder: Path, tables: Tables) -> None:
    _write(folder / INTERACTIONS, _interaction_rows(tables.rows))
    if tables.items:
        _write(folder / ITEMS, _item_rows(tables.items))


def _interaction_rows(rows: Rows) -> Iterator[Sequence[str]]:
    columns = {
        "user": rows.users.texts(),
        "item": rows.items.texts(),
        "timestamp": time_texts(rows.times),
    }
    if rows.ratings is not None:
        columns["rating"] = [_rating_text(rating) for rating in rows.ratings.tolist()]
    if rows.actions is not None:
        columns["action"] = rows.actions.texts()
    return itertools.chain([tuple(columns)], zip(*columns.values(), strict=True))


def _rating_text(rating: float) -> str:
    if np.isnan(rating):
        return ""
    return str(int(rating)) if rating.is_integer() and abs(rating) < 2**53 else repr(rating)


def _item_rows(items: Iterable[CatalogueItem]) -> Iterator[Sequence[str]]:
    yield ("item", "title", "text", "tags")
    for item in items:
        yield (item.id, item.title, item.text, join_tags(item.tags))


def _write(path: Path, rows: Iterable[Sequence[str]]) -> None:
    with path.open("x", encoding="utf-8", newline="") as file:
        plain = csv.writer(file, lineterminator="\n")
        quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for row in rows:
            # Python 3.11 quotes a carriage return only if it ends lines.
            (quoted if any("\r" in text for text in row) else plain).writerow(row)
        file.flush()
        os.fsync(file.fileno())


def remove_user(path: Path, user: str) -> int:
    """Remove the rows of a user from the table of interactions, and return their number.

    All other bytes of the file stay. The file is replaced atomically, and only if it changes.
    Raises DataError.
    """
    source = find_source(path)
    table = TableFile.open(source.interactions, is_atomic=source.is_atomic)
    column = table.required(USER_NAMES, "the ids of the users")
    target = Path(os.path.realpath(source.interactions))
    if not sum(is_removed for is_removed, _ in _records(table, column, user)):
        return 0
    removed = 0  # counted again, since another program may have changed the file
    try:
        with muniment.replacing(target, private=False) as file:
            for is_removed, text in _records(table, column, user):
                if is_removed:
                    removed += 1
                else:
                    file.write(text.encode())
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror}") from None
    return removed


def _records(table: TableFile, column: int, user: str) -> Iterator[tuple[bool, str]]:
    """Yield whether each record is one of a user, with its text. The header is never one."""
    for number, (record, text) in enumerate(table.texts()):
        yield bool(number and record) and record[column] == user, text
