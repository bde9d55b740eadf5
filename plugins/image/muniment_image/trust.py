"""The certificates by which this installation recognises signatures of files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import muniment
from muniment import provenance

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_MAX_BYTES = 1_000_000


class Trust(NamedTuple):
    """The certificates by which signers are recognised.

    `roots` are those whose signers are trusted, in PEM. The own certificate is recognised by its
    serial number and `own_issuer`, the certificate in PEM that issued it. Both are empty without
    an own certificate, and `own_issuer` also if the issuer's certificate is in neither setting.
    """

    roots: tuple[bytes, ...] = ()
    own_issuer: bytes = b""
    own_serial: str = ""


NOBODY = Trust()
"""The trust of an installation without certificates."""


def read_trust(session: muniment.Session) -> Trust:
    """Return the certificates that the settings `certificate` and `trusted_root` name.

    Raises UsageError if a file cannot be read, or has no certificate.
    """
    chain, roots = _read(session, "certificate"), _read(session, "trusted_root")
    trusted = tuple(map(_pem, roots))
    if not chain:
        return Trust(trusted)
    leaf = chain[0]
    issuers = (_pem(each) for each in (*chain[1:], *roots) if _is_issuer(each, leaf))
    return Trust(trusted, next(issuers, b""), str(leaf.serial_number))


def read_manifest(
    data: bytes, media_type: str, trust: Trust
) -> tuple[provenance.Manifest | None, bool]:
    """Return the C2PA manifest of a file, and whether the own certificate signed it.

    Raises ProvenanceError if the library for manifests is not installed.
    """
    if trust.own_issuer:
        manifest = provenance.read_manifest(data, media_type, (trust.own_issuer,))
        # A serial number is unique only among the certificates of one issuer.
        if manifest and manifest.state == "Trusted" and manifest.serial == trust.own_serial:
            return manifest, True
    return provenance.read_manifest(data, media_type, trust.roots), False


def _read(session: muniment.Session, key: str) -> list[Certificate]:
    """Return the certificates in the file that a setting names, or none if it has no value."""
    from cryptography import x509

    value = session.config.get(key)
    if value is None:
        return []
    path = Path(os.path.expanduser(value))
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise muniment.UsageError(
            f"cannot read {path}: {error.strerror}; correct the setting {key}"
        ) from None
    if len(content) > _MAX_BYTES:
        raise _unusable(key)
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise _unusable(key) from None


def _is_issuer(certificate: Certificate, leaf: Certificate) -> bool:
    """Return whether a certificate issued the other one."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        leaf.verify_directly_issued_by(certificate)
    except (InvalidSignature, TypeError, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _pem(certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _unusable(key: str) -> muniment.UsageError:
    return muniment.UsageError(
        f"the file of the setting {key} has no certificate in PEM; run `muniment config set {key} "
        "FILE` with one that has"
    )
