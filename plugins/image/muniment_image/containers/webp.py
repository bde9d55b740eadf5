"""The chunks of a WebP file, which is a RIFF file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

EXIF, XMP = b"EXIF", b"XMP "


class Chunk(NamedTuple):
    """A chunk of a RIFF file: its type of four letters, and its bytes."""

    kind: bytes
    data: bytes


def is_webp(file: bytes) -> bool:
    """Return whether the bytes begin as a WebP file does."""
    return file.startswith(b"RIFF") and file[8:12] == b"WEBP"


def chunks(file: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a WebP file. The last one is shorter than declared if truncated.

    Nothing is yielded for a file that is no WebP.
    """
    place = 12 if is_webp(file) else len(file)
    while place + 8 <= len(file):
        size = int.from_bytes(file[place + 4 : place + 8], "little")
        yield Chunk(file[place : place + 4], file[place + 8 : place + 8 + size])
        place += 8 + size + size % 2  # chunks begin at even places
