"""An encoder of PNG files whose bytes depend on the pixels alone, and the chunks of a PNG file.

Two builds of zlib compress the same pixels to different bytes, so nothing is compressed. Rows have
filter 0, and the zlib stream consists of stored blocks (RFC 1951, section 3.2.4). Only the
checksums are from zlib. Equal pixels have equal bytes on every machine.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_GREY, _RGB = 0, 2  # colour types
_MAX_BLOCK = 0xFFFF
_MAX_CHUNK = 2**31 - 1
_ZLIB_HEADER = b"\x78\x01"  # deflate with a window of 32 kB, the lowest level


class Chunk(NamedTuple):
    """A chunk of a PNG file, from `start` to `end` in the file. `data` are at most its bytes."""

    kind: bytes
    data: bytes
    start: int
    end: int


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """Return the PNG file of pixels of the shape [H, W] (grey) or [H, W, 3] (RGB).

    Raises ValueError for another shape, another data type than uint8, or no pixel.
    """
    import numpy as np  # a large library, which reading chunks does not need

    if pixels.dtype != np.uint8:
        raise ValueError(f"the pixels are {pixels.dtype}, not uint8")
    if pixels.size == 0 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ValueError(f"the shape of the pixels is {pixels.shape}, not [H, W] or [H, W, 3]")
    height, width = pixels.shape[:2]
    colours = _GREY if pixels.ndim == 2 else _RGB
    rows = np.zeros((height, 1 + pixels.size // height), np.uint8)  # a row begins with its filter
    rows[:, 1:] = pixels.reshape(height, -1)
    stream = _stored(rows.tobytes())
    if len(stream) > _MAX_CHUNK:
        raise ValueError(f"{width} x {height} pixels do not fit into a chunk of a PNG file")
    header = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", stream) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file: its length, its type of four letters, data and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def chunks(file: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a PNG file. The last one is shorter than declared if it is truncated.

    Nothing is yielded for a file that is no PNG. Checksums are not compared.
    """
    place = len(SIGNATURE) if file.startswith(SIGNATURE) else len(file)
    while place + 8 <= len(file):
        size, kind = struct.unpack_from(">I4s", file, place)
        end = min(place + size + 12, len(file))
        yield Chunk(kind, file[place + 8 : place + 8 + size], place, end)
        place = end


def size(file: bytes) -> tuple[int, int]:
    """Return the width and the height in pixels. Raise ValueError if the header is damaged."""
    header = next(chunks(file), None)
    if header is None or header.kind != b"IHDR" or len(header.data) != 13:
        raise ValueError("it is not a PNG file, or its header is damaged")
    width, height = struct.unpack_from(">II", header.data)
    return width, height


def _stored(data: bytes) -> bytes:
    """Return a zlib stream of stored blocks, each of the maximum size except for the last."""
    blocks = [_ZLIB_HEADER]
    for place in range(0, len(data), _MAX_BLOCK):
        block = data[place : place + _MAX_BLOCK]
        is_last = place + _MAX_BLOCK >= len(data)
        blocks += [struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF), block]
    return b"".join([*blocks, struct.pack(">I", zlib.adler32(data))])
