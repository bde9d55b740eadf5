"""Parts of picture files: segments, chunks, EXIF comments and texts, of any origin."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from io import BytesIO

import pytest
from hypothesis import given, strategies as st
from PIL import Image, PngImagePlugin

from muniment_image import png
from muniment_image.containers import avif, embedded, exif, jpeg, webp
from support import pictures
from support.pictures import noise, saved

TEXTS = [
    "red heart",
    "红心，最近\n一一一",
    "赤いハート",
    "قلب أحمر",
    "👩\u200d🎨 \U0001f600",
    "a, \"b\" 'c'",
    "é",
]
KINDS = {"JPEG": "JPEG", "WEBP": "WebP", "AVIF": "AVIF"}


def with_metadata(kind: str, comment: str = "红心", xmp: bytes = b"<x/>") -> bytes:
    block = exif.block("muniment", comment)
    return saved(noise(), kind, exif=jpeg.EXIF + block if kind == "JPEG" else block, xmp=xmp)


# ---- one shape for all formats -----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS)
def test_exif_and_xmp_of_every_format_are_read(kind: str, text: str) -> None:
    metadata = embedded.read(with_metadata(kind, text, b"<x>1</x>"))
    assert metadata is not None
    assert (metadata.format, metadata.xmp) == (KINDS[kind], b"<x>1</x>")
    assert exif.user_comment(metadata.exif) == text


def test_texts_of_a_png_file_are_read_however_they_are_stored() -> None:
    information = PngImagePlugin.PngInfo()
    information.add_text("latin", "é")
    information.add_text("latin-compressed", "é" * 100, zip=True)
    information.add_itxt("chinese", "红心", "zh", "键")
    information.add_itxt("chinese-compressed", "红心" * 100, zip=True)
    information.add_itxt(embedded.XMP_KEY, "<x/>")
    file = saved(noise(), pnginfo=information, exif=exif.block("muniment", "红心"))
    metadata = embedded.read(file)
    assert metadata == embedded.Embedded(
        "PNG",
        (
            ("latin", "é"),
            ("latin-compressed", "é" * 100),
            ("chinese", "红心"),
            ("chinese-compressed", "红心" * 100),
        ),
        exif.block("muniment", "红心"),
        b"<x/>",
    )


@pytest.mark.parametrize("text", TEXTS)
def test_written_texts_of_a_png_file_are_those_that_pillow_reads(text: str) -> None:
    file = saved(noise())
    chunks = png.text_chunk("a", text) + png.international_chunk("b", text)
    with Image.open(BytesIO(file[:33] + chunks + file[33:])) as image:
        image.load()
        assert image.info == {"a": text, "b": text}


def test_a_text_with_a_character_of_0_is_refused() -> None:
    with pytest.raises(ValueError, match="character of 0"):
        png.text_chunk("a", "b\0c")


@pytest.mark.parametrize("kind", [b"iTXt", b"zTXt"])
def test_a_text_that_inflates_beyond_the_limit_is_skipped(kind: bytes) -> None:
    file = saved(noise())
    file = file[:33] + pictures.inflating_chunk(kind) + png.text_chunk("a", "b") + file[33:]
    metadata = embedded.read(file)
    assert metadata is not None
    assert (metadata.texts, len(metadata.skipped)) == ((("a", "b"),), 1)


def test_a_damaged_compressed_text_is_skipped() -> None:
    data = zlib.compress(b"text" * 100)
    for content in (data[:-3], b"x" + data, b""):
        chunk = png.Chunk(b"zTXt", b"key\0\0" + content, 0, 0)
        assert png.text_of(chunk) == png.Text("key", None)


def test_comments_of_a_jpeg_file_are_texts() -> None:
    metadata = embedded.read(saved(noise(), "JPEG", comment="红心".encode()))
    assert metadata is not None
    assert metadata.texts == (("Comment", "红心"),)


def test_comments_of_a_jpeg_file_are_read_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "MAX_TEXTS", 25)
    comments = [struct.pack(">BBH", 0xFF, jpeg.COMMENT, 12) + b"a" * 10] * 4
    metadata = embedded.read(jpeg.SIGNATURE[:2] + b"".join(comments))
    assert metadata is not None
    assert metadata.texts == (("Comment", "a" * 10),) * 2
    assert metadata.skipped == ("Comment",) * 2


@pytest.mark.parametrize("data", [b"", b"text", b"BM1234", b"GIF89a", b"RIFF\0\0\0\0WAVEfmt "])
def test_other_formats_have_no_metadata(data: bytes) -> None:
    assert embedded.format_of(data) is None
    assert embedded.read(data) is None


@pytest.mark.parametrize("kind", ["PNG", *KINDS])
def test_truncated_files_are_read_without_an_error(kind: str) -> None:
    file = with_metadata(kind)
    whole = embedded.read(file)
    assert whole is not None
    for end in range(12, len(file), 1 if len(file) < 2000 else 7):
        metadata = embedded.read(file[:end])
        if metadata is not None:
            exif.user_comment(metadata.exif)
            assert whole.xmp.startswith(metadata.xmp)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    beginnings = (png.SIGNATURE, jpeg.SIGNATURE, b"RIFF\0\0\0\0WEBP", b"\0\0\0\x20ftypavif", b"")
    for beginning in beginnings:
        embedded.read(beginning + data)
    for beginning in (b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b""):
        list(exif.entries(beginning + data))
        exif.user_comment(beginning + data)
    exif.user_comments(commented(data))


def test_segments_end_before_the_pixels() -> None:
    file = saved(noise(), "JPEG", comment=b"\xff\xe1not a marker")
    markers = [segment.marker for segment in jpeg.segments(file)]
    assert markers[0] == 0xE0
    assert markers.count(jpeg.COMMENT) == 1
    assert jpeg.APP1 not in markers
    filled = file[:2] + b"\xff\xff\xff" + file[2:]
    assert list(jpeg.segments(filled)) == list(jpeg.segments(file))
    assert list(jpeg.segments(b"\xff\xd8\xff\xe1\0\0")) == []


def test_chunks_of_webp_begin_at_even_places() -> None:
    file = saved(noise(), "WEBP", exif=exif.block("muniment", "a"), xmp=b"<x>1</x> ")
    kinds = [chunk.kind for chunk in webp.chunks(file)]
    assert kinds[0] == b"VP8X"
    assert {webp.EXIF, webp.XMP} <= set(kinds)


def test_avif_is_recognised_by_its_brand() -> None:
    assert avif.can_read()
    assert avif.is_avif(saved(noise(), "AVIF"))
    assert not avif.is_avif(b"\0\0\0\x20ftypheic")
    assert avif.blocks(b"\0\0\0\x20ftypavif" + bytes(99)) == avif.Blocks()


# ---- EXIF --------------------------------------------------------------------------------------


def commented(comment: bytes, order: exif.Order = "big") -> bytes:
    """Return a block with a user comment of these bytes."""
    mark, start = (">", b"MM\0*") if order == "big" else ("<", b"II*\0")
    return b"".join(
        (
            start + struct.pack(f"{mark}IH", 8, 1),
            struct.pack(f"{mark}HHIII", 0x8769, 4, 1, 26, 0),
            struct.pack(f"{mark}HHHIII", 1, exif.USER_COMMENT, 7, len(comment), 44, 0),
            comment,
        )
    )


@pytest.mark.parametrize("text", TEXTS)
def test_pillow_reads_the_block_that_is_written(text: str) -> None:
    loaded = Image.Exif()
    loaded.load(exif.block("muniment", text))
    comment = loaded.get_ifd(0x8769)[exif.USER_COMMENT]
    assert loaded[exif.SOFTWARE] == "muniment"
    assert comment == b"UNICODE\0" + text.encode("utf-16-be")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
@pytest.mark.parametrize("order", ["little", "big"])
def test_a_comment_of_utf_16_is_read_in_both_orders(
    text: str, encoding: str, order: exif.Order
) -> None:
    text = f"{text} Steps: 10"
    for prefix in (b"UNICODE\0", bytes(8), b""):
        assert exif.user_comment(commented(prefix + text.encode(encoding), order)) == text


@pytest.mark.parametrize("text", TEXTS)
def test_a_comment_of_utf_8_is_read_with_and_without_a_prefix(text: str) -> None:
    text = f"{text} Steps: 10"
    for prefix in (b"ASCII\0\0\0", bytes(8), b""):
        assert exif.user_comments(commented(prefix + text.encode())) == (text,)


def test_other_comments_are_texts_or_none() -> None:
    japanese = b"JIS\0\0\0\0\0" + "赤い".encode("iso2022_jp")
    assert exif.user_comment(commented(japanese)) == "赤い"
    assert exif.user_comment(commented(b"caf\xe9 x")) == "caf\ufffd x"
    for empty in (b"", b"ASCII\0\0\0" + bytes(20), b"UNICODE\0", bytes(8)):
        assert exif.user_comment(commented(empty)) is None
    assert exif.user_comment(b"") is None
    assert exif.user_comment(exif.block("muniment", "a", "ascii")) == "a"


def test_directories_that_refer_to_themselves_end() -> None:
    entry = struct.pack(">HHII", 0x8769, 4, 1, 8)
    block = b"MM\0*" + struct.pack(">IH", 8, 2) + entry * 2 + struct.pack(">I", 8)
    assert list(exif.entries(block)) == []


def test_the_number_of_entries_is_bounded() -> None:
    entry = struct.pack(">HHI4s", 0x010E, 2, 4, b"abc\0")
    block = b"MM\0*" + struct.pack(">IH", 8, 65535) + entry * 65535
    assert len(list(exif.entries(block))) == exif.MAX_ENTRIES


def test_entries_that_share_their_bytes_are_not_copied() -> None:
    size = 100_000
    count = 500
    beginning = b"MM\0*" + struct.pack(">IH", 8, count)
    entry = struct.pack(">HHII", 0x010E, 2, size, len(beginning) + 12 * count)
    block = beginning + entry * count + b"a" * size
    tracemalloc.start()
    try:
        items = list(exif.entries(block))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [len(item.data) for item in items] == [size] * count
    assert peak < 10 * size


def test_a_large_exif_block_is_cut() -> None:
    block = exif.block("muniment", "a") + bytes(exif.MAX_BLOCK)
    file = png.SIGNATURE + png.chunk(b"eXIf", block)
    metadata = embedded.read(file)
    assert metadata is not None
    assert metadata.exif == block[: exif.MAX_BLOCK]
    assert exif.user_comment(metadata.exif) == "a"
