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
MAX_TEXT = 16_000_000
"""The maximum size in bytes of a text that is read, after it was inflated."""

_GREY, _RGB = 0, 2  # colour types
_MAX_KEY = 79
_PROFILE_NAME = b"ICC profile"
_UNCOMPRESSED = b"\0\0\0\0\0"  # end of the key, two flags, no language, no translated key
_MAX_BLOCK = 0xFFFF
_MAX_CHUNK = 2**31 - 1
_ZLIB_HEADER = b"\x78\x01"  # deflate with a window of 32 kB, the lowest level


class Chunk(NamedTuple):
    """A chunk of a PNG file, from `start` to `end` in the file. `data` are at most its bytes."""

    kind: bytes
    data: bytes
    start: int
    end: int


class Text(NamedTuple):
    """A text with its key, or None for a text that is damaged or too large."""

    key: str
    text: str | None


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


def text_chunk(key: str, text: str) -> bytes:
    """Return a chunk with a text: `tEXt` if it is Latin-1, as most programs expect, else `iTXt`.

    The key has 1 to 79 characters of Latin-1. Raises ValueError for a text with a character of 0.
    """
    if "\0" in text:
        raise ValueError("a text of a PNG file cannot contain a character of 0")
    try:
        return chunk(b"tEXt", key.encode("latin-1") + b"\0" + text.encode("latin-1"))
    except UnicodeEncodeError:
        return international_chunk(key, text)


def international_chunk(key: str, text: str) -> bytes:
    """Return a chunk `iTXt` with a text in UTF-8, not compressed and without a language."""
    return chunk(b"iTXt", key.encode("latin-1") + _UNCOMPRESSED + text.encode())


def profile_chunk(part: Chunk) -> bytes:
    """Return a chunk `iCCP` with the same colour profile and a fixed name.

    The name of the profile is a free text. The bytes of the profile itself are not changed.
    """
    _, _, profile = part.data.partition(b"\0")
    return chunk(b"iCCP", _PROFILE_NAME + b"\0" + profile)


def profile_of(part: Chunk) -> bytes:
    """Return the colour profile of a chunk `iCCP`, or its bytes if it is damaged or too large."""
    _, _, profile = part.data.partition(b"\0")
    inflated = _inflated(profile[1:], MAX_TEXT)  # the first byte names the only method
    return part.data if inflated is None else inflated


def text_of(part: Chunk, limit: int = MAX_TEXT) -> Text | None:
    """Return the text of a chunk of unknown origin, or None if the chunk is no text.

    A text of more than `limit` bytes is not read.
    """
    if part.kind not in (b"tEXt", b"zTXt", b"iTXt"):
        return None
    key, _, content = part.data.partition(b"\0")
    name = key[:_MAX_KEY].decode("latin-1")
    if part.kind == b"tEXt":
        compressed, encoding = False, "latin-1"
    elif part.kind == b"zTXt":
        compressed, encoding, content = True, "latin-1", content[1:]
    else:
        compressed, encoding = content[:1] == b"\1", "utf-8"
        _, _, content = content[2:].partition(b"\0")  # the language
        _, _, content = content.partition(b"\0")  # the key in the language
    data = _inflated(content, limit) if compressed else content
    if data is None or len(data) > limit:
        return Text(name, None)
    return Text(name, data.decode(encoding, "replace"))


def size(file: bytes) -> tuple[int, int]:
    """Return the width and the height in pixels. Raise ValueError if the header is damaged."""
    header = next(chunks(file), None)
    if header is None or header.kind != b"IHDR" or len(header.data) != 13:
        raise ValueError("it is not a PNG file, or its header is damaged")
    width, height = struct.unpack_from(">II", header.data)
    return width, height


def _inflated(data: bytes, limit: int) -> bytes | None:
    """Return the inflated bytes, or None if they are damaged or more than `limit`."""
    inflation = zlib.decompressobj()
    try:
        content = inflation.decompress(data, limit + 1)
    except zlib.error:
        return None
    return content if inflation.eof else None


def _stored(data: bytes) -> bytes:
    """Return a zlib stream of stored blocks, each of the maximum size except for the last."""
    blocks = [_ZLIB_HEADER]
    for place in range(0, len(data), _MAX_BLOCK):
        block = data[place : place + _MAX_BLOCK]
        is_last = place + _MAX_BLOCK >= len(data)
        blocks += [struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF), block]
    return b"".join([*blocks, struct.pack(">I", zlib.adler32(data))])
