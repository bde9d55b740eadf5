"""The EXIF and XMP blocks of an AVIF file, which Pillow reads where it has libavif."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import NamedTuple

_BRANDS = (b"avif", b"avis")


class Blocks(NamedTuple):
    """The EXIF and XMP blocks of a file. A missing one is empty."""

    exif: bytes = b""
    xmp: bytes = b""


def is_avif(file: bytes) -> bool:
    """Return whether the bytes begin as an AVIF file does."""
    return file[4:8] == b"ftyp" and file[8:12] in _BRANDS


def can_read() -> bool:
    """Return whether the installed Pillow reads and writes AVIF."""
    from PIL import features

    return features.check("avif") is True


def blocks(file: bytes) -> Blocks:
    """Return the EXIF and XMP blocks, which are empty for a damaged file or without libavif."""
    if not is_avif(file) or not can_read():
        return Blocks()
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's warnings contain parts of the file
        try:
            with Image.open(BytesIO(file), formats=("AVIF",)) as image:
                return Blocks(_bytes(image.info.get("exif")), _bytes(image.info.get("xmp")))
        except MemoryError:
            raise
        except Exception:  # decoders raise almost anything for damaged files
            return Blocks()


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""
