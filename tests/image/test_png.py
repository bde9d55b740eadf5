"""The PNG encoder: equal pixels are equal bytes, and Pillow reads the same pixels."""

from __future__ import annotations

import zlib
from hashlib import sha256
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from PIL import Image

from muniment_image import png
from support.pictures import noise

_sides = st.integers(1, 300)


@given(_sides, _sides, st.booleans(), st.integers(0, 2**32))
def test_pillow_reads_the_encoded_pixels(height: int, width: int, grey: bool, seed: int) -> None:
    pixels = noise(height, width, seed=seed)
    pixels = pixels[:, :, 0] if grey else pixels
    with Image.open(BytesIO(png.encode(pixels))) as image:
        assert (image.format, image.mode) == ("PNG", "L" if pixels.ndim == 2 else "RGB")
        assert np.array_equal(np.asarray(image), pixels)


def test_the_bytes_of_a_file_are_fixed() -> None:
    assert png.encode(np.array([[0, 255]], np.uint8)).hex() == (
        "89504e470d0a1a0a"  # signature
        "0000000d4948445200000002000000010800000000d1492056"  # 2 x 1, 8 bits, grey
        "0000000e49444154"
        "7801010300fcff"  # one stored block, the last, of 3 bytes
        "0000ff"  # filter 0, black, white
        "01020100b7012ef7"
        "0000000049454e44ae426082"
    )


def test_the_bytes_of_a_large_file_are_fixed() -> None:
    # It has several blocks. zlib-ng and zlib divide them differently.
    pixels = np.arange(300 * 200 * 3, dtype=np.uint32).reshape(200, 300, 3).astype(np.uint8)
    assert sha256(png.encode(pixels)).hexdigest() == (
        "92984a1e1cf617ff0225c372089f657a8e9f81182f6e28a385d804845bcc4fcc"
    )


def test_pixels_in_another_memory_order_have_the_same_bytes() -> None:
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    assert png.encode(np.asfortranarray(pixels)) == png.encode(pixels)
    assert png.encode(pixels[::-1][::-1]) == png.encode(pixels)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2), np.int64),
        np.zeros((0, 2), np.uint8),
        np.zeros((2, 0, 3), np.uint8),
        np.zeros((2,), np.uint8),
        np.zeros((2, 2, 1), np.uint8),
        np.zeros((2, 2, 4), np.uint8),
        np.zeros((1, 2, 2, 3), np.uint8),
    ],
    ids=lambda pixels: f"{pixels.dtype} {pixels.shape}",
)
def test_other_arrays_are_refused(pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="the pixels"):
        png.encode(pixels)


def test_chunks_have_their_places_in_the_file() -> None:
    file = png.encode(np.zeros((2, 2), np.uint8))
    chunks = list(png.chunks(file))
    assert [chunk.kind for chunk in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    assert b"".join(file[chunk.start : chunk.end] for chunk in chunks) == file[8:]
    assert zlib.decompress(chunks[1].data) == b"\0\0\0" * 2


@given(st.binary(max_size=60))
def test_chunks_of_any_bytes_end(data: bytes) -> None:
    for file in data, png.SIGNATURE + data:
        place = len(png.SIGNATURE)
        for chunk in png.chunks(file):
            assert chunk.start == place < chunk.end <= len(file)
            place = chunk.end
    assert list(png.chunks(data)) == []
