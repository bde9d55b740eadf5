"""The certificate and private key that sign C2PA manifests.

A certificate of one's own consists of a root and a leaf. The root's private key signs the leaf and
is then discarded, so that nothing else can be signed in its name. The private key of the leaf is
not encrypted, because commands sign without a terminal for a password.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from muniment.errors import MunimentError, ProvenanceError, UsageError
from muniment.files import make_folder, open_private, sync_folder

CERTIFICATE = "certificate.pem"
"""The file of the leaf and the root."""
KEY = "certificate.key"
"""The file of the leaf's private key."""
ROOT = "root.pem"
"""The file of the root alone, to give to those who verify."""

MAX_BYTES = 1_000_000
"""The maximum size of a file that is read, which can be a list of many roots."""
MAX_YEARS = 50

_MAX_NAME = 64  # RFC 5280, ub-organization-name
_MAX_CERTIFICATES = 10
# The clock of the computer that verifies may be behind.
_CLOCK_DIFFERENCE = timedelta(hours=1)

PURPOSES = (
    "1.3.6.1.5.5.7.3.4",  # e-mail protection
    "1.3.6.1.5.5.7.3.36",  # document signing, RFC 9336
    "1.3.6.1.4.1.62558.2.1",  # C2PA claim signing
)
"""The extended key usages of which a leaf must have one (C2PA 2.4, section 14.4.1)."""

_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_MIN_RSA_BITS = 2048

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
_PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Credentials:
    """A certificate with its private key, both checked.

    Attributes:
        name: The organization that the certificate names, or else its common name.
        expires_at: The time at which the first certificate of the chain expires, in UTC.
        chain: The certificates in PEM, from the leaf towards the root.
        key: The private key in PEM (PKCS #8).
        algorithm: The name of the signature algorithm in C2PA, such as `es256`.
    """

    name: str
    expires_at: datetime
    chain: bytes
    key: bytes = field(repr=False)
    algorithm: str


def create_credentials(folder: Path, *, name: str, years: int = 10) -> Credentials:
    """Create a root and a leaf certificate with a private key, and save them in a folder.

    `name` is the organization that both name, which every reader of a signed file sees. The files
    are `certificate.pem`, `certificate.key` and `root.pem`. Raises UsageError for an unusable name
    or number of years, or if one of the files exists. Raises MunimentError if a file cannot be
    written.
    """
    if not name.strip() or len(name) > _MAX_NAME or not name.isprintable():
        raise UsageError(
            f"the name {name!r:.80} cannot stand in a certificate; use 1 to {_MAX_NAME} printable "
            "characters"
        )
    if not 1 <= years <= MAX_YEARS:
        raise UsageError(
            f"a certificate cannot be valid for {years} years; use 1 to {MAX_YEARS} years"
        )
    start = datetime.now(UTC).replace(microsecond=0) - _CLOCK_DIFFERENCE
    end = start + timedelta(days=round(365.2425 * years))
    root_key = ec.generate_private_key(ec.SECP256R1())
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    root_name, leaf_name = _name(name, "Muniment root"), _name(name, "Muniment")
    root = (
        _builder(root_name, root_name, root_key.public_key(), start, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(certificates=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        _builder(leaf_name, root_name, leaf_key.public_key(), start, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
            critical=False,
        )
        .sign(root_key, hashes.SHA256())
    )
    _save(folder, {CERTIFICATE: _pem(leaf, root), KEY: _key_pem(leaf_key), ROOT: _pem(root)})
    return _credentials([leaf, root], leaf_key)


def load_credentials(certificate: Path, key: Path) -> Credentials:
    """Return a certificate with its private key after checking both.

    `certificate` is a PEM file that begins with the leaf, and each further certificate is that of
    the issuer. The root may be missing. `key` is a PEM file that only its owner can read.

    Raises ProvenanceError if a file cannot be read, or if the key is encrypted or belongs to
    another certificate. The same error is raised for a certificate that is expired, not yet valid,
    self-signed or made for another purpose.
    """
    chain = _parse_chain(certificate)
    private_key = _parse_key(key)
    if _public_pem(private_key) != _public_pem(chain[0]):
        raise ProvenanceError(
            f"the private key {key} does not belong to the certificate {certificate}; use the key "
            "that the certificate was made for"
        )
    _raise_if_unusable(chain, certificate)
    return _credentials(chain, private_key)


def check_setting(key: str, path: Path) -> None:
    """Raise ProvenanceError unless a file can be the value of a setting of certificates.

    `key` is `certificate`, `certificate_key` or `trusted_root`. Whether a certificate and a key
    belong together is not checked, because the two are set one after the other.
    """
    if key == "certificate":
        _raise_if_unusable(_parse_chain(path), path)
    elif key == "certificate_key":
        _parse_key(path)
    else:
        read_certificates(path)


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Return the certificates of a PEM file in their order, which are at least one.

    Neither their signatures nor their times are checked. Raises ProvenanceError if the file cannot
    be read, is too large or has no certificate.
    """
    try:
        certificates = x509.load_pem_x509_certificates(_read(path, "certificate"))
        for each in certificates:  # extensions are parsed on first use
            each.extensions  # noqa: B018
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension):
        raise ProvenanceError(
            f"the certificate {path} cannot be read: it is not a certificate in PEM"
        ) from None
    return certificates


def check_roots(roots: Sequence[bytes]) -> str:
    """Return root certificates as one text in PEM. Raises ProvenanceError for anything else."""
    try:
        return "".join(_pem(*x509.load_pem_x509_certificates(root)).decode() for root in roots)
    except (ValueError, UnsupportedAlgorithm):
        raise ProvenanceError(
            "a root certificate cannot be read: it is not a certificate in PEM"
        ) from None


def _credentials(chain: list[x509.Certificate], key: _PrivateKey) -> Credentials:
    return Credentials(
        name=_organization(chain[0]),
        expires_at=min(each.not_valid_after_utc for each in chain),
        chain=_pem(*chain),
        key=_key_pem(key),
        algorithm=_algorithm(key),
    )


def _raise_if_unusable(chain: list[x509.Certificate], path: Path) -> None:
    """Raise ProvenanceError unless readers of C2PA will accept signatures of the leaf."""
    now = datetime.now(UTC)
    for each in chain:
        if now >= each.not_valid_after_utc:
            raise _unusable(path, f"it expired on {each.not_valid_after_utc:%Y-%m-%d}")
        if now < each.not_valid_before_utc:
            raise _unusable(path, f"it is not valid before {each.not_valid_before_utc:%Y-%m-%d}")
    leaf = chain[0]
    if leaf.issuer == leaf.subject:
        raise _unusable(path, "it is self-signed, and C2PA requires a root and a leaf")
    for each, issuer in itertools.pairwise(chain):
        try:
            each.verify_directly_issued_by(issuer)
        except (InvalidSignature, TypeError, UnsupportedAlgorithm, ValueError):
            raise _unusable(
                path, "its certificates are no chain, in which each is issued by the next"
            ) from None
    if any(not _is_authority(each) for each in chain[1:]) or _is_authority(leaf):
        raise _unusable(path, "the first must be a leaf and the others certificate authorities")
    usage = _extension(leaf, x509.KeyUsage)
    if usage is None or not usage.digital_signature:
        raise _unusable(path, "its key usage lacks digital signatures")
    extension = _extension(leaf, x509.ExtendedKeyUsage) or ()
    purposes = {purpose.dotted_string for purpose in extension}
    if purposes.isdisjoint(PURPOSES):
        raise _unusable(
            path, "its extended key usage lacks e-mail protection, document or claim signing"
        )
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string in purposes:
        raise _unusable(path, "its extended key usage allows any purpose, which C2PA forbids")


def _unusable(path: Path, reason: str) -> ProvenanceError:
    return ProvenanceError(
        f"the certificate {path} cannot sign: {reason}; use another one, or create one"
    )


def _parse_chain(path: Path) -> list[x509.Certificate]:
    chain = read_certificates(path)
    if len(chain) > _MAX_CERTIFICATES:
        raise ProvenanceError(
            f"the certificate {path} has {len(chain)} certificates; at most {_MAX_CERTIFICATES} "
            "are read"
        )
    return chain


def _parse_key(path: Path) -> _PrivateKey:
    content = _read(path, "private key", private=True)
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except TypeError:
        raise ProvenanceError(
            f"the private key {path} is encrypted; save it without a password, for example with "
            "`openssl pkey`"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ProvenanceError(
            f"the private key {path} cannot be read: it is not a private key in PEM"
        ) from None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return key
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _MIN_RSA_BITS:
        return key
    raise ProvenanceError(
        f"the private key {path} is of a kind that C2PA does not allow; use P-256, P-384, P-521, "
        f"Ed25519 or RSA of at least {_MIN_RSA_BITS} bits"
    )


def _read(path: Path, noun: str, private: bool = False) -> bytes:
    try:
        with path.open("rb") as file:
            if private and os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                raise ProvenanceError(
                    f"the {noun} {path} is readable by others; run `chmod 600 {path}`"
                )
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ProvenanceError(f"cannot read the {noun} {path}: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ProvenanceError(
            f"the {noun} {path} is larger than {MAX_BYTES:,} bytes; use a file in PEM"
        )
    return content


def _save(folder: Path, contents: dict[str, bytes]) -> None:
    """Save files that only the owner can read. No file is replaced."""
    for name in contents:
        if os.path.lexists(folder / name):
            raise UsageError(
                f"the file {folder / name} exists already, and certificates are never overwritten; "
                "move it away, or use another folder"
            )
    saved: list[Path] = []
    try:
        make_folder(folder)
        for name, content in contents.items():
            with open_private(folder / name, "xb") as file:
                saved.append(folder / name)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        for path in saved:  # a part of them would prevent the next attempt
            path.unlink(missing_ok=True)
        raise MunimentError(f"cannot write to {folder}: {error.strerror}") from None
    sync_folder(folder)


def _name(organization: str, common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    start: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, certificates: bool) -> x509.KeyUsage:
    """Return the key usage of a root, which signs certificates, or that of a leaf."""
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _is_authority(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _organization(certificate: x509.Certificate) -> str:
    for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        for attribute in certificate.subject.get_attributes_for_oid(oid):
            return str(attribute.value)
    return ""


def _algorithm(key: _PrivateKey) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _CURVES[key.curve.name]
    return "ed25519" if isinstance(key, ed25519.Ed25519PrivateKey) else "ps256"


def _pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def _key_pem(key: _PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _public_pem(owner: _PrivateKey | x509.Certificate) -> bytes:
    return owner.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
