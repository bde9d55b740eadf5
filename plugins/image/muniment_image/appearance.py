"""Properties of a picture file that change how its pixels look, and that are no pixels."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import islice

from . import png
from .containers import embedded, webp
from .pictures import PictureError, read_opacity

# Chunks of colour (PNG, third edition, section 11.3.2). `sRGB` states the colours that a picture
# without any of them has, too.
_COLOURS = {
    b"gAMA": "a gamma value",
    b"cHRM": "chromaticities",
    b"iCCP": "a colour profile",
    b"cICP": "a colour space",
}
# Many programs write the values of sRGB into every file (section 11.3.2.5, table 15).
_OF_SRGB = frozenset(
    (
        (b"gAMA", (45455).to_bytes(4)),
        (
            b"cHRM",
            b"".join(
                number.to_bytes(4)
                for number in (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
            ),
        ),
    )
)


def differences(file: bytes, recorded: bytes) -> list[str]:
    """Return the properties of a file with the same pixels that the recorded picture lacks.

    `file` is a PNG, JPEG, WebP or AVIF file that `read_picture` can read. A recorded picture that
    cannot be read has no properties. The pixels are those on white, so that transparent ones look
    different on another background.
    """
    try:
        known = _properties(recorded)
    except PictureError:
        known = {}
    return [name for name, value in _properties(file).items() if known.get(name) != value]


def _properties(file: bytes) -> dict[str, bytes]:
    """Return the properties of a file by their names, which follow "the file has"."""
    properties = dict(_colours(file))
    if (opacity := read_opacity(file)) is not None:
        properties["transparent pixels"] = sha256(opacity.data).digest()
    return properties


def _colours(file: bytes) -> Iterator[tuple[str, bytes]]:
    match embedded.format_of(file):
        case "PNG":
            for chunk in islice(png.chunks(file), embedded.MAX_PARTS):
                if chunk.kind in _COLOURS and (chunk.kind, chunk.data) not in _OF_SRGB:
                    is_profile = chunk.kind == b"iCCP"
                    yield _COLOURS[chunk.kind], png.profile_of(chunk) if is_profile else chunk.data
        case "WebP":
            for part in islice(webp.chunks(file), embedded.MAX_PARTS):
                if part.kind == b"ICCP":
                    yield _COLOURS[b"iCCP"], part.data
        case format:
            # Their decoders convert the colours by parameters of their own.
            yield f"the format {format}", b""
