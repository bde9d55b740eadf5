"""The media type image/png: contract, fingerprints, stamps, comparisons, previews and sheets."""

from __future__ import annotations

import json
import re
import struct
import time
import zlib
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

import muniment
import muniment.testing
from muniment.provenance import FORMAT, from_json, to_json
from muniment_image import png
from muniment_image.containers.embedded import MAX_PARTS
from muniment_image.media import Png
from muniment_image.pictures import read_picture
from muniment_image.preview import MAX_LINES, half_blocks
from muniment_image.sheet import MAX_SIDE, contact_sheet, printable
from support import pictures
from support.pictures import noise, saved

PICTURE = png.encode(noise())
ID, OTHER_ID = "01M8JAX4EZFQ9APBTYN78F8QCV", "01M8JAX4EZFQ9APBTYN78F8QCW"


def provenance(prompt: str = "红心 red heart", seed: int = 7, id: str = ID) -> muniment.Provenance:
    return muniment.Provenance(
        id=id,
        generator="image",
        prompt=prompt,
        seed=seed,
        parameters={"guidance": 2.0, "steps": 10, "nothing": None, "texts": ("a", "最近")},
        model="emoji-32",
        model_digest=f"tree1-sha256:{'0' * 64}",
        created_at=datetime(2026, 1, 31, tzinfo=UTC),
        versions={"muniment-image": "0.1.0"},
    )


def exported(data: bytes = PICTURE, prompt: str = "red heart") -> bytes:
    return Png().export(data, provenance(prompt), ".png", Png.Export())


def text_chunk(value: object, key: bytes = b"muniment", flags: bytes = b"\0\0\0\0") -> bytes:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return png.chunk(b"iTXt", key + b"\0" + flags + text)


def facts_chunk(**members: object) -> bytes:
    return text_chunk(json.loads(to_json([provenance(id=OTHER_ID)])) | members)


def read_id(file: bytes) -> str | None:
    """Return the id of the only generation in a file, or None."""
    text = Png().read_provenance(file)
    provenances = () if text is None else from_json(text)
    return provenances[0].id if len(provenances) == 1 else None


def with_chunks(*chunks: bytes, data: bytes = PICTURE) -> bytes:
    return data[:33] + b"".join(chunks) + data[33:]


FACTS = to_json([provenance()]).encode()


class TestPng(muniment.testing.MediaTypeContract):
    media_type = Png
    plugin = "muniment_image.plugin"
    samples = (
        PICTURE,
        png.encode(noise(seed=1)),
        png.encode(noise()[:, :, 0]),
        png.encode(noise(5, 7)),
        png.encode(noise(7, 5)),
        png.encode(noise(1, 1)),
        png.encode(noise(300, 2)),
    )


# ---- descriptions and comparisons --------------------------------------------------------------


@pytest.mark.parametrize(
    ("pixels", "description"),
    [
        (noise()[:, :, 0], "PNG, 28 x 28, 880 bytes"),
        (noise(3, 500), "PNG, 500 x 3, 4.6 kB"),
        (noise(600, 600), "PNG, 600 x 600, 1.1 MB"),
    ],
)
def test_a_description_has_the_sizes(pixels: object, description: str) -> None:
    assert Png().describe(png.encode(pixels)) == description  # type: ignore[arg-type]


@pytest.mark.parametrize("end", [0, 8, 12, 20])
def test_a_damaged_header_has_no_description(end: int) -> None:
    with pytest.raises(ValueError, match="not a PNG file"):
        Png().describe(PICTURE[:end])


def test_a_comparison_has_the_largest_difference_and_the_first_pixel() -> None:
    changed = noise()
    changed[3, 5, 1] ^= 3
    changed[9, 1] = 255 - changed[9, 1]
    expected = np.abs(changed.astype(int) - noise()).max()
    comparison = Png().compare(PICTURE, png.encode(changed))
    assert (comparison.distance, comparison.position) == (expected, "x 5, y 3")
    assert Png().compare(png.encode(changed), PICTURE) == comparison
    assert "pixel" in comparison.unit


def test_pictures_of_different_sizes_have_no_distance() -> None:
    comparison = Png().compare(PICTURE, png.encode(noise(5, 7)))
    assert (comparison.distance, comparison.position) == (None, "")
    assert "28 x 28" in comparison.unit
    assert "7 x 5" in comparison.unit


# ---- fingerprints ------------------------------------------------------------------------------


def test_a_picture_that_was_saved_again_keeps_its_fingerprint() -> None:
    fingerprint = Png().fingerprint(PICTURE)
    few_colours = noise(channels=1).repeat(3, axis=2) // 64
    image = Image.fromarray(few_colours)
    assert Png().fingerprint(exported()) == fingerprint
    for again in (saved(noise()), saved(noise(), mode="RGBA"), saved(noise(), compress_level=0)):
        assert Png().fingerprint(again) == fingerprint
    for again in (saved(image.quantize(16)), saved(image, mode="L"), saved(image, mode="LA")):
        assert Png().fingerprint(again) == Png().fingerprint(png.encode(few_colours))


def test_a_changed_or_turned_picture_has_another_fingerprint() -> None:
    changed = noise()
    changed[27, 27, 2] ^= 1
    wide = noise(14, 56)
    others = [changed, noise().transpose(1, 0, 2), wide, wide.reshape(56, 14, 3)]
    fingerprints = {Png().fingerprint(png.encode(pixels)) for pixels in [noise(), *others]}
    assert len(fingerprints) == 5


# ---- stamps ------------------------------------------------------------------------------------


def test_an_exported_file_has_the_provenance_in_texts_before_the_pixels() -> None:
    file = exported(prompt="红心\x1b[2J\x9b1m\u202e")
    with Image.open(BytesIO(file)) as image:
        image.load()
        facts = json.loads(image.info["muniment"])  # type: ignore[attr-defined]
    assert [chunk.kind for chunk in png.chunks(file)] == [
        *(b"IHDR", b"iTXt", b"iTXt", b"iTXt"),  # muniment, parameters, XMP
        *(b"IDAT", b"IEND"),
    ]
    assert facts["format"] == FORMAT
    assert from_json(json.dumps(facts)) == (provenance("红心\x1b[2J\x9b1m\u202e"),)
    for chunk in png.chunks(file):
        raw = file[chunk.start : chunk.end]
        assert raw == png.chunk(chunk.kind, chunk.data)
    texts = [png.text_of(chunk) for chunk in png.chunks(file) if chunk.kind == b"iTXt"]
    assert [text and text.key for text in texts] == ["muniment", "parameters", "XML:com.adobe.xmp"]
    for text in texts:
        printed = ((text and text.text) or "").replace("\n", " ").replace("\ufeff", "")
        assert printed.isprintable()
    assert np.array_equal(read_picture(file), noise())


def test_colours_are_kept_and_earlier_texts_and_times_are_left_out() -> None:
    kept = [png.chunk(b"gAMA", bytes(4)), png.chunk(b"iCCP", b"canary\0\0" + bytes(9))]
    old = [text_chunk({"id": OTHER_ID}), png.chunk(b"tEXt", b"muniment\0x")]
    private = [
        png.chunk(b"tEXt", b"Author\0canary"),
        png.chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"canary")),
        png.chunk(b"tIME", bytes(7)),
        png.chunk(b"caNa", b"canary"),
        png.chunk(b"CANa", b"canary"),
    ]
    file = exported(with_chunks(*kept, *old, *private) + b"canary after the end")
    kinds = [chunk.kind for chunk in png.chunks(file)]
    assert kinds == [b"IHDR", b"iTXt", b"iTXt", b"iTXt", b"gAMA", b"iCCP", b"IDAT", b"IEND"]
    assert b"canary" not in file
    [profile] = [chunk.data for chunk in png.chunks(file) if chunk.kind == b"iCCP"]
    assert profile == b"ICC profile\0\0" + bytes(9)
    assert read_id(file) == ID
    assert exported(exported()) == exported()


def test_bytes_that_are_no_png_are_not_exported() -> None:
    for data in b"", b"text", png.SIGNATURE, PICTURE[:20]:
        with pytest.raises(ValueError, match="not a PNG file"):
            exported(data)


@pytest.mark.parametrize(
    "chunk",
    [
        text_chunk(b"not json"),
        text_chunk(b"\xff\xfe"),
        text_chunk(b"[" * 100_000),
        text_chunk([ID]),
        text_chunk(ID),
        facts_chunk(id=5),
        facts_chunk(id=None),
        facts_chunk(id=[ID]),
        facts_chunk(id="last"),
        facts_chunk(id=f"{ID}\x1b[2J"),
        facts_chunk(id="\x1b]0;title\x07"),
        facts_chunk(id="<script>"),
        facts_chunk(format="other"),
        facts_chunk(prompt=5),
        facts_chunk(extra="x"),
        text_chunk({"generations": [{"id": ID}]}),
        text_chunk(FACTS, key=b"parameters"),
        text_chunk(FACTS, key=b"muniment2"),
        text_chunk(b" " * png.MAX_TEXT + FACTS),
        png.chunk(b"tEXt", b"muniment"),
        png.chunk(b"zTXt", b"muniment\0\0" + zlib.compress(FACTS)[:-5]),
        png.chunk(b"muNi", b"muniment\0\0\0\0\0" + FACTS),
        pictures.inflating_chunk(b"iTXt"),
    ],
    ids=lambda chunk: repr(chunk[8:50]),
)
def test_another_text_is_no_stamp_and_hides_none(chunk: bytes) -> None:
    assert read_id(with_chunks(chunk)) is None
    assert read_id(with_chunks(chunk, data=exported())) == ID


def test_a_stamp_after_the_pixels_is_read() -> None:
    assert read_id(PICTURE[:-12] + facts_chunk(id=ID) + PICTURE[-12:]) == ID


def test_a_file_of_very_many_chunks_is_read_in_part() -> None:
    empty = png.chunk(b"teSt", b"")
    assert read_id(with_chunks(empty * MAX_PARTS, facts_chunk())) is None


@pytest.mark.parametrize(
    "chunk",
    [
        text_chunk(zlib.compress(FACTS), flags=b"\1\0\0\0"),
        png.chunk(b"tEXt", b"muniment\0" + FACTS),
        png.chunk(b"zTXt", b"muniment\0\0" + zlib.compress(FACTS)),
        png.chunk(b"iTXt", b"muniment\0\0\0en\0key\0" + FACTS),
    ],
)
def test_a_stamp_is_read_as_other_programs_store_it(chunk: bytes) -> None:
    assert read_id(with_chunks(chunk)) == ID


def test_many_texts_that_inflate_are_read_in_part() -> None:
    bombs = pictures.inflating_chunk(b"zTXt") * 50
    start = time.monotonic()
    assert read_id(with_chunks(bombs, facts_chunk())) is None
    assert read_id(with_chunks(facts_chunk(), bombs)) == OTHER_ID
    assert time.monotonic() - start < 10


@given(st.binary(max_size=200))
def test_any_bytes_have_a_stamp_or_none(data: bytes) -> None:
    for file in data, png.SIGNATURE + data, with_chunks(data), with_chunks(text_chunk(data)):
        assert read_id(file) in (None, ID)


@pytest.mark.parametrize("name", pictures.HOSTILE)
def test_hostile_texts_are_neither_described_nor_returned(name: str) -> None:
    file, text = pictures.with_text(pictures.HOSTILE[name]), pictures.HOSTILE[name]
    subject = Png()
    assert subject.read_provenance(file) is None
    for shown in (subject.describe(file), subject.preview(file, 80), subject.compare(file, file)):
        assert text not in str(shown)
    assert subject.fingerprint(file) == subject.fingerprint(PICTURE)


# ---- previews ----------------------------------------------------------------------------------

_CODE = re.compile("\x1b\\[[0-9;]*m")


def test_a_preview_shows_two_pixels_in_each_character() -> None:
    pixels = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]], np.uint8)
    assert half_blocks(pixels, 80) == (
        "\x1b[38;2;255;0;0m\x1b[48;2;0;0;255m▀\x1b[38;2;0;255;0m\x1b[48;2;9;9;9m▀\x1b[0m"
    )
    assert half_blocks(pixels[:1, :1], 80) == "\x1b[38;2;255;0;0m▀\x1b[0m"
    assert half_blocks(np.zeros((2, 3, 3), np.uint8), 80) == (
        "\x1b[38;2;0;0;0m\x1b[48;2;0;0;0m▀▀▀\x1b[0m"
    )


@pytest.mark.parametrize(
    ("height", "width", "columns", "lines", "characters"),
    [
        (28, 28, 80, 14, 28),
        (28, 28, 20, 10, 20),
        (27, 28, 80, 14, 28),
        (1000, 1000, 80, 32, 64),
        (1000, 1000, 40, 20, 40),
        (500, 3, 80, 32, 1),
        (3, 500, 80, 1, 80),
        (1, 1, 4, 1, 1),
    ],
)
def test_a_preview_fits_the_terminal(
    height: int, width: int, columns: int, lines: int, characters: int
) -> None:
    preview = half_blocks(noise(height, width), columns)
    assert preview is not None
    rows = [_CODE.sub("", line) for line in preview.split("\n")]
    assert (len(rows), {len(row) for row in rows}) == (lines, {characters})
    assert len(rows) <= MAX_LINES
    assert set("".join(rows)) == {"▀"}


def test_a_narrow_terminal_and_one_without_colours_have_no_preview(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Png().preview(PICTURE, 3) is None
    assert Png().preview(PICTURE, 80)
    monkeypatch.setenv("NO_COLOR", "1")
    assert Png().preview(PICTURE, 80) is None


# ---- sheets ------------------------------------------------------------------------------------


def test_a_sheet_shows_each_picture_above_its_seed() -> None:
    black = np.zeros((28, 28), np.uint8)
    sheet = contact_sheet([black] * 3, [("boot", f"seed {seed}") for seed in (1, 2, 3)])
    height, width = sheet.shape[:2]
    side = 28 * 3
    dark = (sheet == 0).all(axis=2)
    assert (sheet[:8] == 255).all()
    assert dark[8 : 8 + side, 8 : 8 + side].all()
    assert dark.sum() >= 3 * side * side
    under = sheet[8 + side : 8 + side + 32, 8 : 8 + side]
    assert (under[:16] < 128).any()
    assert (under[16:] < 128).any()
    assert (height, width) == (8 + 2 * (side + 32 + 8), 8 + 2 * (side + 8))


def test_a_sheet_keeps_the_order_of_its_pictures() -> None:
    shades = [np.full((2, 2), shade, np.uint8) for shade in (10, 60, 110, 160, 210)]
    sheet = contact_sheet(shades, [()] * 5, columns=2, scale=1)
    assert sheet[8::10, 8::10, 0].tolist() == [[10, 60], [110, 160], [210, 255]]


def test_a_wide_seed_is_whole_and_a_long_prompt_is_shortened() -> None:
    picture = np.zeros((2, 2), np.uint8)
    narrow = contact_sheet([picture], [("a", "seed 7")], scale=1)
    wide = contact_sheet([picture], [("a" * 20_000, f"seed {2**64 - 1}")], scale=1)
    assert narrow.shape[1] < wide.shape[1] < 250


def test_a_line_that_the_font_cannot_draw_is_left_out() -> None:
    assert [printable(text) for text in ("قلب", "a ☃", "\x1b[2J", "\u202e", "")] == [""] * 5
    assert printable("  T-shirt/top\n 7 ") == "T-shirt/top 7"
    picture = np.zeros((2, 2), np.uint8)
    arabic = contact_sheet([picture], [("قلب", "seed 7")])
    assert np.array_equal(arabic, contact_sheet([picture], [("seed 7",)]))


def test_a_caption_in_chinese_or_kana_is_drawn() -> None:
    picture = np.zeros((2, 2), np.uint8)
    sheets = [
        contact_sheet([picture], [(caption, "seed 7")]).tobytes()
        for caption in ("红心", "心红", "ハート", "x")
    ]
    assert len(set(sheets)) == 4
    assert printable("红心，最近的「a」") == "红心，最近的「a」"


def test_titles_of_columns_and_rows_make_room() -> None:
    picture = noise(8, 8)
    plain = contact_sheet([picture] * 4, [()] * 4)
    titled = contact_sheet(
        [picture] * 4, [()] * 4, column_titles=("1", "2"), row_titles=("seed 1", "seed 2")
    )
    assert titled.shape[0] == plain.shape[0] + 16
    assert titled.shape[1] > plain.shape[1]
    assert (titled[:20] < 128).any()


def test_large_pictures_are_reduced_and_too_large_a_sheet_is_refused() -> None:
    large = np.zeros((1024, 2048, 3), np.uint8)
    assert contact_sheet([large], [()]).shape == (MAX_SIDE // 2 + 16, MAX_SIDE + 16, 3)
    for pixels, count, scale in ((large, 1, 64), (large, 40, 1), (large, 1000, 0)):
        with pytest.raises(ValueError, match="larger than"):
            contact_sheet([pixels] * count, [()] * count, scale=scale)
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([], [])


def test_a_combined_file_is_a_sheet_with_all_provenances() -> None:
    outputs = [png.encode(noise(seed=seed)) for seed in range(3)]
    made = [provenance(seed=seed, id=id) for seed, id in ((1, ID), (2, OTHER_ID), (3, ID))]
    options = Png.Export(sheet_columns=3, sheet_scale=2)
    file = Png().combine(outputs, made, ".png", options)
    pixels = read_picture(file)
    assert np.array_equal(pixels[8:64:2, 8:64:2], noise())
    assert pixels.shape[1] > 3 * 56
    with Image.open(BytesIO(file)) as image:
        image.load()
        facts = json.loads(image.info["muniment"])  # type: ignore[attr-defined]
    assert [item["id"] for item in facts["generations"]] == [ID, OTHER_ID, ID]
    assert [item["seed"] for item in facts["generations"]] == ["1", "2", "3"]
    assert read_id(file) is None


@pytest.mark.parametrize("size", [0, 1 << 31])
def test_a_chunk_of_an_impossible_size_ends_the_search(size: int) -> None:
    chunk = struct.pack(">I4s", size, b"iTXt")
    assert read_id(PICTURE[:33] + chunk) is None
