"""Provenances, certificates of every kind, and files to sign."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from hypothesis import strategies as st

from muniment.provenance import Credentials
from muniment.types.provenance import Provenance
from support.pictures import SIGNATURE, chunk

ID = "01KBCDEFGHJKMNPQRSTVWXYZ01"
OTHER_ID = "01KBCDEFGHJKMNPQRSTVWXYZ02"
DAY = timedelta(days=1)

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
    st.lists(texts).map(tuple),
)
moments = st.integers(0, 4_102_444_800_000).map(
    lambda millis: datetime.fromtimestamp(millis / 1000, UTC).replace(
        microsecond=millis % 1000 * 1000
    )
)
provenances = st.builds(
    Provenance,
    id=st.sampled_from([ID, OTHER_ID]),
    generator=texts.filter(bool),
    prompt=texts,
    seed=st.integers(0, 2**64 - 1),
    parameters=st.dictionaries(texts, values, max_size=4),
    model=texts,
    model_digest=texts,
    created_at=moments,
    versions=st.dictionaries(texts, texts, max_size=3),
    models=st.dictionaries(texts, texts, max_size=3),
    producer=texts,
)

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def make_provenance(**fields: Any) -> Provenance:
    """Return a provenance with all fields, some of them replaced."""
    values: dict[str, Any] = {
        "id": ID,
        "generator": "flow",
        "prompt": "a red heart",
        "seed": 2**64 - 1,
        "parameters": {"steps": 20, "guidance": 7.5, "negative": "", "tags": ("a", "b")},
        "model": "hearts",
        "model_digest": f"sha256:{'ab' * 32}",
        "created_at": datetime(2026, 11, 29, 12, 0, 0, 5000, tzinfo=UTC),
        "versions": {"muniment": "0.1.0"},
        "models": {},
        "producer": "001191110102MAD55U9H0F10002",
    }
    return Provenance(**{**values, **fields})


@dataclass
class Issued:
    """A leaf and its root with the leaf's private key, which are also saved as files."""

    certificate: Path
    key: Path
    leaf: bytes
    root: bytes
    private: bytes
    root_key: ec.EllipticCurvePrivateKey

    @property
    def credentials(self) -> Credentials:
        """The credentials without the checks of `load_credentials`."""
        return Credentials("test", datetime.now(UTC), self.leaf + self.root, self.private, "es256")


def issue(
    folder: Path,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    purposes: tuple[str, ...] = (ExtendedKeyUsageOID.EMAIL_PROTECTION.dotted_string,),
    digital_signature: bool = True,
    self_signed: bool = False,
    authority: bool = False,
    key: Key | None = None,
    serial: int | None = None,
    issuer: Issued | None = None,
) -> Issued:
    """Write a certificate chain of P-256 keys, unless `key` is given, with such properties.

    With `issuer`, the same authority issues the leaf as that of the other chain.
    """
    start = start or datetime.now(UTC) - DAY
    end = end or start + 100 * DAY
    root_key = issuer.root_key if issuer else ec.generate_private_key(ec.SECP256R1())
    leaf_key = key or ec.generate_private_key(ec.SECP256R1())
    root_name, leaf_name = _name("root"), _name("root" if self_signed else "leaf")

    def builder(subject: x509.Name, public: Any) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(
                root_name, subject, public, serial or x509.random_serial_number()
            )
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )

    root = (
        builder(root_name, root_key.public_key())
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .add_extension(_usage(key_cert_sign=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        builder(leaf_name, leaf_key.public_key())
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
            critical=False,
        )
        .add_extension(_usage(digital_signature=digital_signature, crl_sign=True), critical=True)
    )
    if purposes:
        usage = x509.ExtendedKeyUsage([ObjectIdentifier(purpose) for purpose in purposes])
        leaf = leaf.add_extension(usage, critical=False)
    issuer_key: Any = leaf_key if self_signed else root_key
    algorithm = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    signed = leaf.sign(issuer_key, algorithm)

    folder.mkdir(parents=True, exist_ok=True)
    issued = Issued(
        certificate=folder / "chain.pem",
        key=folder / "chain.key",
        leaf=signed.public_bytes(serialization.Encoding.PEM),
        root=b"" if self_signed else root.public_bytes(serialization.Encoding.PEM),
        private=private_pem(leaf_key),
        root_key=root_key,
    )
    issued.certificate.write_bytes(issued.leaf + issued.root)
    issued.key.write_bytes(issued.private)
    issued.key.chmod(0o600)
    return issued


def private_pem(key: Any, password: bytes | None = None) -> bytes:
    """Return a private key in PEM, encrypted if there is a password."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )


def wav() -> bytes:
    """Return half a second of sound."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\1\2" * 4000)
    return file.getvalue()


def itxt(keyword: str, text: bytes) -> bytes:
    """Return an uncompressed chunk of international text for a PNG file."""
    return chunk(b"iTXt", keyword.encode() + b"\0\0\0\0\0" + text)


def png_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and the data of each chunk of a PNG file."""
    position = len(SIGNATURE)
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        yield png[position + 4 : position + 8], png[position + 8 : position + 8 + length]
        position += 12 + length


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Return a PNG file of these chunks, with new check sums."""
    return SIGNATURE + b"".join(chunk(kind, data) for kind, data in chunks)


def replace_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """Return a PNG file in which all chunks of a type have other data."""
    return png_of([(name, data if name == kind else old) for name, old in png_chunks(png)])


def chunk_of(png: bytes, kind: bytes) -> bytes:
    """Return the data of the first chunk of a type."""
    return next(data for name, data in png_chunks(png) if name == kind)


def alter_pixel(png: bytes, position: int, difference: int) -> bytes:
    """Return a PNG file without filters in which one byte of the pixels differs."""
    rows = bytearray(zlib.decompress(chunk_of(png, b"IDAT")))
    rows[position] = (rows[position] + difference) % 256
    return replace_chunk(png, b"IDAT", zlib.compress(bytes(rows)))


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _usage(**flags: bool) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    ).split()
    return x509.KeyUsage(**{name: flags.get(name, False) for name in names})
