"""Folders of awkward tables of interactions, written for tests."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

Row = tuple[str, str, int]

HEADER = "user,item,timestamp"


def sampled_rows(
    users: int = 60, items: int = 80, each: int = 12, *, seed: int = 0, prefix: str = "u"
) -> list[Row]:
    """Return rows in which every user takes `each` different items, one a second."""
    rng = random.Random(seed)
    return [
        (f"{prefix}{user}", f"i{item}", 1_700_000_000 + 1000 * user + place)
        for user in range(users)
        for place, item in enumerate(rng.sample(range(items), each))
    ]


def text_of(rows: Iterable[Sequence[object]], header: str = HEADER) -> str:
    """Return a CSV table with quotes where they are needed."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return f"{header}\n{file.getvalue()}"


def write_folder(
    folder: Path, rows: Iterable[Sequence[object]] | str | bytes, items: str | bytes | None = None
) -> Path:
    """Write `interactions.csv`, and `items.csv` if a content is given."""
    folder.mkdir(parents=True, exist_ok=True)
    content = rows if isinstance(rows, str | bytes) else text_of(rows)
    for name, table in (("interactions.csv", content), ("items.csv", items)):
        if table is not None:
            (folder / name).write_bytes(table.encode() if isinstance(table, str) else table)
    return folder


def write_atomic(folder: Path, interactions: str, items: str | None = None) -> Path:
    """Write the atomic files of RecBole, given with commas instead of tabs."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, table in (("inter", interactions), ("item", items)):
        if table is not None:
            text = table.replace(",", "\t")
            (folder / f"data.{suffix}").write_text(text, encoding="utf-8")
    return folder


def write_plain(folder: Path) -> Path:
    """Write the table whose variants must all be read as the same data."""
    return write_folder(folder, sampled_rows())


def write_reversed(folder: Path) -> Path:
    """Write the plain rows from the last to the first."""
    return write_folder(folder, sampled_rows()[::-1])


def write_shuffled(folder: Path) -> Path:
    """Write the plain rows in a random order."""
    rows = sampled_rows()
    random.Random(1).shuffle(rows)
    return write_folder(folder, rows)


def write_other_columns(folder: Path) -> Path:
    """Write the plain rows with the columns in another order."""
    rows = [(item, time, user) for user, item, time in sampled_rows()]
    return write_folder(folder, text_of(rows, "item,timestamp,user"))


def write_windows(folder: Path) -> Path:
    """Write the plain rows as Windows does, with a byte order mark and other line ends."""
    text = text_of(sampled_rows()).replace("\n", "\r\n")
    return write_folder(folder, b"\xef\xbb\xbf" + text.encode())


def write_capitals(folder: Path) -> Path:
    """Write the plain rows under column names with capitals and spaces."""
    return write_folder(folder, text_of(sampled_rows(), " User, ITEM ,Timestamp"))


def write_blank_lines(folder: Path) -> Path:
    """Write the plain rows with empty lines between them."""
    return write_folder(folder, text_of(sampled_rows()).replace("\n", "\n\n"))


def write_milliseconds(folder: Path) -> Path:
    """Write the plain rows with times in milliseconds."""
    return write_folder(folder, [(user, item, 1000 * time) for user, item, time in sampled_rows()])


def write_repeats(folder: Path) -> Path:
    """Write the plain rows, and the first 50 of them again."""
    rows = sampled_rows()
    return write_folder(folder, rows + rows[:50])


VARIANTS = {
    "reversed": write_reversed,
    "shuffled": write_shuffled,
    "columns": write_other_columns,
    "bom-crlf": write_windows,
    "capitals": write_capitals,
    "blank-lines": write_blank_lines,
    "milliseconds": write_milliseconds,
    "repeats": write_repeats,
}
"""Writers of tables that are read as the same data as the plain one."""

AWKWARD_USERS = ("007", "7", "NA", "null", "1e5", "9007199254740993", "Ж", "用户", "😀", "a,b")
AWKWARD_ITEMS = ("0", "00", "nan", "-", "电影", "1.0", '"quoted"', " padded ")


def write_awkward_ids(folder: Path) -> Path:
    """Write ids that a reader could take for numbers or missing values."""
    pairs = [(user, item) for user in AWKWARD_USERS for item in AWKWARD_ITEMS]
    return write_folder(folder, [(*pair, place) for place, pair in enumerate(pairs)])


def write_ratings(folder: Path) -> Path:
    """Write the plain rows with ratings from -1 to 5, of which one is blank and one NaN."""
    special = {3: "", 4: "nan"}
    rows = [
        (*row, special.get(place, str(place % 7 - 1))) for place, row in enumerate(sampled_rows())
    ]
    return write_folder(folder, text_of(rows, f"{HEADER},rating"))


TITLES = ("<b>bold</b>", "\x1b[31mred", "a" * 80_000, "", "星际穿越", "=1+1", "\u202egnihton")


def write_titles(folder: Path) -> Path:
    """Write titles with markup, an escape sequence, 80,000 letters, nothing, and a bidi mark."""
    items = [(f"i{number}", title, "", "x") for number, title in enumerate(TITLES)]
    return write_folder(folder, sampled_rows(), text_of(items, "item,title,text,tags"))


def write_held_out_singles(folder: Path) -> Path:
    """Write users whose last item occurs nowhere else, so that no model can predict it."""
    rng = random.Random(2)
    rows = [
        (f"u{user}", f"only{user}" if place == 9 else f"i{item}", place)
        for user in range(200)
        for place, item in enumerate(rng.sample(range(80), 10))
    ]
    return write_folder(folder, rows)


def write_wide(folder: Path, rows: int = 200_000) -> Path:
    """Write a table with 60,000 items."""
    rng = random.Random(3)
    lines = [f"u{rng.randrange(5000)},i{rng.randrange(60_000)},{time}" for time in range(rows)]
    return write_folder(folder, "\n".join([HEADER, *lines, ""]))
