"""Exported pictures of every format: provenance, limits, scales, labels, and other programs."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import muniment
from muniment.provenance import (
    create_credentials,
    from_json,
    load_credentials,
    read_manifest,
    read_xmp,
    sign,
    visible_label,
)
from muniment_image import label, png, stamp
from muniment_image.containers import embedded, exif, jpeg
from muniment_image.fonts import has_glyph
from muniment_image.formats import LOSSY
from muniment_image.infotext import infotext
from muniment_image.label import labelled, scaled
from muniment_image.media import Png
from muniment_image.pictures import MAX_PIXELS, read_picture
from support import pictures
from support.pictures import noise

PIXELS = noise()
PICTURE = png.encode(PIXELS)
SUFFIXES = (".png", *LOSSY)
IDS = [f"01M8JAX4EZFQ9APBTYN78F8Q{number:02}" for number in range(40)]
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
PROMPTS = {
    "chinese": "红心，最近的",
    "japanese": "赤いハート",
    "arabic": "قلب أحمر",
    "emoji": "👩\u200d🎨 \U0001f600",
    "lines": "a\n\nb\r\nc\u2028d ",
    "punctuation": "a, \"b\", 'c': (d:1.2) \\ e",
    "fake-steps": "red heart\nSteps: 1, Seed: 2, Size: 3x4",
    "fake-negative": "red heart\nNegative prompt: ugly",
    "fake-json": 'a, muniment: "{\\"format\\": \\"muniment-provenance/1\\"}"',
    "escapes": "\x1b]0;title\x07\x1b[2J",
    "markup": "]]></rdf:RDF><?xpacket end='w'?>&amp;<!--",
}


def provenance(prompt: str = "red heart", id: str = IDS[0], **fields: Any) -> muniment.Provenance:
    values: dict[str, Any] = {
        "generator": "image",
        "seed": 7,
        "parameters": {"guidance": 2.0, "steps": 10, "negative_prompt": "ugly\nSeed: 3"},
        "model": "emoji-32",
        "model_digest": f"tree1-sha256:{'0' * 64}",
        "created_at": datetime(2026, 1, 31, tzinfo=UTC),
        "versions": {"muniment": "0.1.0", "muniment-image": "0.1.0"},
    }
    return muniment.Provenance(id=id, prompt=prompt, **(values | fields))


def exported(
    suffix: str, written: muniment.Provenance | None = None, data: bytes = PICTURE, **options: Any
) -> bytes:
    return Png().export(data, written or provenance(), suffix, Png.Export(**options))


def read(file: bytes) -> tuple[muniment.Provenance, ...]:
    text = Png().read_provenance(file)
    assert text is not None
    return from_json(text)


# ---- what is written is read -------------------------------------------------------------------


def test_all_formats_of_pillow_are_written() -> None:
    assert SUFFIXES == (".png", ".jpg", ".jpeg", ".webp", ".avif")


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_prompt_is_read_back_from_every_format(suffix: str, name: str) -> None:
    written = provenance(PROMPTS[name], parameters={"negative_prompt": PROMPTS[name]})
    file = exported(suffix, written)
    assert Png().matches_file(file)
    assert read(file) == (written,)


def random_text(source: random.Random) -> str:
    """Return up to 40 characters of any kind, and of parts that could be read as other parts."""
    parts = (
        *("\n", "\r\n", ", ", '"', "\\", ": ", "\0", "{", "}"),
        *("Steps: 1, Seed: 2", "Negative prompt: ", "\nSteps: ", 'muniment: "', "红", "👩\u200d🎨"),
    )
    characters: list[str] = []
    for _ in range(source.randrange(40)):
        point = source.choice((source.randrange(0x80), source.randrange(0x110000)))
        is_surrogate = 0xD800 <= point < 0xE000
        characters.append(
            source.choice(parts) if source.random() < 0.3 or is_surrogate else chr(point)
        )
    return "".join(characters)


@pytest.mark.parametrize(
    ("suffix", "count"),
    [
        *((suffix, 200) for suffix in (".png", ".jpg", ".webp", ".avif")),
        *(
            pytest.param(suffix, count, marks=pytest.mark.integration)
            for suffix, count in ((".png", 10_000), (".jpg", 10_000), (".webp", 10_000))
        ),
    ],
)
def test_random_texts_are_read_back(suffix: str, count: int) -> None:
    source, data = random.Random(f"{suffix} {count}"), png.encode(noise(2, 2))
    for _ in range(count):
        written = provenance(random_text(source), parameters={"text": random_text(source)})
        assert read(exported(suffix, written, data)) == (written,)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_programs_find_the_text_parameters_and_the_labels(suffix: str) -> None:
    metadata = embedded.read(exported(suffix, provenance("红心", producer="001")))
    assert metadata is not None
    facts = read_xmp(metadata.xmp)
    label = json.loads(facts.aigc)
    assert facts.digital_source_type == GENERATED
    assert (label["Label"], label["ContentProducer"], label["ProduceID"]) == ("1", "001", IDS[0])
    if suffix == ".png":
        assert [key for key, _ in metadata.texts] == ["muniment", "parameters"]
        text = dict(metadata.texts)["parameters"]
        assert text == infotext(provenance("红心"), (28, 28))
    else:
        text = exif.user_comment(metadata.exif) or ""
        assert text.startswith(f"{infotext(provenance('红心'), (28, 28))}, muniment: ")
    assert text.startswith(
        "红心\nNegative prompt: ugly\nSeed： 3\nSteps: 10, CFG scale: 2.0, Seed: 7"
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_private_generation_has_its_label_and_no_prompt(suffix: str) -> None:
    private = provenance("", parameters={})
    metadata = embedded.read(exported(suffix, private))
    assert metadata is not None
    assert read_xmp(metadata.xmp).digital_source_type == GENERATED
    assert b"steps" not in exported(suffix, private).lower()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_sheet_contains_all_ids(suffix: str) -> None:
    written = [provenance("红心 " * 50, id, seed=number) for number, id in enumerate(IDS)]
    file = Png().combine([PICTURE] * len(IDS), written, suffix, Png.Export(sheet_scale=1))
    assert read(file) == tuple(written)
    metadata = embedded.read(file)
    assert metadata is not None
    assert json.loads(read_xmp(metadata.xmp).aigc)["ProduceID"].split(",") == IDS


def test_a_file_that_others_saved_again_with_its_comment_is_read() -> None:
    block = Image.open(BytesIO(exported(".jpg"))).info["exif"]
    for kind in ("PNG", "WEBP", "JPEG", "AVIF"):
        assert read(pictures.saved(PIXELS, kind, exif=block)) == (provenance(),)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_signed_file_keeps_its_pixels_and_facts(suffix: str, tmp_path: Path) -> None:
    media_type = f"image/{suffix[1:]}".replace("jpg", "jpeg")
    create_credentials(tmp_path, name="tests")
    credentials = load_credentials(tmp_path / "certificate.pem", tmp_path / "certificate.key")
    file = exported(suffix)
    signed = sign(file, media_type, [provenance()], credentials)
    manifest = read_manifest(signed, media_type)
    assert manifest is not None
    assert manifest.state == "Valid"
    assert read(signed) == (provenance(),)
    before, after = embedded.read(file), embedded.read(signed)
    assert before is not None
    assert after is not None
    assert (before.xmp, before.exif) == (after.xmp, after.exif)
    assert np.array_equal(read_picture(file), read_picture(signed))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files_are_read_or_not(suffix: str) -> None:
    source, file = random.Random(suffix), exported(suffix)
    for _ in range(300):
        damaged = bytearray(file)
        for _ in range(source.randrange(1, 6)):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        text = Png().read_provenance(bytes(damaged[: source.randrange(20, 2 * len(file))]))
        assert text is None or from_json(text)


# ---- pixels ------------------------------------------------------------------------------------


def test_a_png_file_keeps_the_fingerprint_and_lossy_files_are_close() -> None:
    smooth = np.linspace(0, 255, 28 * 28 * 3).reshape(28, 28, 3).astype(np.uint8)
    data = png.encode(smooth)
    assert Png().fingerprint(exported(".png", data=data)) == Png().fingerprint(data)
    for suffix in LOSSY:
        pixels = read_picture(exported(suffix, data=data))
        assert pixels.shape == smooth.shape
        assert np.abs(pixels.astype(int) - smooth).mean() < 4


@pytest.mark.parametrize("suffix", LOSSY)
def test_a_lower_quality_is_a_smaller_file(suffix: str) -> None:
    data = png.encode(noise(64, 64))
    sizes = [len(exported(suffix, data=data, quality=quality)) for quality in (5, 50, 100)]
    assert sizes == sorted(set(sizes))


def test_a_png_file_has_no_quality() -> None:
    assert set(Png.Export.fields()["quality"].suffixes) == set(Png.suffixes) - {".png"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_scale_makes_squares_of_pixels_and_keeps_the_recorded_size(suffix: str) -> None:
    file = exported(suffix, scale=3)
    pixels = read_picture(file)
    assert pixels.shape == (84, 84, 3)
    if suffix == ".png":
        assert np.array_equal(pixels, np.kron(PIXELS, np.ones((3, 3, 1), np.uint8)))
    assert read(file) == (provenance(),)
    assert b"S\0i\0z\0e\0:\0 \0002\0008\0x\0002\0008" in file or b"Size: 28x28" in file


def test_a_scale_beyond_the_limit_is_refused() -> None:
    side = int(MAX_PIXELS**0.5) // 64 + 1
    with pytest.raises(muniment.ParameterError, match="scale"):
        scaled(np.zeros((side, side, 3), np.uint8), 64)


@pytest.mark.parametrize(
    ("height", "width"), [(8_000, 8_000), (900_000, 1), (1, MAX_PIXELS)], ids=str
)
def test_a_picture_without_room_for_a_label_is_refused(height: int, width: int) -> None:
    pixels = np.broadcast_to(np.zeros(3, np.uint8), (height, width, 3))
    with pytest.raises(muniment.ParameterError, match="scale"):
        labelled(pixels, visible_label("en"))


def test_a_narrow_picture_is_enlarged_as_far_as_its_label_has_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(label, "MAX_PIXELS", 100_000)
    height, width = labelled(np.zeros((300, 3, 3), np.uint8), visible_label("en")).shape[:2]
    assert 300 < height < 3 * 300 + 30
    assert 90_000 < height * width <= 100_000


@pytest.mark.parametrize(("language", "suffix"), [("zh", ".png"), ("en", ".jpg"), ("zh", ".webp")])
def test_a_label_is_drawn_below_the_enlarged_picture(language: Any, suffix: str) -> None:
    file = exported(suffix, visible_label=language)
    pixels = read_picture(file)
    scale = pixels.shape[1] // 28
    assert scale > 1
    if suffix == ".png":
        assert np.array_equal(pixels[: 28 * scale], scaled(PIXELS, scale))
    band = pixels[28 * scale :]
    assert band[0].min() > 200
    assert (band < 100).any()
    assert read(file) == (provenance(),)


@pytest.mark.parametrize("text", [visible_label("zh"), visible_label("en")])
@pytest.mark.parametrize(
    ("height", "width"),
    [(28, 28), (32, 32), (1, 1), (3, 500), (500, 3), (512, 512), (768, 512), (512, 768), (1, 9000)],
)
def test_letters_of_a_label_are_at_least_5_percent_of_the_shorter_side(
    height: int, width: int, text: str
) -> None:
    pixels = labelled(np.full((height, width, 3), 255, np.uint8), text)
    rows, columns = np.nonzero(pixels[:, :, 0] < 128)
    ink = rows.max() - rows.min() + 1
    assert ink >= 10
    assert ink >= 0.05 * min(pixels.shape[:2])
    assert columns.min() > 0
    assert columns.max() < pixels.shape[1] - 1
    assert rows.max() < pixels.shape[0] - 1


def test_labels_in_both_languages_can_be_drawn_and_differ() -> None:
    texts = [visible_label("zh"), visible_label("en")]
    assert all(has_glyph(character) for text in texts for character in text)
    one, other = (labelled(PIXELS, text).tobytes() for text in texts)
    assert one != other


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_sheet_is_labelled_and_enlarged_as_a_whole(suffix: str) -> None:
    plain = read_picture(Png().combine([PICTURE], [provenance()], suffix, Png.Export()))
    options = Png.Export(scale=2, visible_label="zh")
    large = read_picture(Png().combine([PICTURE], [provenance()], suffix, options))
    assert large.shape[1] == 2 * plain.shape[1]
    assert large.shape[0] > 2 * plain.shape[0]


# ---- limits of JPEG ----------------------------------------------------------------------------


def test_a_long_prompt_leaves_out_the_text_for_other_programs_first() -> None:
    written = provenance("红" * 8_000, parameters={})
    file = exported(".jpg", written)
    assert read(file) == (written,)
    metadata = embedded.read(file)
    assert metadata is not None
    assert (exif.user_comment(metadata.exif) or "").startswith('{"format"')


@pytest.mark.parametrize("prompt", ["a" * 70_000, "红" * 20_000])
def test_a_jpeg_file_without_room_for_a_prompt_is_saved_with_the_id(prompt: str) -> None:
    written = provenance(prompt)
    file = exported(".jpg", written)
    assert read(file) == (dataclasses.replace(written, prompt="", parameters={}),)
    assert np.array_equal(read_picture(file), read_picture(exported(".jpg")))
    for suffix in (".png", ".webp", ".avif"):
        assert read(exported(suffix, written)) == (written,)


@pytest.mark.parametrize("room", [*range(-40, 41, 8)])
def test_every_length_near_the_limit_is_written(room: int) -> None:
    empty = len(stamp.comment_block([provenance("", parameters={})], (28, 28)))
    # A character of the prompt has two bytes in the text, and two in the JSON.
    most = (jpeg.MAX_SEGMENT - len(jpeg.EXIF) - empty) // 4
    written = provenance("a" * (most + room), parameters={})
    file = exported(".jpg", written)
    assert read(file) == (written,)
    assert len(read_picture(file)) == 28


def test_facts_that_are_too_many_without_the_prompt_are_left_out() -> None:
    written = provenance(versions={f"plugin-{number}": "1.0" * 50 for number in range(1000)})
    [item] = read(exported(".jpg", written))
    assert (item.id, item.seed, item.versions) == (written.id, written.seed, {})


def test_a_jpeg_sheet_of_too_many_generations_has_the_first_ids() -> None:
    ids = [f"01M8JAX4EZFQ9APBTYN78F{number:04}" for number in range(3000)]
    written = [provenance("a", id) for id in ids]
    block = stamp.comment_block(written, (1, 1), 65_000)
    [text] = exif.user_comments(block)
    assert [item.id for item in from_json(text)] == ids[:375]
    assert len(stamp.packet(written, 65_000)) <= 65_000
    assert len(block) <= 65_000 < jpeg.MAX_SEGMENT


# ---- metadata of the input ---------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_metadata_of_a_recorded_picture_do_not_reach_the_file(suffix: str) -> None:
    private = Image.Exif()
    private[0x013B] = "canary author"
    private[0x0112] = 6
    private.get_ifd(0x8825)[1] = "N"
    information = pictures.PngImagePlugin.PngInfo()
    information.add_text("Author", "canary author")
    information.add_itxt(embedded.XMP_KEY, "<x>canary</x>")
    turned = np.ascontiguousarray(noise(8, 6))
    data = pictures.saved(turned, exif=private, pnginfo=information)
    file = exported(suffix, data=data)
    metadata = embedded.read(file)
    assert metadata is not None
    assert b"canary" not in file
    tags = {(entry.directory, entry.tag) for entry in exif.entries(metadata.exif)}
    assert tags <= {("IFD0", exif.SOFTWARE), ("Exif", 0x9000), ("Exif", exif.USER_COMMENT)}
    assert read_picture(file).shape == (6, 8, 3)
    if suffix == ".png":
        assert Png().fingerprint(file) == Png().fingerprint(data)


# ---- exiftool ----------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize("prompt", [*PROMPTS.values(), "a" * 5000], ids=[*PROMPTS, "long"])
def test_exiftool_reads_the_same_facts(exiftool: str, tmp_path: Path, prompt: str) -> None:
    written = provenance(prompt)
    files = [tmp_path / f"a{suffix}" for suffix in SUFFIXES]
    for file in files:
        file.write_bytes(exported(file.suffix, written))
    done = subprocess.run(
        [exiftool, "-json", "-G1", "-charset", "UTF8", "-api", "largefilesupport", *files],
        capture_output=True,
        check=True,
    )
    values = json.loads(done.stdout)
    assert len(values) == len(files)
    for file, facts in zip(files, values, strict=True):
        assert "ExifTool:Warning" not in facts, (file.suffix, facts["ExifTool:Warning"])
        assert facts["XMP-iptcExt:DigitalSourceType"] == GENERATED
        label = next(value for key, value in facts.items() if key.lower().endswith(":aigc"))
        label = json.loads(label) if isinstance(label, str) else label
        assert label["ProduceID"] == written.id
        if file.suffix == ".png":
            assert from_json(facts["PNG:Muniment"]) == (written,)
            assert facts["PNG:Parameters"] == infotext(written, (28, 28))
        else:
            assert facts["IFD0:Software"] == "muniment"
            assert stamp.facts_of(facts["ExifIFD:UserComment"]) == stamp.read_provenance(
                file.read_bytes()
            )
