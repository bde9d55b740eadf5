"""Texts, EXIF and XMP of a picture file, in one shape for all formats."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from muniment_image import png

from . import avif, exif, jpeg, webp

MAX_PARTS = 100_000
"""The number of chunks or segments of a file that are searched."""
MAX_TEXTS = 4 * png.MAX_TEXT
"""The maximum size in bytes of all texts of a file, after they were inflated."""
XMP_KEY = "XML:com.adobe.xmp"
"""The key of the PNG text that contains XMP."""

_COMMENT_KEY = "Comment"  # of a comment in a JPEG file, which has none


class Embedded(NamedTuple):
    """The metadata of a picture file.

    `format` is PNG, JPEG, WebP or AVIF. `texts` are keys and texts in the order of the file, which
    only PNG and comments of JPEG have. `exif` is a TIFF block, cut to `exif.MAX_BLOCK`. A missing
    block is empty. `skipped` are keys of texts that are damaged or above the limits.
    """

    format: str
    texts: tuple[tuple[str, str], ...] = ()
    exif: bytes = b""
    xmp: bytes = b""
    skipped: tuple[str, ...] = ()

    @property
    def media_type(self) -> str:
        """The media type of the file. The names of the four formats are also the subtypes."""
        return f"image/{self.format.lower()}"


def format_of(file: bytes) -> str | None:
    """Return PNG, JPEG, WebP or AVIF by the beginning of a file, or None for another one."""
    if file.startswith(png.SIGNATURE):
        return "PNG"
    if file.startswith(jpeg.SIGNATURE):
        return "JPEG"
    if webp.is_webp(file):
        return "WebP"
    return "AVIF" if avif.is_avif(file) else None


def read(file: bytes) -> Embedded | None:
    """Return the metadata of a file of unknown origin, or None for another format."""
    metadata = _read(file)
    return metadata and metadata._replace(exif=metadata.exif[: exif.MAX_BLOCK])


def _read(file: bytes) -> Embedded | None:
    match format_of(file):
        case "PNG":
            return _png(file)
        case "JPEG":
            return _jpeg(file)
        case "WebP":
            parts = list(islice(webp.chunks(file), MAX_PARTS))
            block, xmp = (
                next((part.data for part in parts if part.kind == kind), b"")
                for kind in (webp.EXIF, webp.XMP)
            )
            return Embedded("WebP", exif=block, xmp=xmp)
        case "AVIF":
            blocks = avif.blocks(file)
            return Embedded("AVIF", exif=blocks.exif, xmp=blocks.xmp)
    return None


def _png(file: bytes) -> Embedded:
    texts: list[tuple[str, str]] = []
    skipped: list[str] = []
    block, xmp = b"", b""
    remaining = MAX_TEXTS
    for chunk in islice(png.chunks(file), MAX_PARTS):
        if chunk.kind == b"eXIf":
            block = block or chunk.data
            continue
        limit = min(png.MAX_TEXT, remaining)
        if (entry := png.text_of(chunk, limit)) is None:
            continue
        # One that is too large has cost as much as the largest.
        remaining -= limit if entry.text is None else len(entry.text)
        if entry.text is None:
            skipped.append(entry.key)
        elif entry.key == XMP_KEY:
            xmp = xmp or entry.text.encode()
        else:
            texts.append((entry.key, entry.text))
    return Embedded("PNG", tuple(texts), block, xmp, tuple(skipped))


def _jpeg(file: bytes) -> Embedded:
    texts: list[tuple[str, str]] = []
    skipped: list[str] = []
    block, xmp = b"", b""
    remaining = MAX_TEXTS
    for segment in islice(jpeg.segments(file), MAX_PARTS):
        if segment.marker == jpeg.COMMENT:
            remaining -= len(segment.data)
            if remaining < 0:
                skipped.append(_COMMENT_KEY)
            else:
                texts.append((_COMMENT_KEY, segment.data.decode("utf-8", "replace")))
        elif segment.marker == jpeg.APP1 and segment.data.startswith(jpeg.EXIF):
            block = block or segment.data.removeprefix(jpeg.EXIF)
        elif segment.marker == jpeg.APP1 and segment.data.startswith(jpeg.XMP):
            xmp = xmp or segment.data.removeprefix(jpeg.XMP)
    return Embedded("JPEG", tuple(texts), block, xmp, tuple(skipped))
