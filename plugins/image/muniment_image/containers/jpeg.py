"""The segments of a JPEG file before its pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

SIGNATURE = b"\xff\xd8\xff"
MAX_SEGMENT = 0xFFFF - 2
"""The maximum number of bytes in a segment. Its length has 16 bits and includes itself."""
EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
"""The beginnings of the segments APP1 that contain EXIF and XMP."""
APP1, COMMENT = 0xE1, 0xFE

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))


class Segment(NamedTuple):
    """A segment of a JPEG file: the second byte of its marker, and its bytes."""

    marker: int
    data: bytes


def segments(file: bytes) -> Iterator[Segment]:
    """Yield the segments up to the pixels. The last one is shorter than declared if truncated.

    Nothing is yielded for a file that is no JPEG.
    """
    place = 2 if file.startswith(SIGNATURE) else len(file)
    while place + 4 <= len(file) and file[place] == 0xFF:
        marker = file[place + 1]
        if marker == 0xFF:  # fill bytes may stand before a marker
            place += 1
        elif marker in _WITHOUT_LENGTH:
            place += 2
        elif marker in (_START_OF_SCAN, _END_OF_IMAGE):
            return
        else:
            length = int.from_bytes(file[place + 2 : place + 4])
            if length < 2:
                return
            yield Segment(marker, file[place + 4 : place + 2 + length])
            place += 2 + length
