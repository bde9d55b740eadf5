"""`muniment image certificate`, and signers as `muniment image verify` recognises them."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

import muniment
from muniment.provenance import Manifest, load_credentials, sign
from muniment.testing import CommandContract, run_command
from muniment_image import verification
from muniment_image.commands.certificate import certificate
from muniment_image.commands.inspect import inspect
from muniment_image.commands.verify import verify
from muniment_image.inspection.report import read_report
from support import pictures
from support.checked_pictures import GenerateFile, signed, trust, verified
from support.provenance import Issued, issue, make_provenance


class TestCertificateContract(CommandContract):
    command = certificate
    reads = False
    arguments: ClassVar = ()


def test_a_certificate_signs_for_this_installation(configured_home: Path, tmp_path: Path) -> None:
    result = run_command(certificate, "--name", "Tests", "--years", "2", "--json")
    assert result.code == 0, result.stderr
    [value] = result.json
    with muniment.open() as session:
        paths = [Path(str(session.config.get(key))) for key in ("certificate", "certificate_key")]
        assert session.config.get("trusted_root") == value["trusted_root"]
    file = tmp_path / "a.png"
    data = pictures.saved(pictures.noise())
    file.write_bytes(sign(data, "image/png", [make_provenance()], load_credentials(*paths)))
    assert verified(file) == (0, verification.OWN, verification.NO_MATCH)


def test_a_certificate_is_not_replaced(configured_home: Path) -> None:
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
    configured_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(configured_home.parent)
    monkeypatch.setenv("MUNIMENT_HOME", configured_home.name)
    result = run_command(certificate, "--json")
    assert result.code == 0, result.stderr
    keys = ("certificate", "certificate_key", "trusted_root")
    with muniment.open(configured_home) as session:
        paths = [Path(str(session.config.get(key))) for key in keys]
    assert [str(path) for path in paths] == [result.json[0][key] for key in keys]
    monkeypatch.chdir(tmp_path.root)
    assert all(path.is_file() for path in paths)


def test_a_certificate_cannot_be_written_to_a_file_in_place_of_a_folder(
    configured_home: Path,
) -> None:
    (configured_home / "certificates").write_text("x")
    result = run_command(certificate)
    assert (result.code, result.stdout) == (1, "")
    with muniment.open() as session:
        assert session.config.get("certificate") is None


def test_a_signature_is_recognised_by_the_certificate(
    generate_file: GenerateFile,
    tmp_path: Path,
    configured_home: Path,
    stranger: Issued,
) -> None:
    ours, theirs = tmp_path / "ours.png", tmp_path / "theirs.png"
    generate_file(ours)
    ours.write_bytes(signed(ours.read_bytes(), stranger))
    theirs.write_bytes(signed(pictures.saved(pictures.noise(seed=5)), stranger))
    assert verified(ours) == (0, verification.UNKNOWN, verification.SAME)
    assert verified(theirs) == (1, verification.UNKNOWN, verification.NO_MATCH)
    trust(configured_home, stranger, own=False)
    assert verified(theirs) == (0, verification.TRUSTED, verification.NO_MATCH)
    trust(configured_home, stranger, own=True)
    assert verified(theirs) == (0, verification.OWN, verification.NO_MATCH)
    with muniment.open() as session:
        session.config.set("trusted_root", None)
    assert verified(theirs) == (0, verification.OWN, verification.NO_MATCH)


@pytest.mark.parametrize("is_same", ["issuer", "serial number"])
def test_a_certificate_that_only_resembles_ours_is_that_of_a_stranger(
    configured_home: Path, tmp_path: Path, is_same: str
) -> None:
    ours = issue(tmp_path / "ours", serial=7)
    theirs = (
        issue(tmp_path / "theirs", issuer=ours)
        if is_same == "issuer"
        else issue(tmp_path / "theirs", serial=7)
    )
    trust(configured_home, ours, own=True)
    file = tmp_path / "a.png"
    file.write_bytes(signed(pictures.saved(pictures.noise()), theirs))
    assert verified(file) == (1, verification.UNKNOWN, verification.NO_MATCH)
    trust(configured_home, theirs, own=False)
    assert verified(file) == (0, verification.TRUSTED, verification.NO_MATCH)


def test_a_certificate_without_its_issuer_is_recognised_with_the_trusted_root(
    configured_home: Path, tmp_path: Path
) -> None:
    ours = issue(tmp_path / "ours")
    trust(configured_home, ours, own=True)
    ours.certificate.write_bytes(ours.leaf)
    file = tmp_path / "a.png"
    file.write_bytes(signed(pictures.saved(pictures.noise()), ours))
    assert verified(file) == (1, verification.UNKNOWN, verification.NO_MATCH)
    trust(configured_home, ours, own=False)
    assert verified(file) == (0, verification.OWN, verification.NO_MATCH)


def test_a_manifest_with_an_expired_certificate_is_intact(
    generate_file: GenerateFile, tmp_path: Path, configured_home: Path
) -> None:
    file, altered = tmp_path / "a.png", tmp_path / "altered.png"
    generate_file(file)
    issued = issue(tmp_path / "short", end=datetime.now(UTC) + timedelta(seconds=3))
    trust(configured_home, issued, own=True)
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
    configured_home: Path, tmp_path: Path, state: Any, codes: tuple[str, ...], result: str
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(pictures.saved(pictures.noise()))
    report = read_report(file.read_bytes())
    assert report is not None
    report = dataclasses.replace(report, manifest=Manifest(state, codes))
    with muniment.open() as session:
        assert verification.verify(session, file, report).manifest == result


@pytest.mark.parametrize("key", ["certificate", "trusted_root"])
@pytest.mark.parametrize(
    "content",
    [None, b"x", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"],
    ids=["missing", "text", "damaged"],
)
def test_a_setting_whose_file_has_no_certificate_is_noted(
    configured_home: Path, tmp_path: Path, stranger: Issued, key: str, content: bytes | None
) -> None:
    file, other = tmp_path / "a.png", tmp_path / "other.pem"
    file.write_bytes(signed(pictures.saved(pictures.noise()), stranger))
    if content is not None:
        other.write_bytes(content)
    with (configured_home / "config.toml").open("a") as settings:
        settings.write(f'{key} = "{other}"\n')
    result = run_command(verify, str(file), "--json")
    [value] = result.json
    assert (result.code, value["manifest"]) == (1, verification.UNKNOWN)
    assert [f"setting {key}" in note for note in value["notes"]].count(True) == 1
    shown = run_command(inspect, str(file), "--json")
    assert (shown.code, f"setting {key}" in shown.stderr) == (0, True)
    assert shown.json[0]["manifest"] == verification.UNKNOWN
    assert shown.json[0]["facts"]


def test_a_setting_without_a_certificate_does_not_affect_the_other_one(
    configured_home: Path, tmp_path: Path, stranger: Issued
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(signed(pictures.saved(pictures.noise()), stranger))
    trust(configured_home, stranger, own=False)
    with (configured_home / "config.toml").open("a") as settings:
        settings.write(f'certificate = "{tmp_path / "gone.pem"}"\n')
    assert verified(file) == (0, verification.TRUSTED, verification.NO_MATCH)
    assert "setting certificate" in run_command(verify, str(file)).stderr
