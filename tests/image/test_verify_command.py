"""`muniment image verify`: exit codes and results for intact, altered and unknown pictures."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

import muniment
from muniment.provenance import ASSERTION, to_json
from muniment.testing import CommandContract, run_command
from muniment_image import png, verification
from muniment_image.commands.certificate import certificate
from muniment_image.commands.inspect import inspect
from muniment_image.commands.verify import verify
from muniment_image.inspection import report as reports
from muniment_image.inspection.report import read_report
from muniment_image.pictures import read_picture
from muniment_image.trust import read_trust
from support import pictures
from support.checked_pictures import (
    GenerateFile,
    facts,
    inspected,
    signed,
    trust,
    verified,
    with_texts,
)
from support.commands import Here
from support.provenance import Issued, chunk_of, make_provenance, png_chunks, png_of

MANIFEST = b"caBX"


class TestVerifyContract(CommandContract):
    command = verify
    arguments: ClassVar = ("a.png",)

    @pytest.fixture
    def session(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("a.png").write_bytes(pictures.saved(pictures.noise()))


def test_a_file_saved_again_without_metadata_matches_its_record(
    generate_file: GenerateFile, tmp_path: Path
) -> None:
    for seed in range(10):
        file, again = tmp_path / f"{seed}.png", tmp_path / "again.png"
        generation = generate_file(file, seed)
        for mode, options in (("RGB", {}), ("RGBA", {}), ("RGB", {"optimize": True})):
            Image.open(file).convert(mode).save(again, **options)
            assert b"muniment" not in again.read_bytes()
            result = run_command(verify, str(again), "--json")
            [value] = result.json
            assert (result.code, value["pixels"]) == (0, verification.SAME)
            assert value["record"] == generation.id


def test_a_prompt_with_the_name_of_a_box_is_no_manifest(
    generate_file: GenerateFile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "a.png"
    generate_file(file)
    file.write_bytes(with_texts(file.read_bytes(), Comment="a jumble"))
    assert verified(file) == (0, verification.NO_MANIFEST, verification.SAME)
    monkeypatch.setitem(sys.modules, "c2pa", None)
    assert verified(file) == (0, verification.NO_MANIFEST, verification.SAME)


@pytest.fixture
def whole(
    generate_file: GenerateFile,
    tmp_path: Path,
    configured_home: Path,
    stranger: Issued,
) -> bytes:
    """Return an exported file that is signed with the certificate of the settings."""
    file = tmp_path / "whole.png"
    generate_file(file)
    trust(configured_home, stranger, own=True)
    data = signed(file.read_bytes(), stranger)
    file.write_bytes(data)
    assert verified(file) == (0, verification.OWN, verification.SAME)
    return data


def results(files: Iterable[bytes]) -> Counter[tuple[int, str, str]]:
    """Return how often files have which exit code, manifest and pixels, in one session.

    The files are on no disk, so nothing is read again.
    """
    counts: Counter[tuple[int, str, str]] = Counter()
    with muniment.open() as session:
        own = read_trust(session)
        for data in files:
            report = read_report(data, own)
            assert report is not None
            result = verification.verify(session, Path("altered.png"), report)
            counts[result.exit_code, result.manifest, result.pixels] += 1
    return counts


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    """Return a PNG file in which the content of one chunk is another, with its checksum."""
    return png_of([(kind, new if part == old else part) for kind, part in png_chunks(data)])


def flipped(content: bytes, positions: Iterable[int]) -> Iterator[bytes]:
    """Yield the content with the lowest bit of each of these bytes inverted."""
    for position in positions:
        yield content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


@pytest.mark.parametrize("is_signed", [True, False])
def test_an_altered_pixel_is_detected_in_each_of_200_files(whole: bytes, is_signed: bool) -> None:
    data = whole if is_signed else replaced(whole, chunk_of(whole, MANIFEST), b"")
    random, pixels, files = np.random.default_rng(1), read_picture(whole), []
    for _ in range(200):
        y, x, channel = random.integers(0, (28, 28, 3))
        painted = pixels.copy()
        painted[y, x, channel] ^= 1 << random.integers(0, 8)
        rows = chunk_of(png.encode(painted), b"IDAT")
        files.append(replaced(data, chunk_of(data, b"IDAT"), rows))
    [(code, _, state)] = results(files)
    assert (code, state) == (4, verification.OTHER)


@pytest.mark.parametrize(
    ("fact", "before"),
    [(b"a red heart", 60), (b"DigitalSourceType>", 0)],
    ids=["manifest", "label"],
)
def test_an_altered_fact_is_detected_in_each_of_200_files(
    whole: bytes, fact: bytes, before: int
) -> None:
    [content] = [data for _, data in png_chunks(whole) if fact in data]
    # Bytes without a fact, such as the padding at the end of a manifest, can change unnoticed.
    start = content.index(fact) - before
    altered = flipped(content, range(start, start + 200))
    files = [replaced(whole, content, each) for each in altered]
    assert results(files) == {(4, verification.ALTERED, verification.SAME): 200}


def test_a_manifest_of_another_picture_is_detected(
    generate_file: GenerateFile,
    tmp_path: Path,
    configured_home: Path,
    stranger: Issued,
) -> None:
    file = tmp_path / "a.png"
    generate_file(file)
    trust(configured_home, stranger, own=True)
    other = signed(pictures.saved(pictures.noise(seed=5)), stranger)
    data = file.read_bytes()
    end = next(png.chunks(data)).end
    file.write_bytes(data[:end] + png.chunk(MANIFEST, chunk_of(other, MANIFEST)) + data[end:])
    assert verified(file) == (4, verification.ALTERED, verification.SAME)


def test_a_verification_does_not_parse_the_texts_of_other_programs(
    configured_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = []
    read_texts = reports.read_texts

    def counted(texts: Any) -> Any:
        parsed.append(texts)
        return read_texts(texts)

    monkeypatch.setattr(reports, "read_texts", counted)
    file = tmp_path / "a.png"
    file.write_bytes(with_texts(pictures.saved(pictures.noise()), prompt="{}"))
    assert verified(file)[1] == verification.NO_MANIFEST
    assert parsed == []
    inspected(file)
    assert len(parsed) == 1


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".jpg", []), (".webp", []), (".png", ["--scale", "2"]), (".png", ["--visible-label", "zh"])],
)
def test_another_format_or_size_has_no_exact_match(
    generate_file: GenerateFile,
    tmp_path: Path,
    configured_home: Path,
    stranger: Issued,
    suffix: str,
    options: list[str],
) -> None:
    file = tmp_path / f"a{suffix}"
    generation = generate_file(file, 7, *options)
    assert verified(file) == (1, verification.NO_MANIFEST, verification.NO_MATCH)
    [value] = run_command(verify, str(file), "--json").json
    assert (value["record"], value["named"], value["notes"]) == (None, [generation.id], [])
    trust(configured_home, stranger, own=True)
    media_type = {".jpg": "image/jpeg", ".webp": "image/webp", ".png": "image/png"}[suffix]
    file.write_bytes(signed(file.read_bytes(), stranger, media_type))
    assert verified(file) == (0, verification.OWN, verification.NO_MATCH)


def with_chunk(kind: bytes, data: bytes) -> Callable[[Image.Image], bytes]:
    """Return a function that saves a picture as PNG with a chunk before the pixels."""

    def save(image: Image.Image) -> bytes:
        (_, header), *others = png_chunks(pictures.saved(image))
        return png_of([(b"IHDR", header), (kind, data), *others])

    return save


def with_alpha(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return a picture that is the same on white, and another one on black."""
    colours = np.asarray(image).astype(float)
    alpha = 255 - colours.min(axis=2)
    shares = np.maximum(alpha, 1)[:, :, np.newaxis] / 255
    inner = np.clip((colours - 255) / shares + 255, 0, 255)
    layers = np.dstack([inner, alpha]).round().astype(np.uint8)
    return pictures.saved(layers, kind, "RGBA", **options)


def with_profile(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return a picture with a colour profile."""
    return pictures.saved(image, kind, icc_profile=bytes(128), **options)


LOSSLESS = {"lossless": True, "exact": True}
SHOWN_OTHERWISE: dict[str, Callable[[Image.Image], bytes]] = {
    "transparent pixels": with_alpha,
    "transparent pixels of WebP": lambda image: with_alpha(image, "WEBP", **LOSSLESS),
    "a colour profile": with_profile,
    "a colour profile of WebP": lambda image: with_profile(image, "WEBP", **LOSSLESS),
    "a gamma value": with_chunk(b"gAMA", (100_000).to_bytes(4)),
    "chromaticities": with_chunk(b"cHRM", bytes(32)),
    "a colour space": with_chunk(b"cICP", b"\x09\x10\0\1"),
}
SHOWN_ALIKE: dict[str, Callable[[Image.Image], bytes]] = {
    "no metadata": pictures.saved,
    "smaller file": lambda image: pictures.saved(image, optimize=True),
    "opaque pixels": lambda image: pictures.saved(image, mode="RGBA"),
    "WebP": lambda image: pictures.saved(image, "WEBP", **LOSSLESS),
    "gamma value of sRGB": with_chunk(b"gAMA", (45_455).to_bytes(4)),
    "intent of sRGB": with_chunk(b"sRGB", b"\0"),
}


@pytest.mark.parametrize("name", SHOWN_OTHERWISE)
def test_pixels_that_look_different_do_not_match(
    generate_file: GenerateFile, tmp_path: Path, name: str
) -> None:
    original, file = tmp_path / "a.png", tmp_path / "other"
    generation = generate_file(original)
    file.write_bytes(SHOWN_OTHERWISE[name](Image.open(original)))
    assert np.array_equal(read_picture(file.read_bytes()), read_picture(original.read_bytes()))
    result = run_command(verify, str(file), "--json")
    [value] = result.json
    assert (result.code, value["pixels"], value["record"]) == (1, verification.NO_MATCH, None)
    assert generation.id in value["notes"][0]
    assert name.removesuffix(" of WebP") in value["notes"][0]
    # The file names no record.
    assert inspected(file)["named_record"] is None


@pytest.mark.parametrize("name", SHOWN_ALIKE)
def test_pixels_that_look_the_same_match(
    generate_file: GenerateFile, tmp_path: Path, name: str
) -> None:
    original, file = tmp_path / "a.png", tmp_path / "other"
    generation = generate_file(original)
    file.write_bytes(SHOWN_ALIKE[name](Image.open(original)))
    result = run_command(verify, str(file), "--json")
    [value] = result.json
    assert (result.code, value["pixels"], value["record"]) == (0, verification.SAME, generation.id)


XMP = b"XML:com.adobe.xmp"


def with_label(data: bytes, *changes: tuple[bytes, bytes]) -> bytes:
    """Return a PNG file with another XMP, or without any."""
    chunks = []
    for kind, content in png_chunks(data):
        if content.startswith(XMP):
            if not changes:
                continue
            for old, new in changes:
                assert old in content
                content = content.replace(old, new)
        chunks.append((kind, content))
    return png_of(chunks)


@pytest.mark.parametrize(
    ("changes", "notes"),
    [
        ([], ["the IPTC source type, which", "the AIGC label, which"]),
        ([(b"trainedAlgorithmicMedia", b"digitalCapture")], ["the IPTC source type is not"]),
        ([(b'"Label":"1"', b'"Label":"3"')], ["the AIGC label is not"]),
        ([(b'"ProduceID":"01', b'"ProduceID":"00')], ["the AIGC label is not"]),
        ([(b'"ContentProducer":""', b'"ContentProducer":"001"')], ["the AIGC label is not"]),
        ([(b"TC260:AIGC", b"TC260:Other")], ["the AIGC label, which"]),
        ([(b'"PropagateID":"01', b'"PropagateID":"99')], []),
    ],
    ids=["none", "camera", "suspected", "id", "producer", "renamed", "platform"],
)
def test_a_label_that_is_missing_or_changed_in_an_unsigned_file_is_noted(
    generate_file: GenerateFile,
    tmp_path: Path,
    changes: list[tuple[bytes, bytes]],
    notes: list[str],
) -> None:
    file = tmp_path / "a.png"
    generate_file(file)
    file.write_bytes(with_label(file.read_bytes(), *changes))
    result = run_command(verify, str(file), "--json")
    [value] = result.json
    assert (result.code, value["pixels"]) == (0, verification.SAME)
    assert len(value["notes"]) == len(notes)
    assert all(map(str.startswith, value["notes"], notes))


def test_labels_of_a_file_without_the_provenance_are_compared_with_the_record(
    generate_file: GenerateFile, tmp_path: Path
) -> None:
    file = tmp_path / "a.png"
    generate_file(file)
    chunks = list(png_chunks(file.read_bytes()))
    file.write_bytes(png_of([chunk for chunk in chunks if b"muniment\0" not in chunk[1]]))
    assert run_command(verify, str(file)).stderr == ""
    file.write_bytes(pictures.saved(Image.open(file)))
    assert "the AIGC label" in run_command(verify, str(file)).stderr


def test_false_statements_of_a_file_with_the_same_pixels_are_noted(
    generate_file: GenerateFile, tmp_path: Path
) -> None:
    file = tmp_path / "a.png"
    facts = generate_file(file).provenance
    assert run_command(verify, str(file)).stderr == ""
    forged = {
        "another prompt": dataclasses.replace(facts, prompt="a dog"),
        "another seed": dataclasses.replace(facts, seed=0),
        "another parameters": dataclasses.replace(facts, parameters={"steps": 9}),
        "is not in this store": make_provenance(),
        "does not have these pixels": generate_file(tmp_path / "other.png", 8).provenance,
    }
    for words, statement in forged.items():
        data = with_texts(pictures.saved(Image.open(file)), muniment=to_json([statement]))
        (tmp_path / "forged.png").write_bytes(data)
        result = run_command(verify, str(tmp_path / "forged.png"))
        assert (result.code, words in result.stderr) == (0, True)
    other = generate_file(tmp_path / "b.png")
    assert other.id != facts.id
    assert "further generations with the same pixels: 1" in run_command(verify, str(file)).stderr


@pytest.mark.parametrize("kinds", [["prompt"], ["prompt", "request"]])
def test_an_erased_fact_of_the_record_makes_no_statement_false(
    generate_file: GenerateFile, tmp_path: Path, kinds: Any
) -> None:
    file = tmp_path / "a.png"
    facts = generate_file(file).provenance
    with muniment.open() as session:
        erasure = session.store.erasures.erase(muniment.Query(), "tester", kinds=kinds)
        assert erasure.erased == 1
    result = run_command(verify, str(file), "--json")
    [value] = result.json
    assert (value["pixels"], value["notes"]) == (verification.SAME, [])
    statement = to_json([dataclasses.replace(facts, seed=0)])
    file.write_bytes(with_texts(pictures.saved(Image.open(file)), muniment=statement))
    assert "another seed" in run_command(verify, str(file)).stderr


def test_an_altered_picture_with_an_unknown_id_is_unknown(
    configured_home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.png"
    statement = to_json([make_provenance()])
    file.write_bytes(with_texts(pictures.saved(pictures.noise()), muniment=statement))
    assert verified(file) == (1, verification.NO_MANIFEST, verification.NO_MATCH)


def test_a_truncated_file_is_explained(
    generate_file: GenerateFile,
    tmp_path: Path,
    configured_home: Path,
    stranger: Issued,
) -> None:
    file = tmp_path / "a.png"
    generate_file(file)
    trust(configured_home, stranger, own=True)
    whole = signed(file.read_bytes(), stranger)
    for size in (8, 20, 40, 200, 1000, len(whole) - 2000, len(whole) - 20):
        file.write_bytes(whole[:size])
        result = run_command(verify, str(file))
        assert result.code in (1, 4)
        assert "damaged" in result.stderr or "unreadable" in result.stdout
        assert run_command(inspect, str(file)).code == 0


def test_without_the_library_a_manifest_is_not_read(
    generate_file: GenerateFile,
    tmp_path: Path,
    stranger: Issued,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "a.png"
    generate_file(file)
    monkeypatch.setitem(sys.modules, "c2pa", None)
    assert verified(file) == (0, verification.NO_MANIFEST, verification.SAME)
    monkeypatch.delitem(sys.modules, "c2pa")
    file.write_bytes(signed(file.read_bytes(), stranger))
    monkeypatch.setitem(sys.modules, "c2pa", None)
    result = run_command(verify, str(file))
    assert (result.code, "muniment[c2pa]" in result.stderr) == (0, True)
    assert verified(file)[1] == verification.UNREAD


@pytest.mark.parametrize(
    ("suffix", "pixels"),
    [
        (".png", verification.SAME),
        (".jpg", verification.NO_MATCH),
        (".webp", verification.NO_MATCH),
    ],
)
def test_a_file_exported_with_the_certificate_is_our_own(
    generate_file: GenerateFile, tmp_path: Path, suffix: str, pixels: str
) -> None:
    assert run_command(certificate).code == 0
    file, labelled = tmp_path / f"a{suffix}", tmp_path / f"labelled{suffix}"
    generation = generate_file(file)
    assert verified(file) == (0, verification.OWN, pixels)
    assert facts(file, "muniment")["id"] == generation.id
    generate_file(labelled, 7, "--visible-label", "zh", "--scale", "2", "--private")
    assert verified(labelled) == (0, verification.OWN, verification.NO_MATCH)
    assert "prompt" not in facts(labelled, "muniment")


def test_several_files_are_a_line_each_and_the_worst_code(
    generate_file: GenerateFile, tmp_path: Path
) -> None:
    known, unknown, painted = (tmp_path / f"{name}.png" for name in ("a", "b", "c"))
    generation = generate_file(known)
    unknown.write_bytes(pictures.saved(pictures.noise()))
    statement = to_json([generation.provenance])
    painted.write_bytes(with_texts(unknown.read_bytes(), muniment=statement))
    text = tmp_path / "text.png"
    text.write_text("no picture")
    result = run_command(verify, *map(str, (known, unknown, painted, text)))
    assert [line.split("\t") for line in result.stdout.splitlines()] == [
        [str(known), verification.NO_MANIFEST, verification.SAME, generation.id],
        [str(unknown), verification.NO_MANIFEST, verification.NO_MATCH, ""],
        [str(painted), verification.NO_MANIFEST, verification.OTHER, ""],
    ]
    assert f"Error: cannot read {text}" in result.stderr
    assert f"{painted}: the AIGC label" in result.stderr
    assert f"{unknown}: " not in result.stderr
    expected = {(known, known): 0, (known, unknown): 1, (known, text): 1, (painted, unknown): 4}
    for files, code in expected.items():
        result = run_command(verify, *map(str, files), "--json")
        assert result.code == code
        assert [value["file"] for value in result.json] == [
            str(file) for file in files if file != text
        ]


@pytest.mark.parametrize("is_signed", [True, False])
def test_a_prompt_without_room_in_exif_is_in_the_record_and_in_the_manifest(
    generate_file: GenerateFile,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_signed: bool,
) -> None:
    file = tmp_path / "a.jpg"
    generation = generate_file(tmp_path / "a.png", prompt="红" * 40_000)
    if is_signed:
        assert run_command(certificate).code == 0
    result = Here(capfd, monkeypatch)("audit", "get", generation.id, "-o", file)
    assert "too long for .jpg files" in result.err
    assert ("manifest of the file" in result.err, generation.id in result.err) == (
        is_signed,
        not is_signed,
    )
    assert "prompt" not in facts(file, "muniment")
    manifest = facts(file, "C2PA").get(ASSERTION, "{}")
    assert json.loads(manifest).get("prompt") == (generation.prompt if is_signed else None)


def test_a_combined_file_names_all_its_records(generate_file: GenerateFile, tmp_path: Path) -> None:
    file = tmp_path / "sheet.png"
    generate_file(file, 7, "-n", "3", "--combine")
    assert verified(file) == (1, verification.NO_MANIFEST, verification.NO_MATCH)
    with muniment.open() as session:
        ids = {generation.id for generation in session.generations()}
    [value] = run_command(verify, str(file), "--json").json
    assert set(value["named"]) == ids
    assert run_command(inspect, str(file)).stdout.count("muniment\tid") == 3
