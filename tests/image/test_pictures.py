"""Pictures as users have them: each kind is read as it looks, or refused with a reason."""

from __future__ import annotations

import struct
import subprocess
import sys
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from muniment_image.pictures import MAX_PIXELS, PictureError, read_picture
from support import pictures
from support.pictures import noise, saved

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")


def refusal(data: bytes) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(data)
    assert str(caught.value).isprintable()
    return str(caught.value)


# ---- formats and modes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})]
)
def test_a_lossless_format_has_its_pixels(kind: str, options: dict[str, object]) -> None:
    pixels = read_picture(saved(noise(5, 7), kind, **options))
    assert np.array_equal(pixels, noise(5, 7))
    assert (pixels.dtype, pixels.flags.writeable, pixels.flags.c_contiguous) == (
        np.uint8,
        True,
        True,
    )


@pytest.mark.parametrize("kind", ["JPEG", "GIF"])
def test_a_lossy_format_has_nearly_its_pixels(kind: str) -> None:
    smooth = np.mgrid[0:64, 0:64].sum(axis=0).astype(np.uint8)
    pixels = read_picture(saved(smooth, kind))
    assert np.abs(pixels.astype(int) - smooth[:, :, None]).max() < 8


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "PCX"])
def test_another_format_is_refused(kind: str) -> None:
    assert "not a PNG, JPEG" in refusal(saved(noise(16, 16), kind))


def test_colours_of_another_space_are_converted_or_refused() -> None:
    for mode, kind in (("YCbCr", "TIFF"), ("YCbCr", "JPEG"), ("PA", "TIFF"), ("LA", "PNG")):
        assert read_picture(saved(noise(), kind, mode)).shape == (28, 28, 3)
    assert "save it as RGB with 8 bits" in refusal(saved(Image.new("LAB", (2, 2)), "TIFF"))


def test_the_content_and_not_a_name_decides() -> None:
    assert np.array_equal(read_picture(saved(noise())), noise())
    assert "not a PNG, JPEG" in refusal(b"no picture\n")
    assert "empty" in refusal(b"")


def test_a_grey_picture_has_one_value_per_pixel() -> None:
    grey = noise()[:, :, 0]
    for data in saved(grey), saved(np.repeat(grey[:, :, None], 3, axis=2)):
        assert np.array_equal(read_picture(data, grey=True), grey)
        assert np.array_equal(read_picture(data)[:, :, 1], grey)


def test_one_bit_is_black_and_white() -> None:
    black = noise()[:, :, 0] < 128
    pixels = read_picture(saved(np.where(black, 0, 255).astype(np.uint8), mode="1"), grey=True)
    assert np.array_equal(pixels == 0, black)
    assert set(np.unique(pixels)) == {0, 255}


def test_a_palette_gives_its_colours() -> None:
    colours = np.array([[[255, 0, 0], [0, 128, 255]]], np.uint8)
    assert np.array_equal(read_picture(saved(Image.fromarray(colours).quantize(2))), colours)


READ = """
import sys
from muniment_image.pictures import PictureError, read_picture
for name in sys.argv[1:]:
    try:
        read_picture(open(name, "rb").read())
    except PictureError as error:
        print(error)
"""


def test_libraries_print_nothing_about_damaged_tiffs(tmp_path: Path) -> None:
    damaged = bytearray(saved(noise(64, 64), "TIFF", compression="tiff_deflate"))
    damaged[800:900] = bytes(100)
    (tmp_path / "damaged.tif").write_bytes(damaged)
    # 60,000 samples per pixel, which Pillow logs as an error.
    data = saved(noise(8, 8), "TIFF", compression="raw")
    many = data.replace(struct.pack("<HHII", 277, 3, 1, 3), struct.pack("<HHII", 277, 3, 1, 60_000))
    (tmp_path / "many.tif").write_bytes(many)
    done = subprocess.run(
        [sys.executable, "-c", READ, tmp_path / "damaged.tif", tmp_path / "many.tif"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.count("damaged") == 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_16_bits_is_scaled_to_8_bits(kind: str) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65406, 65407, 65535]], np.uint16)
    expected = np.array([[0, 0, 1, 1, 128, 254, 255, 255]], np.uint8)
    assert np.array_equal(read_picture(saved(values, kind), grey=True), expected)
    assert np.array_equal(read_picture(saved(values, kind))[:, :, 2], expected)


def test_colours_of_16_bits_are_scaled_to_8_bits() -> None:
    line = b"".join(value.to_bytes(2, "big") for value in (0, 0x8000, 0xFFFF))
    data = pictures.raw_png(1, 1, pictures.rows_of([line]), form=(16, 2))
    assert read_picture(data).tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_32_bits_are_refused(mode: str) -> None:
    assert "save it as RGB with 8 bits" in refusal(saved(noise()[:, :, 0], "TIFF", mode))


def test_cmyk_is_converted() -> None:
    colours = np.full((16, 16, 3), (255, 0, 0), np.uint8)
    for kind in "JPEG", "TIFF":
        red = read_picture(saved(colours, kind, mode="CMYK"))
        assert np.abs(red.astype(int) - colours).max() < 8


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparent_pixels_are_mixed_with_white(kind: str) -> None:
    pixels = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [0, 100, 200, 128]]], np.uint8)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    expected = [[255, 255, 255], [0, 0, 0], [127, 177, 227]]
    assert read_picture(saved(pixels, kind, **options)).tolist() == [expected]


def test_the_transparent_colour_is_white() -> None:
    colours = Image.fromarray(np.array([[[255, 0, 0], [0, 128, 255]]], np.uint8))
    palette, grey = colours.quantize(2), colours.convert("L")
    for image, transparency in (
        (palette, palette.getpixel((0, 0))),
        (grey, grey.getpixel((0, 0))),
        (colours, (255, 0, 0)),
    ):
        pixels = read_picture(saved(image, transparency=transparency))
        assert pixels[0, 0].tolist() == [255, 255, 255]
        assert np.array_equal(pixels[0, 1], read_picture(saved(image))[0, 1])
    still = saved(palette, "GIF", transparency=palette.getpixel((0, 0)))
    assert read_picture(still).tolist() == [[[255, 255, 255], [0, 128, 255]]]
    sixteen = np.array([[4096, 8192]], np.uint16)
    assert read_picture(saved(sixteen, transparency=4096), grey=True).tolist() == [[255, 32]]


@pytest.mark.parametrize(("height", "width"), [(500, 3), (3, 500), (1, 1), (1, 20_000)])
def test_a_thin_picture_keeps_its_size(height: int, width: int) -> None:
    assert read_picture(saved(noise(height, width))).shape == (height, width, 3)


# ---- orientation -------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})]
)
def test_the_orientation_is_applied_once(
    kind: str, options: dict[str, object], orientation: int
) -> None:
    data = pictures.turned(orientation, kind, **options)
    assert np.array_equal(read_picture(data, grey=True), pictures.ARROW)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_photograph_is_applied_once(orientation: int) -> None:
    data = pictures.turned(orientation, "JPEG", quality=100)
    difference = read_picture(data, grey=True).astype(int) - pictures.ARROW
    assert np.abs(difference).max() < 30


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_16_bits_is_turned_too(kind: str) -> None:
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = 6
    deep = np.ascontiguousarray(pictures.STORED[6]).astype(np.uint16) * 257
    assert np.array_equal(read_picture(saved(deep, kind, exif=exif), grey=True), pictures.ARROW)


@pytest.mark.parametrize("value", [0, 9, 255, 65535])
def test_an_unknown_orientation_has_no_effect(value: int) -> None:
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = value
    assert np.array_equal(read_picture(saved(noise(), exif=exif)), noise())


@pytest.mark.parametrize("exif", [b"", b"\0" * 40, b"II*\0\xff\xff\xff\xff", b"Exif\0\0MM"])
def test_unreadable_metadata_have_no_effect(exif: bytes) -> None:
    data = pictures.raw_png(1, 1, pictures.rows_of([b"\7"]), pictures.chunk(b"eXIf", exif))
    assert read_picture(data, grey=True).tolist() == [[7]]


# ---- damage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=25)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_picture_is_refused_or_whole(kind: str, share: float) -> None:
    data = saved(noise(40, 40), kind)
    whole = read_picture(data)
    with suppress(PictureError):
        assert np.array_equal(read_picture(data[: int(len(data) * share)]), whole)


@pytest.mark.parametrize("kind", FORMATS)
def test_half_a_picture_is_refused(kind: str) -> None:
    data = saved(noise(64, 64), kind)
    assert "truncated or damaged" in refusal(data[: len(data) // 2])


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=40)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8)
)
def test_a_damaged_picture_is_read_or_refused(kind: str, changes: list[tuple[float, int]]) -> None:
    data = bytearray(saved(noise(16, 16), kind))
    for share, value in changes:
        data[int(len(data) * share)] = value
    with suppress(PictureError):
        pixels = read_picture(bytes(data))
        assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)


def test_a_changed_pixel_of_a_png_is_noticed() -> None:
    data = bytearray(saved(noise()))
    data[len(data) // 2] ^= 1
    assert "truncated or damaged" in refusal(bytes(data))


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (0, 0)])
def test_a_picture_without_pixels_is_refused(width: int, height: int) -> None:
    data = pictures.raw_png(width, height, pictures.rows_of([bytes(width)] * height))
    assert refusal(data)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_an_animation_or_several_pages_are_refused(kind: str) -> None:
    assert "more than one picture" in refusal(pictures.animated(kind))


def test_an_animation_of_one_frame_is_a_still_picture() -> None:
    frames = pictures.chunk(b"acTL", struct.pack(">II", 1, 0))
    control = pictures.chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 1, 1, 0, 0, 1, 1, 0, 0))
    data = pictures.raw_png(1, 1, pictures.rows_of([b"\7"]), frames, control)
    assert read_picture(data, grey=True).tolist() == [[7]]


def test_the_first_picture_of_a_camera_file_is_read() -> None:
    further = [Image.fromarray(noise(16, 16))]
    data = saved(noise(64, 64), "MPO", save_all=True, append_images=further)
    assert read_picture(data).shape == (64, 64, 3)


# ---- bombs and metadata ------------------------------------------------------------------------


def _peak_of(data: bytes) -> int:
    """Return the most memory in bytes that Python takes while it reads a picture."""
    tracemalloc.start()
    with suppress(PictureError):
        read_picture(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    bomb = pictures.pixel_bomb()
    assert f"{MAX_PIXELS:,} pixels" in refusal(bomb)
    assert _peak_of(bomb) < 10_000_000
    header = pictures.raw_png(50_000, 50_000, b"")
    assert f"{MAX_PIXELS:,} pixels" in refusal(header)
    assert f"{MAX_PIXELS:,} pixels" in refusal(pictures.raw_png(8001, 8000, b""))


def test_a_picture_between_the_limits_of_pillow_is_refused_without_a_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    assert f"{MAX_PIXELS:,} pixels" in refusal(pictures.raw_png(12_000, 10_000, b""))
    assert not recwarn.list


def test_a_large_canvas_in_a_small_file_is_refused() -> None:
    sides = (16_382).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + sides
    assert f"{MAX_PIXELS:,} pixels" in refusal(b"RIFF" + struct.pack("<I", len(body)) + body)


def test_too_large_a_tile_is_refused() -> None:
    for side in 10_000, 40_000:
        assert f"{MAX_PIXELS:,} pixels" in refusal(pictures.tile_bomb(side))


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_text_that_inflates_is_skipped(kind: bytes) -> None:
    data = pictures.raw_png(1, 1, pictures.rows_of([b"\7"]), pictures.inflating_chunk(kind))
    assert read_picture(data, grey=True).tolist() == [[7]]
    assert _peak_of(data) < 10_000_000


def test_a_large_profile_is_skipped() -> None:
    profile = b"p\0\0" + zlib.compress(noise(1000, 1000).tobytes())
    data = pictures.raw_png(1, 1, pictures.rows_of([b"\7"]), pictures.chunk(b"iCCP", profile))
    assert read_picture(data, grey=True).tolist() == [[7]]


@pytest.mark.parametrize("name", pictures.HOSTILE)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_metadata_change_nothing_and_reach_no_message(
    name: str, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    text = pictures.HOSTILE[name]
    data = pictures.with_text(text, kind)
    assert np.array_equal(read_picture(data), read_picture(saved(noise(), kind)))
    message = refusal(data[: len(data) * 2 // 3])
    assert text not in message
    assert "\x1b" not in message
    assert capfd.readouterr() == ("", "")


def test_warnings_of_pillow_are_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    palette = saved(noise(), mode="P", transparency=bytes(range(256)))
    assert read_picture(palette).shape == (28, 28, 3)
    tiff = saved(noise(), "TIFF", compression="tiff_lzw")
    for end in range(8, len(tiff), 97):
        with pytest.raises(PictureError):
            read_picture(tiff[:end])
    assert capfd.readouterr() == ("", "")
