"""The part of a file that contains its C2PA manifest, found without parsing the manifest."""

from __future__ import annotations

from collections.abc import Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_APP11 = 0xEB
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_PIXELS = frozenset((0xD9, 0xDA))
# C2PA 2.4, section A.5.1: the extended type of the box in MP4, AVIF and HEIC files.
_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


def has_manifest(data: bytes) -> bool:
    """Return whether a file has a part that contains a C2PA manifest, which can be damaged.

    The part is recognised by its type in PNG, JPEG, RIFF (WebP, WAV) and ISO media files (AVIF,
    HEIC, MP4). The texts of these files have no effect. In a file of another format, all bytes are
    searched for the type of box with which every manifest begins.
    """
    if data.startswith(_PNG):
        return b"caBX" in _png_types(data)
    if data.startswith(_JPEG):
        return any(
            marker == _APP11 and data.startswith(b"JP", start)
            for marker, start in _jpeg_segments(data)
        )
    if data.startswith(b"RIFF"):
        return b"C2PA" in _riff_types(data)
    if data[4:8] == b"ftyp":
        return b"uuid" + _UUID in _media_types(data)
    return b"jumb" in data


def _png_types(data: bytes) -> Iterator[bytes]:
    """Yield the types of the chunks of a PNG file."""
    place = len(_PNG)
    while place + 8 <= len(data):
        yield data[place + 4 : place + 8]
        place += 12 + int.from_bytes(data[place : place + 4])


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the second byte of the marker and the start of each segment before the pixels."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # fill bytes may stand before a marker
            place += 1
        elif marker in _WITHOUT_LENGTH:
            place += 2
        elif marker in _PIXELS:
            return
        else:
            yield marker, place + 4
            # The length includes its own two bytes.
            place += 2 + max(2, int.from_bytes(data[place + 2 : place + 4]))


def _riff_types(data: bytes) -> Iterator[bytes]:
    """Yield the types of the chunks of a RIFF file."""
    place = 12
    while place + 8 <= len(data):
        yield data[place : place + 4]
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8 + size + size % 2  # chunks begin at even places


def _media_types(data: bytes) -> Iterator[bytes]:
    """Yield the types of the boxes of an ISO media file, with the extended type after `uuid`."""
    place = 0
    while place + 8 <= len(data):
        size, header = int.from_bytes(data[place : place + 4]), 8
        if size == 1:
            size, header = int.from_bytes(data[place + 8 : place + 16]), 16
        kind = data[place + 4 : place + 8]
        yield kind + (data[place + header : place + header + 16] if kind == b"uuid" else b"")
        if size < header:  # 0 is a box up to the end of the file
            return
        place += size
