"""The folder of a data set: which files are pictures, and their labels and captions.

Each class can have a folder, or `metadata.jsonl` can describe the pictures. Hidden files, files of
file managers and links out of the folder are not used.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import muniment

from . import metadata
from .pictures import PictureError

METADATA = "metadata.jsonl"
WORDS = "words.txt"
"""The vocabulary of captions: words with one meaning in each line, such as `red 红 红色`."""
SUFFIXES = frozenset(
    (
        *(".apng", ".avif", ".bmp", ".gif", ".heic", ".jfif", ".jpeg", ".jpg", ".pbm"),
        *(".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
    )
)
"""Endings of files that are read as pictures, whether their format can be read or not."""
_SYSTEM_FILES = frozenset(("thumbs.db", "desktop.ini", "__macosx"))
MAX_NAMES = 10  # in a message


class DatasetError(muniment.UsageError):
    """A data set that cannot be trained on.

    `pictures` has the name and the reason of every picture that cannot be used.
    """

    def __init__(self, message: str, pictures: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.pictures = tuple(pictures)


class Item(NamedTuple):
    """A picture of a data set before it is decoded: its name, label and captions."""

    file: str
    label: str | None = None
    captions: tuple[str, ...] = ()


def read_items(folder: Path) -> tuple[list[Item], list[str]]:
    """Return the pictures of a folder in a fixed order, and notes about the ignored files.

    Raises DatasetError for a folder without pictures or with a damaged `metadata.jsonl`.
    """
    files = _scan(folder)
    notes: list[str] = []
    if files.links:
        notes.append(f"ignored, because links can lead out of the data: {listed(files.links)}")
    if (folder / METADATA).is_file():
        items = [Item(*line) for line in _read_metadata(folder)]
        unnamed = sorted(set(files.pictures) - {item.file for item in items})
        if unnamed:
            notes.append(f"ignored, because {METADATA} does not name them: {listed(unnamed)}")
    else:
        items = [Item(name, _class_of(name)) for name in files.pictures]
        if files.empty:
            notes.append(f"no class, because there are no pictures in it: {listed(files.empty)}")
    if files.other:
        notes.append(f"ignored, because the name is not that of a picture: {listed(files.other)}")
    if not items:
        reason = f"; {'; '.join(notes)}" if notes else ""
        raise DatasetError(
            f"the data {folder} has no pictures; put PNG or JPEG files into a folder for each "
            f"class{reason}"
        )
    return items, notes


def _class_of(name: str) -> str | None:
    """Return the class of a picture: the name of the first folder of its path, or None."""
    folder, slash, _ = name.partition("/")
    if not slash:
        return None
    try:
        folder.encode()
    except UnicodeEncodeError:  # no JSON file could contain it
        raise DatasetError(
            f"the name of the class {folder!r} is not UTF-8; rename its folder"
        ) from None
    return unicodedata.normalize("NFC", folder)


def _read_metadata(folder: Path) -> Iterable[metadata.Line]:
    try:
        return metadata.read(folder / METADATA)
    except metadata.MetadataError as error:
        raise DatasetError(f"{folder / METADATA} {error}") from None


@dataclass
class _Files:
    """The files of a folder by relative names with `/`."""

    pictures: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)


def _scan(folder: Path) -> _Files:
    """Return the files of a folder, without hidden ones and those of file managers."""
    files = _Files()
    failures: list[OSError] = []
    for current, directories, names in os.walk(folder, onerror=failures.append):
        directories[:] = sorted(filter(_is_visible, directories))
        for name in list(directories):
            if os.path.islink(os.path.join(current, name)):
                files.links.append(_relative(folder, current, name))
                directories.remove(name)
        for name in sorted(filter(_is_visible, names)):
            relative = _relative(folder, current, name)
            path = os.path.join(current, name)
            if os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(folder):
                files.links.append(relative)
            elif os.path.splitext(name)[1].lower() in SUFFIXES:
                files.pictures.append(relative)
            elif relative not in (METADATA, WORDS):
                files.other.append(relative)
    if failures:
        error = failures[0]
        raise DatasetError(f"the folder {error.filename} cannot be read: {error.strerror}")
    files.empty = [
        name
        for name in sorted(filter(_is_visible, os.listdir(folder)))
        if os.path.isdir(folder / name)
        and name not in files.links
        and not any(picture.startswith(f"{name}/") for picture in files.pictures)
    ]
    files.pictures.sort()
    return files


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in _SYSTEM_FILES


def _relative(folder: Path, current: str, name: str) -> str:
    return Path(current, name).relative_to(folder).as_posix()


def read_file(folder: Path, name: str) -> bytes:
    """Return the content of a file of the data, or raise PictureError."""
    path = folder / name
    try:
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(folder):
            raise PictureError("it is outside the folder of the data")
        if not stat.S_ISREG(real.stat().st_mode):  # opening a pipe would wait
            raise PictureError("it is not a regular file")
        return real.read_bytes()
    except FileNotFoundError:
        raise PictureError("it does not exist") from None
    except OSError as error:
        raise PictureError(f"it cannot be read: {error.strerror}") from None


def listed(names: Sequence[str]) -> str:
    """Return at most ten names for a message, and the number of the others."""
    more = f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more
