"""Certificates with private keys: made, loaded, and refused with a reason."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from muniment import MunimentError, ProvenanceError, UsageError
from muniment.provenance import (
    create_credentials,
    load_credentials,
    read_certificates,
    read_manifest,
    sign,
)
from muniment.provenance.certificates import CERTIFICATE, KEY, MAX_BYTES, PURPOSES, ROOT
from support.pictures import noise, saved
from support.provenance import DAY, Issued, issue, make_provenance, private_pem

PNG = saved(noise(), "PNG")
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string


def _signs(issued: Issued) -> str:
    """Return the state of a file that was signed with loaded credentials."""
    credentials = load_credentials(issued.certificate, issued.key)
    signed = sign(PNG, "image/png", [make_provenance()], credentials)
    manifest = read_manifest(signed, "image/png", [issued.root])
    assert manifest is not None
    return manifest.state


# ---- creating --------------------------------------------------------------------------------


def test_create_credentials_writes_a_root_and_a_leaf_for_ten_years(tmp_path: Path) -> None:
    credentials = create_credentials(tmp_path / "new" / "folder", name="Åcme 公司")
    folder = tmp_path / "new" / "folder"
    leaf, root = x509.load_pem_x509_certificates((folder / CERTIFICATE).read_bytes())
    assert x509.load_pem_x509_certificates((folder / ROOT).read_bytes()) == [root]
    leaf.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    assert credentials.name == "Åcme 公司"
    assert credentials.expires_at == leaf.not_valid_after_utc
    assert abs((credentials.expires_at - datetime.now(UTC)) / DAY - 3652) < 2
    assert load_credentials(folder / CERTIFICATE, folder / KEY) == credentials


@pytest.mark.integration
def test_create_credentials_makes_a_chain_that_openssl_verifies(
    openssl: str, tmp_path: Path
) -> None:
    create_credentials(tmp_path, name="Acme")
    command = [openssl, "verify", "-x509_strict", "-purpose", "smimesign", "-CAfile"]
    result = subprocess.run(
        [*command, str(tmp_path / ROOT), str(tmp_path / CERTIFICATE)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def test_create_credentials_keeps_no_private_key_of_the_root(tmp_path: Path) -> None:
    create_credentials(tmp_path, name="Acme")
    texts = [path.read_text() for path in tmp_path.iterdir()]
    assert sum(text.count("PRIVATE KEY-----") for text in texts) == 2  # the begin and the end


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_create_credentials_writes_files_for_their_owner_only(tmp_path: Path) -> None:
    create_credentials(tmp_path / "keys", name="Acme")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_credentials_are_shown_without_the_private_key(tmp_path: Path) -> None:
    assert "PRIVATE" not in repr(create_credentials(tmp_path, name="Acme"))


@pytest.mark.parametrize("existing", [CERTIFICATE, KEY, ROOT])
def test_create_credentials_overwrites_nothing(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("mine")
    with pytest.raises(UsageError, match=existing):
        create_credentials(tmp_path, name="Acme")
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "mine"


@pytest.mark.parametrize("name", ["", "  ", "a" * 65, "a\nb", "\x1b[31m"])
def test_create_credentials_refuses_a_name_that_no_certificate_can_have(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError):
        create_credentials(tmp_path, name=name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("years", [0, -1, 51, 10**9])
def test_create_credentials_refuses_a_number_of_years_out_of_range(
    tmp_path: Path, years: int
) -> None:
    with pytest.raises(UsageError):
        create_credentials(tmp_path, name="Acme", years=years)


def test_create_credentials_in_a_file_raises(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MunimentError, match="file"):
        create_credentials(tmp_path / "file" / "folder", name="Acme")


# ---- loading ---------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", PURPOSES)
def test_load_credentials_of_each_allowed_purpose_signs(tmp_path: Path, purpose: str) -> None:
    assert _signs(issue(tmp_path, purposes=(purpose,))) == "Trusted"


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-384", "P-521", "Ed25519", "RSA"],
)
def test_load_credentials_of_each_kind_of_key_signs(tmp_path: Path, key: Any) -> None:
    assert _signs(issue(tmp_path, key=key)) == "Trusted"


def test_load_credentials_without_the_root_signs(tmp_path: Path) -> None:
    issued = issue(tmp_path)
    issued.certificate.write_bytes(issued.leaf)
    assert _signs(issued) == "Trusted"


def test_load_credentials_of_a_key_in_the_traditional_form_signs(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = ec.generate_private_key(ec.SECP256R1())
    issued = issue(tmp_path, key=key)
    issued.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    assert _signs(issued) == "Trusted"


def _refused(issued: Issued) -> str:
    with pytest.raises(ProvenanceError) as raised:
        load_credentials(issued.certificate, issued.key)
    return str(raised.value)


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"start": NOW - 20 * DAY, "end": NOW - DAY}, "expired"),
        ({"start": NOW + DAY, "end": NOW + 20 * DAY}, "not valid before"),
        ({"self_signed": True}, "self-signed"),
        ({"purposes": ()}, "lacks"),
        ({"purposes": (ExtendedKeyUsageOID.SERVER_AUTH.dotted_string,)}, "lacks"),
        ({"purposes": (ANY,)}, "lacks"),
        ({"purposes": (PURPOSES[0], ANY)}, "any purpose"),
        ({"digital_signature": False}, "key usage"),
        ({"authority": True}, "leaf"),
    ],
)
def test_load_credentials_of_an_unusable_certificate_raises_with_the_reason(
    tmp_path: Path, properties: dict[str, Any], reason: str
) -> None:
    issued = issue(tmp_path, **properties)
    message = _refused(issued)
    assert reason in message
    assert str(issued.certificate) in message


def test_load_credentials_with_a_key_of_another_certificate_raises(tmp_path: Path) -> None:
    issued, other = issue(tmp_path / "one"), issue(tmp_path / "two")
    issued.key.write_bytes(other.private)
    assert "does not belong" in _refused(issued)


def test_load_credentials_with_a_root_of_another_leaf_raises(tmp_path: Path) -> None:
    issued, other = issue(tmp_path / "one"), issue(tmp_path / "two")
    issued.certificate.write_bytes(issued.leaf + other.root)
    assert "chain" in _refused(issued)


def test_load_credentials_with_the_root_first_raises(tmp_path: Path) -> None:
    issued = issue(tmp_path)
    issued.certificate.write_bytes(issued.root + issued.leaf)
    assert "does not belong" in _refused(issued)


def test_load_credentials_with_an_encrypted_key_raises(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issued = issue(tmp_path, key=key)
    issued.key.write_bytes(private_pem(key, b"password"))
    assert "encrypted" in _refused(issued)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 1024),
        dsa.generate_private_key(2048),
    ],
    ids=["secp256k1", "RSA of 1024 bits", "DSA"],
)
def test_load_credentials_with_a_key_that_c2pa_forbids_raises(tmp_path: Path, key: Any) -> None:
    issued = issue(tmp_path)
    issued.key.write_bytes(private_pem(key))
    assert "kind" in _refused(issued)


CONTENTS = {
    "empty": b"",
    "text": b"no PEM",
    "binary": bytes(range(256)) * 10,
    "PEM of nothing": b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
    "damaged PEM": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "damaged key": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "huge": b"\n" * (MAX_BYTES + 1),
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_read_certificates_of_a_file_without_any_raises_with_its_path(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "root.pem"
    path.write_bytes(content)
    for file in (path, tmp_path, tmp_path / "gone"):
        with pytest.raises(ProvenanceError, match=re.escape(str(file))):
            read_certificates(file)


def test_read_certificates_returns_all_in_the_order_of_the_file(tmp_path: Path) -> None:
    issued = issue(tmp_path, end=datetime.now(UTC) - DAY, start=datetime.now(UTC) - 2 * DAY)
    leaf, root = read_certificates(issued.certificate)
    assert leaf.issuer == root.subject != leaf.subject


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("file", ["certificate", "key"])
def test_load_credentials_of_an_unreadable_file_raises_with_its_path(
    tmp_path: Path, content: bytes, file: str
) -> None:
    issued = issue(tmp_path)
    path: Path = getattr(issued, file)
    path.write_bytes(content)
    assert str(path) in _refused(issued)


@pytest.mark.parametrize("file", ["certificate", "key"])
def test_load_credentials_of_a_missing_file_or_folder_raises_with_its_path(
    tmp_path: Path, file: str
) -> None:
    issued = issue(tmp_path)
    path: Path = getattr(issued, file)
    path.unlink()
    assert str(path) in _refused(issued)
    path.mkdir(mode=0o700)
    assert str(path) in _refused(issued)


def test_load_credentials_of_a_huge_chain_raises(tmp_path: Path) -> None:
    issued = issue(tmp_path)
    issued.certificate.write_bytes(issued.leaf + issued.root * 10)
    assert "11 certificates" in _refused(issued)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_load_credentials_of_a_key_that_others_can_read_raises(tmp_path: Path, mode: int) -> None:
    issued = issue(tmp_path)
    issued.key.chmod(mode)
    assert "chmod 600" in _refused(issued)
