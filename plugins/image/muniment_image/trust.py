"""The certificates by which this installation recognises signatures of files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import muniment

_MAX_BYTES = 1_000_000


class Trust(NamedTuple):
    """The certificates that are trusted, in PEM, and the serial number of the own one."""

    roots: tuple[bytes, ...] = ()
    own_serial: str = ""


def read_trust(session: muniment.Session) -> Trust:
    """Return the certificates that the settings `certificate` and `trusted_root` name.

    Raises UsageError if a file cannot be read, or has no certificate.
    """
    files = {key: _file(session, key) for key in ("certificate", "trusted_root")}
    serials = {key: _serial(key, content) for key, content in files.items() if content}
    return Trust(tuple(filter(None, files.values())), serials.get("certificate", ""))


def _file(session: muniment.Session, key: str) -> bytes | None:
    """Return the content of the file that a setting names, or None if it has no value."""
    value = session.config.get(key)
    if value is None:
        return None
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
    return content


def _serial(key: str, chain: bytes) -> str:
    """Return the serial number of the first certificate, which is that of a signer."""
    from cryptography import x509

    try:
        return str(x509.load_pem_x509_certificates(chain)[0].serial_number)
    except ValueError:
        raise _unusable(key) from None


def _unusable(key: str) -> muniment.UsageError:
    return muniment.UsageError(
        f"the file of the setting {key} has no certificate in PEM; run `muniment config set {key} "
        "FILE` with one that has"
    )
