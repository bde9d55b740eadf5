"""`muniment image inspect`, `verify` and `certificate`, with files of all kinds of strangers."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import c2pa
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

import muniment
from muniment.provenance import Manifest, sign, to_json, xmp
from muniment.testing import CommandContract, run_command
from muniment_image import png, verification
from muniment_image.commands.certificate import certificate
from muniment_image.commands.inspect import inspect
from muniment_image.commands.verify import verify
from muniment_image.containers import exif
from muniment_image.inspection import report as reports
from muniment_image.inspection.report import read_report
from muniment_image.pictures import read_picture
from muniment_image.trust import read_trust
from support import pictures
from support.commands import Here, Processes
from support.provenance import Issued, chunk_of, issue, make_provenance, png_chunks, png_of

MANIFEST = b"caBX"


@pytest.fixture
def folder(home: Path) -> Path:
    home.mkdir()
    (home / "config.toml").write_text('policy = "none"\nevaluators = ""\nactor = "tester"\n')
    return home


@pytest.fixture
def generate(
    folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., muniment.Generation]:
    """Record a picture of noise, and write it to a file."""
    plugin = tmp_path / "noise.py"
    plugin.write_text(pictures.NOISE_PLUGIN)
    here = Here(capfd, monkeypatch)

    def generate(file: Path, seed: int = 7, *options: str) -> muniment.Generation:
        result = here(
            *("--plugin", plugin, "generate", "noise", "红心", "--seed", str(seed)),
            *("-o", file, *options),
        )
        assert result.code == 0, result.err
        return last()

    return generate


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return issue(tmp_path_factory.mktemp("stranger"))


def last() -> muniment.Generation:
    with muniment.open() as session:
        return session.generation("last")


def trust(home: Path, issued: Issued, *, own: bool) -> None:
    """Set the certificate, or only trust its root."""
    root = issued.certificate.with_name("root.pem")
    root.write_bytes(issued.root)
    with muniment.open(home) as session:
        if own:
            session.config.set("certificate", str(issued.certificate))
            session.config.set("certificate_key", str(issued.key))
        else:
            session.config.set("trusted_root", str(root))


def labelled(data: bytes) -> bytes:
    """Return a PNG file with the XMP label."""
    header = next(png.chunks(data)).end
    packet = png.international_chunk("XML:com.adobe.xmp", xmp([make_provenance()]).decode())
    return data[:header] + packet + data[header:]


def signed(data: bytes, issued: Issued, media_type: str = "image/png") -> bytes:
    return sign(data, media_type, [make_provenance()], issued.credentials)


def inspected(file: Path) -> dict[str, Any]:
    result = run_command(inspect, str(file), "--json")
    assert result.code == 0, result.stderr
    [value] = result.json
    assert isinstance(value, dict)
    return value


def facts(file: Path, source: str) -> dict[str, str]:
    """Return the facts of a source. Those of the same name are joined."""
    found: dict[str, str] = {}
    for fact in inspected(file)["facts"]:
        if fact["source"] == source:
            found[fact["name"]] = "; ".join(filter(None, (found.get(fact["name"]), fact["value"])))
    return found


def verified(file: Path) -> tuple[int, str, str]:
    """Return the exit code, the manifest's result and that of the pixels."""
    result = run_command(verify, str(file), "--json")
    [value] = result.json
    return result.code, value["manifest"], value["pixels"]


class TestInspectContract(CommandContract):
    command = inspect
    arguments: ClassVar = ("a.png",)

    @pytest.fixture
    def session(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("a.png").write_bytes(pictures.saved(pictures.noise()))


class TestVerifyContract(TestInspectContract):
    command = verify


class TestCertificateContract(CommandContract):
    command = certificate
    reads = False
    arguments: ClassVar = ()


# ---- inspect ---------------------------------------------------------------------------------


def test_inspect_prints_the_facts_and_the_record_of_an_own_file(
    generate: Callable[..., muniment.Generation], tmp_path: Path
) -> None:
    file = tmp_path / "a.png"
    generation = generate(file)
    value = inspected(file)
    assert (value["format"], value["pixels"]) == ("PNG", verification.SAME)
    assert value["record"]["id"] == generation.id
    own = facts(file, "muniment")
    assert (own["id"], own["prompt"], own["seed"]) == (generation.id, "红心", "7")
    lines = run_command(inspect, str(file)).stdout.splitlines()
    assert {line.count("\t") for line in lines} == {2}
    assert f"record\tid\t{generation.id}" in lines


def test_inspect_of_a_file_without_metadata_says_so(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(pictures.saved(pictures.noise()))
    result = run_command(inspect, str(file))
    assert (result.code, "no metadata" in result.stderr) == (0, True)
    assert inspected(file)["record"] is None


def test_inspect_reads_labels_and_manifests(folder: Path, tmp_path: Path, stranger: Issued) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(signed(labelled(pictures.saved(pictures.noise())), stranger))
    label = facts(file, "XMP")
    assert label["Iptc4xmpExt:DigitalSourceType"].endswith("trainedAlgorithmicMedia")
    assert json.loads(label["TC260:AIGC"])["Label"] == "1"
    manifest = facts(file, "C2PA")
    assert (manifest["state"], manifest["signer"]) == ("Valid", "Tests, leaf")
    assert "c2pa.created" in manifest["action"]
    assert json.loads(manifest["org.muniment.provenance"])["prompt"] == "a red heart"


@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + "红心\nSteps: 1, Sampler: x, Seed: 2".encode("utf-16-be"),
        b"UNICODE\0" + "红心\nSteps: 1, Sampler: x, Seed: 2".encode("utf-16-le"),
        "红心\nSteps: 1, Sampler: x, Seed: 2".encode("utf-16-le"),
        "红心\nSteps: 1, Sampler: x, Seed: 2".encode(),
        b"ASCII\0\0\0" + "红心\nSteps: 1, Sampler: x, Seed: 2".encode(),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_inspect_reads_user_comments_in_any_encoding(
    folder: Path, tmp_path: Path, comment: bytes, kind: str
) -> None:
    block = Image.Exif()
    block[exif.SOFTWARE] = "tests"
    block.get_ifd(0x8769)[exif.USER_COMMENT] = comment
    file = tmp_path / "a"
    file.write_bytes(pictures.saved(pictures.noise(), kind, exif=block))
    found = facts(file, "A1111")
    assert (found["prompt"], found["seed"]) == ("红心", "2")


def test_inspect_reads_exif_of_cameras(folder: Path, tmp_path: Path) -> None:
    block = Image.Exif()
    block[0x010F] = "Canon"
    block[0x0112] = 6
    block.get_ifd(0x8769)[0x829A] = IFDRational(1, 200)
    block.get_ifd(0x8825)[0x0001] = "N"
    file = tmp_path / "a.jpg"
    file.write_bytes(pictures.saved(pictures.noise(), "JPEG", exif=block))
    found = facts(file, "EXIF")
    assert (found["Make"], found["Orientation"], found["GPSLatitudeRef"]) == ("Canon", "6", "N")
    assert found["ExposureTime"] == "1/200"


@pytest.mark.parametrize("name", pictures.HOSTILE)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_hostile_metadata_reach_no_terminal(
    folder: Path, tmp_path: Path, name: str, kind: str
) -> None:
    file, text = tmp_path / "file", pictures.HOSTILE[name]
    file.write_bytes(pictures.with_text(text, kind))
    for result in (run_command(inspect, str(file)), run_command(inspect, str(file), "--json")):
        assert (result.code, result.stderr) == (0, "")
        printed = set(result.stdout) - {"\n", "\t"}
        assert all(character.isprintable() for character in printed)
    [value] = run_command(inspect, str(file), "--json").json
    if kind == "PNG" or text.isascii():  # Pillow writes question marks into EXIF
        assert text in [item["text"] for item in value["texts"]]
    assert run_command(verify, str(file)).code == 1


def test_hostile_metadata_reach_no_terminal_from_xmp(folder: Path, tmp_path: Path) -> None:
    packet = xmp([make_provenance()]).decode().replace("muniment", "\u202e\u0085\u200e<b/>", 1)
    for text in (packet, "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", "<x", "\0", ""):
        file = tmp_path / "a.png"
        data = pictures.saved(pictures.noise())
        end = next(png.chunks(data)).end
        chunk = png.international_chunk("XML:com.adobe.xmp", text)
        file.write_bytes(data[:end] + chunk + data[end:])
        result = run_command(inspect, str(file))
        assert result.code == 0
        assert all(c.isprintable() for c in set(result.stdout) - {"\n", "\t"})


def test_hostile_metadata_are_escaped_on_a_terminal(
    folder: Path, tmp_path: Path, stranger: Issued
) -> None:
    file, text = tmp_path / "file.png", pictures.HOSTILE["escapes"]
    data = sign(
        pictures.with_text(text),
        "image/png",
        [make_provenance(prompt=text)],
        stranger.credentials,
    )
    file.write_bytes(data)
    shown = Processes(tmp_path, folder).on_terminal("image", "inspect", file, width=90)
    assert shown.code == 0
    assert "\\x1b]0;title\\x07" in shown.out.replace("\n", "")
    assert not any(code in shown.err for code in ("\x1b]0", "\x1b[2J", "\x07"))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.data())
def test_any_damage_of_a_file_is_read_without_an_error(kind: str, data: st.DataObject) -> None:
    exif_block = exif.block("muniment", to_json([make_provenance()]))
    file = bytearray(pictures.saved(pictures.noise(), kind, exif=exif_block))
    for _ in range(data.draw(st.integers(1, 5))):
        position = data.draw(st.integers(0, len(file)))
        file[position : position + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    report = read_report(bytes(file))
    assert report is None or report.facts


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_text_that_inflates_to_a_gigabyte_is_not_read(
    folder: Path, tmp_path: Path, kind: bytes
) -> None:
    data = pictures.saved(pictures.noise())
    end = next(png.chunks(data)).end
    bomb = pictures.inflating_chunk(kind, 1024)
    file = tmp_path / "a.png"
    file.write_bytes(data[:end] + bomb + data[end:])
    limit = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30));"
    program = f"{limit} from muniment.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "image", "inspect", str(file)],
        capture_output=True,
        text=True,
        env={**os.environ, "MUNIMENT_HOME": str(folder), "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "PNG text\tparameters\tdamaged or too large, not read" in done.stdout


def test_many_texts_that_inflate_are_read_up_to_a_limit(folder: Path, tmp_path: Path) -> None:
    data = pictures.saved(pictures.noise())
    end = next(png.chunks(data)).end
    file = tmp_path / "a.png"
    file.write_bytes(data[:end] + 400 * pictures.inflating_chunk(b"zTXt", 15) + data[end:])
    assert run_command(inspect, str(file)).stdout.count("too large, not read") > 300


def test_a_large_profile_and_cmyk_are_described(folder: Path, tmp_path: Path) -> None:
    profile, cmyk = tmp_path / "profile.png", tmp_path / "cmyk.jpg"
    content = np.random.default_rng(0).bytes(2 << 20)
    profile.write_bytes(pictures.saved(pictures.noise(), icc_profile=content))
    assert facts(profile, "file")["colour profile"].startswith("2,0")
    cmyk.write_bytes(pictures.saved(pictures.noise(), "JPEG", "CMYK", icc_profile=b"x" * 9000))
    assert facts(cmyk, "file")["colour profile"].startswith("9,0")
    assert [verified(file)[0] for file in (profile, cmyk)] == [1, 1]


@pytest.mark.parametrize("command", [inspect, verify])
@pytest.mark.parametrize("content", [b"", b"no picture\n", b"GIF89a", None])
def test_a_file_that_is_no_picture_is_refused(
    folder: Path, tmp_path: Path, command: Any, content: bytes | None
) -> None:
    file = tmp_path / "a.png"
    if content is not None:
        file.write_bytes(content)
    result = run_command(command, str(file))
    assert (result.code, result.stdout) == (2, "")
    assert str(file) in result.stderr


@pytest.mark.parametrize("command", [inspect, verify])
def test_a_folder_and_a_pipe_are_refused(folder: Path, tmp_path: Path, command: Any) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe, tmp_path / "gone"):
        assert run_command(command, str(path)).code == 2


def test_nothing_is_written(folder: Path, tmp_path: Path, stranger: Issued) -> None:
    place = tmp_path / "files"
    place.mkdir()
    file = place / "a.png"
    file.write_bytes(signed(pictures.saved(pictures.noise()), stranger))
    before = sorted(path.name for path in folder.iterdir())
    for command in (inspect, verify):
        run_command(command, str(file))
    assert [path.name for path in place.iterdir()] == ["a.png"]
    assert sorted(path.name for path in folder.iterdir()) == before


# ---- other readers -----------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_exiftool_reads_the_same_facts(
    exiftool: str,
    generate: Callable[..., muniment.Generation],
    tmp_path: Path,
    stranger: Issued,
    suffix: str,
) -> None:
    file = tmp_path / f"a{suffix}"
    generate(file)
    media_type = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}[suffix]
    file.write_bytes(signed(file.read_bytes(), stranger, media_type))
    done = subprocess.run([exiftool, "-json", "-G1", file], capture_output=True, check=True)
    [theirs] = json.loads(done.stdout)
    label = facts(file, "XMP")
    assert label["Iptc4xmpExt:DigitalSourceType"] == theirs["XMP-iptcExt:DigitalSourceType"]
    assert label["TC260:AIGC"] == theirs["XMP-TC260:Aigc"]
    assert label["xmp:CreatorTool"] == theirs["XMP-xmp:CreatorTool"]
    texts = [item["text"] for item in inspected(file)["texts"]]
    if suffix == ".png":
        assert theirs["PNG:Parameters"] in texts
    else:
        assert theirs["ExifIFD:UserComment"] in texts
        assert facts(file, "EXIF")["ExifVersion"] == theirs["ExifIFD:ExifVersion"]


@pytest.mark.integration
def test_exiftool_reads_the_same_exif_of_a_camera(
    exiftool: str, folder: Path, tmp_path: Path
) -> None:
    block = Image.Exif()
    block[0x010F], block[0x0110], block[0x0132] = "Canon", "EOS é", "2026:11:29 12:00:00"
    block[0x0112] = 6
    ifd = block.get_ifd(0x8769)
    ifd[0x8827], ifd[0x9003], ifd[0xA002] = 200, "2026:11:29 12:00:00", 28
    file = tmp_path / "a.jpg"
    file.write_bytes(pictures.saved(pictures.noise(), "JPEG", exif=block))
    done = subprocess.run([exiftool, "-json", "-n", file], capture_output=True, check=True)
    [theirs] = json.loads(done.stdout)
    ours = facts(file, "EXIF")
    names = {"DateTime": "ModifyDate", "ISOSpeedRatings": "ISO", "ExifImageWidth": "ExifImageWidth"}
    for name in ("Make", "Orientation", "DateTimeOriginal", *names):
        assert ours[name] == str(theirs[names.get(name, name)])


def test_the_reference_reader_reads_the_same_manifest(
    folder: Path, tmp_path: Path, stranger: Issued
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(signed(pictures.saved(pictures.noise()), stranger))
    with c2pa.Reader("image/png", BytesIO(file.read_bytes())) as reader:
        content = json.loads(reader.json())
    active = content["manifests"][content["active_manifest"]]
    ours = facts(file, "C2PA")
    assert ours["state"] == content["validation_state"]
    assert ours["signer"] == ", ".join(
        active["signature_info"][name] for name in ("issuer", "common_name")
    )
    [actions] = [item for item in active["assertions"] if "actions" in item["label"]]
    [action] = actions["data"]["actions"]
    assert {action["action"], action["digitalSourceType"]} <= set(ours["action"].split(", "))


# ---- verify ----------------------------------------------------------------------------------


def test_a_file_saved_again_without_metadata_matches_its_record(
    generate: Callable[..., muniment.Generation], tmp_path: Path
) -> None:
    for seed in range(10):
        file, again = tmp_path / f"{seed}.png", tmp_path / "again.png"
        generation = generate(file, seed)
        for mode, options in (("RGB", {}), ("RGBA", {}), ("RGB", {"optimize": True})):
            Image.open(file).convert(mode).save(again, **options)
            assert b"muniment" not in again.read_bytes()
            result = run_command(verify, str(again), "--json")
            [value] = result.json
            assert (result.code, value["pixels"]) == (0, verification.SAME)
            assert value["record"] == generation.id


def test_a_prompt_with_the_name_of_a_box_is_no_manifest(
    generate: Callable[..., muniment.Generation],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "a.png"
    generate(file)
    data = file.read_bytes()
    file.write_bytes(data[:33] + png.international_chunk("Comment", "a jumble") + data[33:])
    assert verified(file) == (0, verification.NO_MANIFEST, verification.SAME)
    monkeypatch.setitem(sys.modules, "c2pa", None)
    assert verified(file) == (0, verification.NO_MANIFEST, verification.SAME)


@pytest.fixture
def whole(
    generate: Callable[..., muniment.Generation], tmp_path: Path, folder: Path, stranger: Issued
) -> bytes:
    """Return an exported file that is signed with the certificate of the settings."""
    file = tmp_path / "whole.png"
    generate(file)
    trust(folder, stranger, own=True)
    data = signed(file.read_bytes(), stranger)
    file.write_bytes(data)
    assert verified(file) == (0, verification.OWN, verification.SAME)
    return data


def results(files: Iterable[bytes], folder: Path) -> Counter[tuple[int, str, str]]:
    """Return how often files have which exit code, manifest and pixels, in one session."""
    counts: Counter[tuple[int, str, str]] = Counter()
    with muniment.open() as session:
        own = read_trust(session)
        for data in files:
            file = folder / "altered.png"
            file.write_bytes(data)
            report = read_report(data, own)
            assert report is not None
            result = verification.verify(session, file, report)
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
def test_an_altered_pixel_is_detected_in_each_of_200_files(
    whole: bytes, tmp_path: Path, is_signed: bool
) -> None:
    data = whole if is_signed else replaced(whole, chunk_of(whole, MANIFEST), b"")
    random, pixels, files = np.random.default_rng(1), read_picture(whole), []
    for _ in range(200):
        y, x, channel = random.integers(0, (28, 28, 3))
        painted = pixels.copy()
        painted[y, x, channel] ^= 1 << random.integers(0, 8)
        rows = chunk_of(png.encode(painted), b"IDAT")
        files.append(replaced(data, chunk_of(data, b"IDAT"), rows))
    [(code, _, state)] = results(files, tmp_path)
    assert (code, state) == (4, verification.OTHER)


def test_an_altered_fact_of_the_manifest_is_detected_in_each_of_200_files(
    whole: bytes, tmp_path: Path
) -> None:
    manifest = chunk_of(whole, MANIFEST)
    # Bytes without a fact, such as the padding at the end, can change unnoticed.
    start = manifest.index(b"a red heart") - 60
    altered = flipped(manifest, range(start, start + 200))
    files = [replaced(whole, manifest, content) for content in altered]
    assert results(files, tmp_path) == {(4, verification.ALTERED, verification.SAME): 200}


def test_an_altered_label_is_detected_in_each_of_200_files(whole: bytes, tmp_path: Path) -> None:
    [packet] = [data for _, data in png_chunks(whole) if data.startswith(b"XML:com.adobe")]
    start = packet.index(b"DigitalSourceType>")
    altered = flipped(packet, range(start, start + 200))
    files = [replaced(whole, packet, content) for content in altered]
    assert results(files, tmp_path) == {(4, verification.ALTERED, verification.SAME): 200}


def test_a_manifest_of_another_picture_is_detected(
    generate: Callable[..., muniment.Generation], tmp_path: Path, folder: Path, stranger: Issued
) -> None:
    file = tmp_path / "a.png"
    generate(file)
    trust(folder, stranger, own=True)
    other = signed(pictures.saved(pictures.noise(seed=5)), stranger)
    data = file.read_bytes()
    end = next(png.chunks(data)).end
    file.write_bytes(data[:end] + png.chunk(MANIFEST, chunk_of(other, MANIFEST)) + data[end:])
    assert verified(file) == (4, verification.ALTERED, verification.SAME)


def test_a_signature_is_recognised_by_the_certificate(
    generate: Callable[..., muniment.Generation], tmp_path: Path, folder: Path, stranger: Issued
) -> None:
    ours, theirs = tmp_path / "ours.png", tmp_path / "theirs.png"
    generate(ours)
    ours.write_bytes(signed(ours.read_bytes(), stranger))
    theirs.write_bytes(signed(pictures.saved(pictures.noise(seed=5)), stranger))
    assert verified(ours) == (0, verification.UNKNOWN, verification.SAME)
    assert verified(theirs) == (1, verification.UNKNOWN, verification.NO_MATCH)
    trust(folder, stranger, own=False)
    assert verified(theirs) == (0, verification.TRUSTED, verification.NO_MATCH)
    trust(folder, stranger, own=True)
    assert verified(theirs) == (0, verification.OWN, verification.NO_MATCH)
    with muniment.open() as session:
        session.config.set("trusted_root", None)
    assert verified(theirs) == (0, verification.OWN, verification.NO_MATCH)


def test_another_customer_of_our_authority_is_an_unknown_signer(
    folder: Path, tmp_path: Path
) -> None:
    ours = issue(tmp_path / "ours")
    theirs = issue(tmp_path / "theirs", issuer=ours)
    trust(folder, ours, own=True)
    file = tmp_path / "a.png"
    file.write_bytes(signed(pictures.saved(pictures.noise()), theirs))
    assert verified(file) == (1, verification.UNKNOWN, verification.NO_MATCH)
    trust(folder, ours, own=False)
    assert verified(file) == (0, verification.TRUSTED, verification.NO_MATCH)


def test_a_certificate_with_our_serial_number_and_another_issuer_is_not_ours(
    folder: Path, tmp_path: Path
) -> None:
    ours = issue(tmp_path / "ours", serial=7)
    theirs = issue(tmp_path / "theirs", serial=7)
    trust(folder, ours, own=True)
    file = tmp_path / "a.png"
    file.write_bytes(signed(pictures.saved(pictures.noise()), theirs))
    assert verified(file) == (1, verification.UNKNOWN, verification.NO_MATCH)
    trust(folder, theirs, own=False)
    assert verified(file) == (0, verification.TRUSTED, verification.NO_MATCH)


def test_a_certificate_without_its_issuer_is_recognised_with_the_trusted_root(
    folder: Path, tmp_path: Path
) -> None:
    ours = issue(tmp_path / "ours")
    trust(folder, ours, own=True)
    ours.certificate.write_bytes(ours.leaf)
    file = tmp_path / "a.png"
    file.write_bytes(signed(pictures.saved(pictures.noise()), ours))
    assert verified(file) == (1, verification.UNKNOWN, verification.NO_MATCH)
    trust(folder, ours, own=False)
    assert verified(file) == (0, verification.OWN, verification.NO_MATCH)


def test_a_manifest_with_an_expired_certificate_is_intact(
    generate: Callable[..., muniment.Generation], tmp_path: Path, folder: Path
) -> None:
    file, altered = tmp_path / "a.png", tmp_path / "altered.png"
    generate(file)
    issued = issue(tmp_path / "short", end=datetime.now(UTC) + timedelta(seconds=3))
    trust(folder, issued, own=True)
    file.write_bytes(signed(file.read_bytes(), issued))
    deadline = time.monotonic() + 30
    while verified(file)[1] == verification.OWN and time.monotonic() < deadline:
        time.sleep(0.2)
    result = run_command(verify, str(file), "--json")
    [value] = result.json
    assert (result.code, value["manifest"]) == (0, verification.UNKNOWN)
    assert "signingCredential.expired" in value["failures"]
    altered.write_bytes(file.read_bytes().replace(b"noise", b"other", 1))
    assert altered.read_bytes() != file.read_bytes()
    assert verified(altered)[:2] == (4, verification.ALTERED)


def test_a_verification_does_not_parse_the_texts_of_other_programs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = []
    read_texts = reports.read_texts

    def counted(texts: Any) -> Any:
        parsed.append(texts)
        return read_texts(texts)

    monkeypatch.setattr(reports, "read_texts", counted)
    file = tmp_path / "a.png"
    data = pictures.saved(pictures.noise())
    end = next(png.chunks(data)).end
    file.write_bytes(data[:end] + png.text_chunk("prompt", "{}") + data[end:])
    assert verified(file)[1] == verification.NO_MANIFEST
    assert parsed == []
    inspected(file)
    assert len(parsed) == 1


@pytest.mark.parametrize(
    ("state", "codes", "result"),
    [
        ("Invalid", ("signingCredential.expired",), verification.UNKNOWN),
        ("Invalid", ("signingCredential.invalid",), verification.UNKNOWN),
        ("Invalid", ("signingCredential.expired", "claimSignature.mismatch"), verification.ALTERED),
        ("Invalid", ("assertion.dataHash.mismatch",), verification.ALTERED),
        ("Invalid", (), verification.ALTERED),
        ("Valid", ("signingCredential.untrusted",), verification.UNKNOWN),
    ],
)
def test_failures_of_a_certificate_are_no_alteration(
    folder: Path, tmp_path: Path, state: Any, codes: tuple[str, ...], result: str
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(pictures.saved(pictures.noise()))
    report = read_report(file.read_bytes())
    assert report is not None
    report = dataclasses.replace(report, manifest=Manifest(state, codes))
    with muniment.open() as session:
        assert verification.verify(session, file, report).manifest == result


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_another_format_has_no_exact_match(
    generate: Callable[..., muniment.Generation],
    tmp_path: Path,
    folder: Path,
    stranger: Issued,
    kind: str,
) -> None:
    original, file = tmp_path / "a.png", tmp_path / "a.jpg"
    generation = generate(original)
    block = exif.block("muniment", to_json([generation.provenance]))
    data = pictures.saved(read_picture(original.read_bytes()), kind, exif=block)
    file.write_bytes(data)
    assert verified(file) == (1, verification.NO_MANIFEST, verification.NO_MATCH)
    trust(folder, stranger, own=True)
    file.write_bytes(signed(data, stranger, f"image/{kind.lower()}"))
    assert verified(file) == (0, verification.OWN, verification.NO_MATCH)


def test_inspect_of_other_pixels_has_a_named_record_only(
    generate: Callable[..., muniment.Generation], tmp_path: Path
) -> None:
    file = tmp_path / "a.png"
    generation = generate(file)
    same = inspected(file)
    assert (same["record"]["id"], same["named_record"]) == (generation.id, None)
    info = pictures.PngImagePlugin.PngInfo()
    info.add_itxt("muniment", to_json([generation.provenance]))
    file.write_bytes(pictures.saved(pictures.noise(seed=5), pnginfo=info))
    other = inspected(file)
    assert (other["record"], other["named_record"]["id"]) == (None, generation.id)
    assert "named record\tid" in run_command(inspect, str(file)).stdout


def test_a_scaled_file_has_no_exact_match(
    generate: Callable[..., muniment.Generation], tmp_path: Path
) -> None:
    original, file = tmp_path / "a.png", tmp_path / "scaled.png"
    generation = generate(original)
    info = pictures.PngImagePlugin.PngInfo()
    info.add_itxt("muniment", to_json([generation.provenance]))
    Image.open(original).resize((56, 56), Image.Resampling.NEAREST).save(file, pnginfo=info)
    assert verified(file) == (1, verification.NO_MANIFEST, verification.NO_MATCH)
    [value] = run_command(verify, str(file), "--json").json
    assert (value["record"], value["named"]) == (None, [generation.id])


def test_false_statements_of_a_file_with_the_same_pixels_are_noted(
    generate: Callable[..., muniment.Generation], tmp_path: Path
) -> None:
    file = tmp_path / "a.png"
    facts = generate(file).provenance
    assert run_command(verify, str(file)).stderr == ""
    forged = {
        "another prompt": dataclasses.replace(facts, prompt="a dog"),
        "another seed": dataclasses.replace(facts, seed=0),
        "another parameters": dataclasses.replace(facts, parameters={"steps": 9}),
        "other pixels": make_provenance(),
    }
    for words, statement in forged.items():
        info = pictures.PngImagePlugin.PngInfo()
        info.add_itxt("muniment", to_json([statement]))
        Image.open(file).save(tmp_path / "forged.png", pnginfo=info)
        result = run_command(verify, str(tmp_path / "forged.png"))
        assert (result.code, words in result.stderr) == (0, True)
    other = generate(tmp_path / "b.png")
    assert other.id != facts.id
    assert "further generations with the same pixels: 1" in run_command(verify, str(file)).stderr


@pytest.mark.parametrize("kinds", [["prompt"], ["prompt", "request"]])
def test_an_erased_fact_of_the_record_makes_no_statement_false(
    generate: Callable[..., muniment.Generation], tmp_path: Path, kinds: Any
) -> None:
    file = tmp_path / "a.png"
    facts = generate(file).provenance
    with muniment.open() as session:
        erasure = session.store.erasures.erase(muniment.Query(), "tester", kinds=kinds)
        assert erasure.erased == 1
    result = run_command(verify, str(file), "--json")
    [value] = result.json
    assert (value["pixels"], value["notes"]) == (verification.SAME, [])
    info = pictures.PngImagePlugin.PngInfo()
    info.add_itxt("muniment", to_json([dataclasses.replace(facts, seed=0)]))
    Image.open(file).save(file, pnginfo=info)
    assert "another seed" in run_command(verify, str(file)).stderr


def test_an_altered_picture_with_an_unknown_id_is_unknown(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    info = pictures.PngImagePlugin.PngInfo()
    info.add_itxt("muniment", to_json([make_provenance()]))
    file.write_bytes(pictures.saved(pictures.noise(), pnginfo=info))
    assert verified(file) == (1, verification.NO_MANIFEST, verification.NO_MATCH)


def test_a_truncated_file_is_explained(
    generate: Callable[..., muniment.Generation], tmp_path: Path, folder: Path, stranger: Issued
) -> None:
    file = tmp_path / "a.png"
    generate(file)
    trust(folder, stranger, own=True)
    whole = signed(file.read_bytes(), stranger)
    for size in (8, 20, 40, 200, 1000, len(whole) - 2000, len(whole) - 20):
        file.write_bytes(whole[:size])
        result = run_command(verify, str(file))
        assert result.code in (1, 4)
        assert "damaged" in result.stderr or "unreadable" in result.stdout
        assert run_command(inspect, str(file)).code == 0


def test_without_the_library_a_manifest_is_not_read(
    generate: Callable[..., muniment.Generation],
    tmp_path: Path,
    stranger: Issued,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "a.png"
    generate(file)
    monkeypatch.setitem(sys.modules, "c2pa", None)
    assert verified(file) == (0, verification.NO_MANIFEST, verification.SAME)
    monkeypatch.delitem(sys.modules, "c2pa")
    file.write_bytes(signed(file.read_bytes(), stranger))
    monkeypatch.setitem(sys.modules, "c2pa", None)
    result = run_command(verify, str(file))
    assert (result.code, "muniment[c2pa]" in result.stderr) == (0, True)
    assert verified(file)[1] == verification.UNREAD


# ---- certificate -----------------------------------------------------------------------------


def test_a_certificate_signs_for_this_installation(folder: Path, tmp_path: Path) -> None:
    result = run_command(certificate, "--name", "Tests", "--years", "2", "--json")
    assert result.code == 0, result.stderr
    [value] = result.json
    from muniment.provenance import load_credentials

    with muniment.open() as session:
        paths = [Path(str(session.config.get(key))) for key in ("certificate", "certificate_key")]
        assert session.config.get("trusted_root") == value["trusted_root"]
    file = tmp_path / "a.png"
    data = pictures.saved(pictures.noise())
    file.write_bytes(sign(data, "image/png", [make_provenance()], load_credentials(*paths)))
    assert verified(file) == (0, verification.OWN, verification.NO_MATCH)


@pytest.mark.parametrize(
    ("suffix", "pixels"),
    [
        (".png", verification.SAME),
        (".jpg", verification.NO_MATCH),
        (".webp", verification.NO_MATCH),
    ],
)
def test_a_file_exported_with_the_certificate_is_our_own(
    generate: Callable[..., muniment.Generation], tmp_path: Path, suffix: str, pixels: str
) -> None:
    assert run_command(certificate).code == 0
    file, labelled = tmp_path / f"a{suffix}", tmp_path / f"labelled{suffix}"
    generation = generate(file)
    assert verified(file) == (0, verification.OWN, pixels)
    assert facts(file, "muniment")["id"] == generation.id
    generate(labelled, 7, "--visible-label", "zh", "--scale", "2", "--private")
    assert verified(labelled) == (0, verification.OWN, verification.NO_MATCH)
    assert "prompt" not in facts(labelled, "muniment")


def test_a_combined_file_names_all_its_records(
    generate: Callable[..., muniment.Generation], tmp_path: Path
) -> None:
    file = tmp_path / "sheet.png"
    generate(file, 7, "-n", "3", "--combine")
    assert verified(file) == (1, verification.NO_MANIFEST, verification.NO_MATCH)
    with muniment.open() as session:
        ids = {generation.id for generation in session.generations()}
    [value] = run_command(verify, str(file), "--json").json
    assert set(value["named"]) == ids
    assert run_command(inspect, str(file)).stdout.count("muniment\tid") == 3


def test_a_certificate_is_not_replaced(folder: Path) -> None:
    assert run_command(certificate).code == 0
    again = run_command(certificate)
    assert (again.code, "config unset certificate" in again.stderr) == (2, True)
    with muniment.open() as session:
        old = str(session.config.get("trusted_root"))
        for key in ("certificate", "certificate_key"):
            session.config.set(key, None)
    result = run_command(certificate)
    assert result.code == 0
    assert old in result.stderr
    assert Path(old).exists()


def test_a_certificate_of_a_relative_home_is_used_from_any_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("MUNIMENT_HOME", folder.name)
    result = run_command(certificate, "--json")
    assert result.code == 0, result.stderr
    keys = ("certificate", "certificate_key", "trusted_root")
    with muniment.open(folder) as session:
        paths = [Path(str(session.config.get(key))) for key in keys]
    assert [str(path) for path in paths] == [result.json[0][key] for key in keys]
    monkeypatch.chdir(tmp_path.root)
    assert all(path.is_file() for path in paths)


def test_a_certificate_cannot_be_written_to_a_file_in_place_of_a_folder(
    folder: Path,
) -> None:
    (folder / "certificates").write_text("x")
    result = run_command(certificate)
    assert (result.code, result.stdout) == (1, "")
    with muniment.open() as session:
        assert session.config.get("certificate") is None


@pytest.mark.parametrize("key", ["certificate", "trusted_root"])
@pytest.mark.parametrize(
    "content", [None, b"x", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"]
)
def test_settings_that_name_no_certificate_are_explained(
    folder: Path, tmp_path: Path, stranger: Issued, key: str, content: bytes | None
) -> None:
    file, other = tmp_path / "a.png", tmp_path / "other.pem"
    file.write_bytes(signed(pictures.saved(pictures.noise()), stranger))
    if content is not None:
        other.write_bytes(content)
    with muniment.open() as session:
        session.config.set(key, str(other))
    result = run_command(verify, str(file))
    assert result.code == 2
    assert (result.stdout, f"setting {key}" in result.stderr) == ("", True)
    shown = run_command(inspect, str(file), "--json")
    assert (shown.code, f"setting {key}" in shown.stderr) == (0, True)
    assert shown.json[0]["manifest"] == verification.UNKNOWN
    assert shown.json[0]["facts"]
