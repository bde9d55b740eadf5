"""Every change of a signed file is detected: 200 pixels, 200 manifests, 200 labels."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from muniment.provenance import Manifest, read_manifest, sign, xmp
from support.pictures import GREY_8, noise, raw_png, rows_of, saved
from support.provenance import (
    ID,
    OTHER_ID,
    Issued,
    alter_pixel,
    chunk_of,
    issue,
    itxt,
    make_provenance,
    png_chunks,
    png_of,
    replace_chunk,
)

COUNT = 200
SIDE = 64
MISMATCH = "assertion.dataHash.mismatch"


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return issue(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def signed(issued: Issued) -> bytes:
    """A signed PNG file of one byte a pixel, with an XMP packet."""
    rows = rows_of(bytes(row) for row in noise(SIDE, SIDE, 1).reshape(SIDE, SIDE))
    packet = itxt("XML:com.adobe.xmp", xmp([make_provenance()]))
    png = raw_png(SIDE, SIDE, rows, packet, form=GREY_8)
    signed = sign(png, "image/png", [make_provenance()], issued.credentials)
    assert read(signed, issued).state == "Trusted"
    return signed


def read(data: bytes, issued: Issued) -> Manifest:
    manifest = read_manifest(data, "image/png", [issued.root])
    assert manifest is not None
    return manifest


def test_altered_pixel_is_detected_in_each_of_200_files(signed: bytes, issued: Issued) -> None:
    numbers = random.Random(1)
    for _ in range(COUNT):
        row, column = numbers.randrange(SIDE), numbers.randrange(SIDE)
        position = row * (SIDE + 1) + 1 + column  # each row begins with the byte of its filter
        altered = alter_pixel(signed, position, numbers.randrange(1, 256))
        manifest = read(altered, issued)
        assert manifest.state == "Invalid"
        assert MISMATCH in manifest.codes


def _altered_texts(manifest: bytes) -> Iterator[bytes]:
    """Yield manifests in which one character of a fact is another one."""
    facts = (
        *b"trainedAlgorithmicMedia c2pa.created org.muniment.provenance hearts guidance".split(),
        *(ID.encode(), b"a red heart", b"18446744073709551615", b"2026-11-29T12:00:00.005Z"),
    )
    places = [
        match.start() + offset
        for fact in facts
        for match in re.finditer(re.escape(fact), manifest)
        for offset in range(len(fact))
    ]
    numbers = random.Random(2)
    for _ in range(COUNT):
        place = numbers.choice(places)
        other = numbers.choice(
            [byte for byte in b"abcxyzABCXYZ0123456789" if byte != manifest[place]]
        )
        yield manifest[:place] + bytes([other]) + manifest[place + 1 :]


def test_altered_fact_of_the_manifest_is_detected_in_each_of_200_files(
    signed: bytes, issued: Issued
) -> None:
    for manifest in _altered_texts(chunk_of(signed, b"caBX")):
        assert read(replace_chunk(signed, b"caBX", manifest), issued).state == "Invalid"


def test_altered_byte_anywhere_in_the_manifest_changes_no_fact_unnoticed(
    signed: bytes, issued: Issued
) -> None:
    original = read(signed, issued)
    manifest = chunk_of(signed, b"caBX")
    padding = max(re.findall(rb"\0+", manifest), key=len)
    start = manifest.index(padding)
    numbers = random.Random(3)
    detected = 0
    places = [place for place in range(len(manifest)) if not start <= place < start + len(padding)]
    for place in numbers.sample(places, COUNT):
        altered = bytearray(manifest)
        altered[place] ^= 1 << numbers.randrange(8)
        result = read(replace_chunk(signed, b"caBX", bytes(altered)), issued)
        assert result.state == "Invalid" or result == original
        detected += result.state == "Invalid"
    # The rest are the types of boxes, which the library ignores.
    assert detected > 0.9 * COUNT


def test_altered_label_in_the_xmp_is_detected_in_each_of_200_files(
    signed: bytes, issued: Issued
) -> None:
    numbers = random.Random(4)
    text = chunk_of(signed, b"iTXt")
    first = text.index(b"<rdf:Description")
    last = text.index(b"</rdf:Description>")
    for _ in range(COUNT):
        place = numbers.randrange(first, last)
        other = numbers.choice([byte for byte in b"023abcABC" if byte != text[place]])
        altered = text[:place] + bytes([other]) + text[place + 1 :]
        manifest = read(replace_chunk(signed, b"iTXt", altered), issued)
        assert manifest.state == "Invalid"
        assert MISMATCH in manifest.codes


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"Label":"1"', b'"Label":"3"'),
        (b"trainedAlgorithmicMedia", b"digitalCapture"),
        (ID.encode(), OTHER_ID.encode()),
        (b"<TC260:AIGC>", b"<TC260:Aigc>"),
    ],
)
def test_label_that_claims_another_origin_is_detected(
    signed: bytes, issued: Issued, old: bytes, new: bytes
) -> None:
    text = chunk_of(signed, b"iTXt")
    assert old in text
    manifest = read(replace_chunk(signed, b"iTXt", text.replace(old, new)), issued)
    assert MISMATCH in manifest.codes


def test_removed_label_is_detected(signed: bytes, issued: Issued) -> None:
    without = [(kind, data) for kind, data in png_chunks(signed) if kind != b"iTXt"]
    assert read(png_of(without), issued).state == "Invalid"


def test_added_metadata_are_detected(signed: bytes, issued: Issued) -> None:
    chunks = list(png_chunks(signed))
    chunks.insert(-1, (b"tEXt", b"Comment\0a photograph"))
    assert read(png_of(chunks), issued).state == "Invalid"


def test_manifest_of_another_picture_is_detected(signed: bytes, issued: Issued) -> None:
    other = sign(saved(noise(seed=9), "PNG"), "image/png", [make_provenance()], issued.credentials)
    moved = replace_chunk(other, b"caBX", chunk_of(signed, b"caBX"))
    manifest = read(moved, issued)
    assert manifest.state == "Invalid"
    assert MISMATCH in manifest.codes


def test_removed_manifest_leaves_none(signed: bytes) -> None:
    without = [(kind, data) for kind, data in png_chunks(signed) if kind != b"caBX"]
    assert read_manifest(png_of(without), "image/png") is None
