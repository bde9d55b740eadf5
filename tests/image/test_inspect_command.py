"""`muniment image inspect`, with pictures of all kinds of strangers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import c2pa
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from muniment.provenance import ASSERTION, sign, to_json, xmp
from muniment.testing import CommandContract, run_command
from muniment_image import png, verification
from muniment_image.commands.inspect import inspect
from muniment_image.commands.verify import verify
from muniment_image.containers import embedded, exif
from muniment_image.inspection.report import read_report
from support import pictures
from support.checked_pictures import (
    GenerateFile,
    facts,
    inspected,
    labelled,
    signed,
    verified,
    with_texts,
)
from support.commands import Processes
from support.provenance import Issued, make_provenance


class TestInspectContract(CommandContract):
    command = inspect
    arguments: ClassVar = ("a.png",)

    @pytest.fixture
    def session(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("a.png").write_bytes(pictures.saved(pictures.noise()))


def test_inspect_prints_the_facts_and_the_record_of_an_own_file(
    generate_file: GenerateFile, tmp_path: Path
) -> None:
    file = tmp_path / "a.png"
    generation = generate_file(file)
    value = inspected(file)
    assert (value["format"], value["pixels"]) == ("PNG", verification.SAME)
    assert value["record"]["id"] == generation.id
    own = facts(file, "muniment")
    assert (own["id"], own["prompt"], own["seed"]) == (generation.id, "红心", "7")
    lines = run_command(inspect, str(file)).stdout.splitlines()
    assert {line.count("\t") for line in lines} == {2}
    assert f"record\tid\t{generation.id}" in lines


def test_inspect_of_a_file_without_metadata_says_so(configured_home: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(pictures.saved(pictures.noise()))
    result = run_command(inspect, str(file))
    assert (result.code, "no metadata" in result.stderr) == (0, True)
    assert inspected(file)["record"] is None


def test_inspect_reads_labels_and_manifests(
    configured_home: Path, tmp_path: Path, stranger: Issued
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(signed(labelled(pictures.saved(pictures.noise())), stranger))
    label = facts(file, "XMP")
    assert label["Iptc4xmpExt:DigitalSourceType"].endswith("trainedAlgorithmicMedia")
    assert json.loads(label["TC260:AIGC"])["Label"] == "1"
    manifest = facts(file, "C2PA")
    assert (manifest["state"], manifest["signer"]) == ("Valid", "Tests, leaf")
    assert "c2pa.created" in manifest["action"]
    assert json.loads(manifest[ASSERTION])["prompt"] == "a red heart"


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
    configured_home: Path, tmp_path: Path, comment: bytes, kind: str
) -> None:
    block = Image.Exif()
    block[exif.SOFTWARE] = "tests"
    block.get_ifd(0x8769)[exif.USER_COMMENT] = comment
    file = tmp_path / "a"
    file.write_bytes(pictures.saved(pictures.noise(), kind, exif=block))
    found = facts(file, "A1111")
    assert (found["prompt"], found["seed"]) == ("红心", "2")


def test_inspect_reads_exif_of_cameras(configured_home: Path, tmp_path: Path) -> None:
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
    configured_home: Path, tmp_path: Path, name: str, kind: str
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


def test_hostile_metadata_reach_no_terminal_from_xmp(configured_home: Path, tmp_path: Path) -> None:
    packet = xmp([make_provenance()]).decode().replace("muniment", "\u202e\u0085\u200e<b/>", 1)
    for text in (packet, "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", "<x", "\0", ""):
        file = tmp_path / "a.png"
        data = with_texts(pictures.saved(pictures.noise()), **{embedded.XMP_KEY: text})
        file.write_bytes(data)
        result = run_command(inspect, str(file))
        assert result.code == 0
        assert all(c.isprintable() for c in set(result.stdout) - {"\n", "\t"})


def test_hostile_metadata_are_escaped_on_a_terminal(
    configured_home: Path, tmp_path: Path, stranger: Issued
) -> None:
    file, text = tmp_path / "file.png", pictures.HOSTILE["escapes"]
    data = sign(
        pictures.with_text(text),
        "image/png",
        [make_provenance(prompt=text)],
        stranger.credentials,
    )
    file.write_bytes(data)
    shown = Processes(tmp_path, configured_home).on_terminal("image", "inspect", file, width=90)
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
    configured_home: Path, tmp_path: Path, kind: bytes
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
        env={**os.environ, "MUNIMENT_HOME": str(configured_home), "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "PNG text\tparameters\tdamaged or too large, not read" in done.stdout


def test_many_texts_that_inflate_are_read_up_to_a_limit(
    configured_home: Path, tmp_path: Path
) -> None:
    data = pictures.saved(pictures.noise())
    end = next(png.chunks(data)).end
    file = tmp_path / "a.png"
    file.write_bytes(data[:end] + 400 * pictures.inflating_chunk(b"zTXt", 15) + data[end:])
    assert run_command(inspect, str(file)).stdout.count("too large, not read") > 300


def test_a_large_profile_and_cmyk_are_described(configured_home: Path, tmp_path: Path) -> None:
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
    configured_home: Path, tmp_path: Path, command: Any, content: bytes | None
) -> None:
    file = tmp_path / "a.png"
    if content is not None:
        file.write_bytes(content)
    result = run_command(command, str(file))
    assert (result.code, result.stdout) == (2, "")
    assert str(file) in result.stderr


@pytest.mark.parametrize("command", [inspect, verify])
def test_a_folder_and_a_pipe_are_refused(
    configured_home: Path, tmp_path: Path, command: Any
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe, tmp_path / "gone"):
        assert run_command(command, str(path)).code == 2


def test_nothing_is_written(configured_home: Path, tmp_path: Path, stranger: Issued) -> None:
    place = tmp_path / "files"
    place.mkdir()
    file = place / "a.png"
    file.write_bytes(signed(pictures.saved(pictures.noise()), stranger))
    before = sorted(path.name for path in configured_home.iterdir())
    for command in (inspect, verify):
        run_command(command, str(file))
    assert [path.name for path in place.iterdir()] == ["a.png"]
    assert sorted(path.name for path in configured_home.iterdir()) == before


@pytest.mark.integration
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_exiftool_reads_the_same_facts(
    exiftool: str,
    generate_file: GenerateFile,
    tmp_path: Path,
    stranger: Issued,
    suffix: str,
) -> None:
    file = tmp_path / f"a{suffix}"
    generate_file(file)
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
    exiftool: str, configured_home: Path, tmp_path: Path
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
    configured_home: Path, tmp_path: Path, stranger: Issued
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


def test_inspect_of_other_pixels_has_a_named_record_only(
    generate_file: GenerateFile, tmp_path: Path
) -> None:
    file = tmp_path / "a.png"
    generation = generate_file(file)
    same = inspected(file)
    assert (same["record"]["id"], same["named_record"]) == (generation.id, None)
    statement = to_json([generation.provenance])
    file.write_bytes(with_texts(pictures.saved(pictures.noise(seed=5)), muniment=statement))
    other = inspected(file)
    assert (other["record"], other["named_record"]["id"]) == (None, generation.id)
    assert "named record\tid" in run_command(inspect, str(file)).stdout
