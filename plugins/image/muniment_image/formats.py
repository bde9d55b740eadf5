"""The formats of exported pictures whose pixels are encoded again: PNG, JPEG, WebP and AVIF.

Listing the plugin imports this for the suffixes, so other modules are imported in the functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.machinery import PathFinder
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

import muniment

from .containers import jpeg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _has_avif() -> bool:
    """Return whether the installed Pillow has libavif, without an import of Pillow."""
    package = find_spec("PIL")
    folders = package.submodule_search_locations if package else None
    return folders is not None and PathFinder.find_spec("PIL._avif", folders) is not None


LOSSY = (".jpg", ".jpeg", ".webp", *((".avif",) if _has_avif() else ()))
"""The suffixes of formats that change pixels."""
DEFAULT_QUALITY = 90

_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".avif": "AVIF"}
# The colours of small pictures are visibly wrong where four pixels share one.
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"subsampling": "4:4:4"},
    "WEBP": {},
    "AVIF": {"subsampling": "4:4:4", "speed": 8},
}


def encode(
    pixels: NDArray[np.uint8],
    suffix: str,
    provenances: Sequence[muniment.Provenance],
    size: tuple[int, int] | None = None,
    quality: int | None = None,
) -> bytes:
    """Return the file of pixels [H, W, 3] in the format of a suffix, with the provenances.

    `size` is the width and the height of the recorded picture, if the pixels were enlarged. PNG
    files have no quality.
    """
    from PIL import Image

    from . import stamp

    size = size or (pixels.shape[1], pixels.shape[0])

    image, file = Image.fromarray(pixels), BytesIO()
    if suffix == ".png":
        image.save(file, "PNG")
        return stamp.stamped(file.getvalue(), provenances, size)
    kind = _FORMATS[suffix]
    image.save(
        file,
        kind,
        quality=DEFAULT_QUALITY if quality is None else quality,
        **_metadata(kind, provenances, size),
        **OPTIONS[kind],
    )
    return file.getvalue()


def _metadata(
    kind: str, provenances: Sequence[muniment.Provenance], size: tuple[int, int]
) -> dict[str, bytes]:
    from . import stamp

    if kind != "JPEG":
        return {
            "exif": stamp.comment_block(provenances, size),
            "xmp": stamp.packet(provenances),
        }
    exif_limit, xmp_limit = (jpeg.MAX_SEGMENT - len(start) for start in (jpeg.EXIF, jpeg.XMP))
    return {
        "exif": jpeg.EXIF + stamp.comment_block(provenances, size, exif_limit),
        "xmp": stamp.packet(provenances, xmp_limit),
    }
