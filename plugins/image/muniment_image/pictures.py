"""Pixels of picture files from anywhere: PNG, JPEG, WebP, AVIF, BMP, and still GIF and TIFF.

A file is judged by its content, and its size by its header before it is decoded. Metadata is not
read, except for the orientation.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import warnings
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError, _imaging

import muniment

from . import png

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF")
MAX_BYTES = 256_000_000
MAX_PIXELS = 64_000_000
"""The maximum of width times height. A camera with 50 megapixels is below it."""

# A profile or a text can inflate to a thousand times its size, and Pillow then refuses the file.
_PNG_CHUNKS = frozenset((b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT"))
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Without a handler of the program, Python prints what Pillow logs about a damaged file.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class PictureError(muniment.MunimentError, ValueError):
    """A picture that cannot be used. The message has the reason, and nothing of the file."""


def read_picture(data: bytes, *, grey: bool = False) -> NDArray[np.uint8]:
    """Return the pixels of a picture file as RGB [H, W, 3], or with `grey` as [H, W].

    Transparent pixels are mixed with white, 16 bits are scaled to 8, and the picture is turned
    upright. Colour profiles are ignored. Raises PictureError for anything but one still picture of
    at most `MAX_PIXELS`.
    """
    with _opened(data) as image:
        return _pixels(_loaded(image), grey=grey)


def read_opacity(data: bytes) -> NDArray[np.uint8] | None:
    """Return the opacity of each pixel of a picture file [H, W], or None if all are opaque.

    Raises PictureError as `read_picture` does.
    """
    with _opened(data) as image:
        upright = _loaded(image)
        if not upright.has_transparency_data:
            return None
        if upright.mode.startswith("I;16"):
            shades, transparent = np.asarray(upright), upright.info.get("transparency")
            opacity = np.where(shades == transparent, 0, 255).astype(np.uint8)
        else:
            opacity = np.array(upright.convert("RGBA").getchannel("A"))
    return None if opacity.min() == 255 else opacity


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Yield a picture file, and raise PictureError for whatever a decoder raises."""
    if not data:
        raise PictureError("the file is empty; use a picture")
    if len(data) > MAX_BYTES:
        raise PictureError(f"the file has {len(data):,} bytes; use at most {MAX_BYTES:,}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's warnings contain parts of the file
        try:
            with Image.open(BytesIO(_without_metadata(data)), formats=FORMATS) as image:
                yield image
        except (PictureError, MemoryError):
            raise
        except Image.DecompressionBombError:
            raise _too_large() from None
        except UnidentifiedImageError:
            raise PictureError(
                "the file is not a PNG, JPEG, WebP, AVIF, BMP, GIF or TIFF picture, or its "
                "beginning is damaged; use a picture of one of these formats"
            ) from None
        except Exception:  # decoders raise almost anything for damaged files
            raise PictureError(
                "the picture is truncated or damaged; copy or download it again"
            ) from None


def _without_metadata(data: bytes) -> bytes:
    """Return a PNG file without texts and profiles, and other files unchanged."""
    if not data.startswith(png.SIGNATURE):
        return data
    parts = [png.SIGNATURE]
    for chunk in png.chunks(data):
        is_critical = chunk.kind[:1].isupper()
        if is_critical or chunk.kind in _PNG_CHUNKS:
            parts.append(data[chunk.start : chunk.end])
    return b"".join(parts)


def _loaded(image: Image.Image) -> Image.Image:
    """Return the decoded picture upright, after checking its size. Raises PictureError."""
    _check(image)
    if image.format == "TIFF":
        _silence_libtiff()
    image.load()
    return _upright(image)


def _pixels(upright: Image.Image, *, grey: bool) -> NDArray[np.uint8]:
    if upright.mode.startswith("I;16"):
        shades = _eight_bits(upright)
        return shades if grey else np.repeat(shades[:, :, np.newaxis], 3, axis=2)
    if upright.has_transparency_data:
        upright = _on_white(upright)
    return np.array(upright.convert("RGB").convert("L" if grey else "RGB"))


@functools.cache
def _silence_libtiff() -> None:
    """Stop libtiff from printing messages in this process. Pillow raises exceptions instead.

    Pillow has no option for this. On a system where its module does not give access to libtiff,
    such as Windows, the messages are still printed.
    """
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(_imaging.__file__)
        library.TIFFSetWarningHandler(None)
        library.TIFFSetErrorHandler(None)


def _check(image: Image.Image) -> None:
    """Raise PictureError for a picture that is too large or not still, before it is decoded."""
    width, height = image.size
    # A tile of a TIFF file is decoded as a whole, also where the picture is smaller.
    tags = getattr(image, "tag_v2", {})
    tile = tags.get(ExifTags.Base.TileWidth, 0) * tags.get(ExifTags.Base.TileLength, 0)
    if max(width * height, tile) > MAX_PIXELS:
        raise _too_large()
    # The further pictures of a JPEG file are depth maps and previews of a camera.
    if image.format in ("GIF", "PNG", "WEBP", "AVIF", "TIFF") and getattr(
        image, "is_animated", False
    ):
        raise PictureError("the file has more than one picture or page; use a still picture")
    if image.mode in ("I", "F", "LAB"):
        raise PictureError(
            f"the picture has pixels of the kind {image.mode}; save it as RGB with 8 bits"
        )


def _too_large() -> PictureError:
    return PictureError(f"the picture is larger than {MAX_PIXELS:,} pixels; reduce its size")


def _upright(image: Image.Image) -> Image.Image:
    """Return the picture as its EXIF orientation shows it."""
    if image.format == "TIFF":  # Pillow turned it when it was loaded
        return image
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        turn = _TURNS.get(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # metadata that cannot be read has no orientation
        return image
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image) -> NDArray[np.uint8]:
    """Return shades of 16 bits as the nearest ones of 8 bits, the transparent one as white."""
    shades = np.asarray(image).astype(np.uint32)
    pixels = ((shades * 255 + 32767) // 65535).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        pixels[shades == transparent] = 255
    return pixels


def _on_white(image: Image.Image) -> Image.Image:
    colours = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
