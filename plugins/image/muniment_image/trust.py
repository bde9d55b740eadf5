"""The certificates by which this installation recognises signatures of files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import muniment
from muniment import provenance

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


class Trust(NamedTuple):
    """The certificates by which signers are recognised.

    `roots` are those whose signers are trusted, in PEM. The own certificate is recognised by its
    serial number and `own_issuer`, the certificate in PEM that issued it. Both are empty without
    an own certificate, and `own_issuer` also if the issuer's certificate is in neither setting.
    `problems` are sentences on settings whose certificates cannot be read.
    """

    roots: tuple[bytes, ...] = ()
    own_issuer: bytes = b""
    own_serial: str = ""
    problems: tuple[str, ...] = ()


NOBODY = Trust()
"""The trust of an installation without certificates."""


def read_trust(session: muniment.Session) -> Trust:
    """Return the certificates that the settings `certificate` and `trusted_root` name."""
    problems: list[str] = []
    chain, roots = (_read(session, key, problems) for key in ("certificate", "trusted_root"))
    trusted = tuple(map(_pem, roots))
    if not chain:
        return Trust(trusted, problems=tuple(problems))
    leaf = chain[0]
    issuers = (_pem(each) for each in (*chain[1:], *roots) if _is_issuer(each, leaf))
    return Trust(trusted, next(issuers, b""), str(leaf.serial_number), tuple(problems))


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


def _read(session: muniment.Session, key: str, problems: list[str]) -> list[Certificate]:
    """Return the certificates in the file that a setting names, or none if it has no value.

    A sentence is added to `problems` if the file cannot be read.
    """
    value = session.config.get(key)
    if value is None:
        return []
    try:
        return provenance.read_certificates(Path(os.path.expanduser(value)))
    except muniment.ProvenanceError as error:
        problems.append(
            f"the setting {key} has no effect: {error}; run `muniment config set {key} FILE` with "
            "the file of a certificate"
        )
        return []


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
