"""Ed25519 keys that sign checkpoints, in the text formats of C2SP signed-note.

A public key (a *vkey*) is `name+id+base64`, and a private key is `PRIVATE+KEY+name+id+base64`.
Go's note package and other transparency log tools use the same formats. `cryptography` is imported
only when something is signed or verified.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from hashlib import sha256

from muniment.errors import MunimentError

KEY_BYTES = 32
ID_BYTES = 4
_ED25519 = b"\x01"  # the signature type of Ed25519 in C2SP signed-note
_PRIVATE = "PRIVATE+KEY+"


class KeyFormatError(MunimentError, ValueError):
    """A text that is not a key in the required format."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key, with a name (the origin of the log) and 32 bytes."""

    name: str
    key: bytes

    @property
    def id(self) -> bytes:
        """The 4-byte id of the key in signature lines. It is too short to identify a key safely."""
        # C2SP signed-note defines it by the name, a newline, the type and the key.
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:ID_BYTES]

    def __str__(self) -> str:
        return _format(self.name, self.id, self.key)

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Parse the text form of a public key. Raise KeyFormatError for any other text."""
        text = text.strip()
        if text.startswith(_PRIVATE):
            raise KeyFormatError(
                "this is a private key, which must stay secret; use its public key"
            )
        name, identifier, data = _parts(text, "public")
        key = cls(name, data)
        if key.id != identifier:
            raise KeyFormatError("the public key is damaged: its id is not that of its bytes")
        return key

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Return whether the signature of the message was made with the matching private key."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key. Its secret (32 bytes) does not appear in `repr`."""

    name: str
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls, name: str) -> PrivateKey:
        """Create a key from random bytes of the operating system."""
        check_name(name)
        return cls(name, os.urandom(KEY_BYTES))

    @classmethod
    def parse(cls, text: str) -> PrivateKey:
        """Parse the text form of a private key. Raise KeyFormatError, which does not quote it."""
        text = text.strip()
        if not text.startswith(_PRIVATE):
            raise KeyFormatError(f"a private key begins with {_PRIVATE}")
        name, identifier, secret = _parts(text.removeprefix(_PRIVATE), "private")
        key = cls(name, secret)
        if key.public.id != identifier:
            raise KeyFormatError("the private key is damaged: its id is not that of its bytes")
        return key

    @property
    def text(self) -> str:
        """The text form of the key with its secret, as written to the key file."""
        return _PRIVATE + _format(self.name, self.public.id, self.secret)

    @property
    def public(self) -> PublicKey:
        """The matching public key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = Ed25519PrivateKey.from_private_bytes(self.secret).public_key()
        return PublicKey(self.name, key.public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message (64 bytes)."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.secret).sign(message)


def check_name(name: str) -> None:
    """Raise KeyFormatError if a name is empty or has spaces, plus signs or control characters."""
    if not name or any(c.isspace() or c == "+" or c < " " or c == "\x7f" for c in name):
        raise KeyFormatError(f"{name!r} cannot name a key: it must have no space and no plus")


def strict_base64(text: str) -> bytes:
    """Return the decoded bytes. Raise ValueError unless the text is canonical standard base64."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("not base64 in its canonical spelling")
    return data


def _format(name: str, identifier: bytes, key: bytes) -> str:
    return f"{name}+{identifier.hex()}+{base64.b64encode(_ED25519 + key).decode()}"


def _parts(text: str, kind: str) -> tuple[str, bytes, bytes]:
    """Return the name, the id (4 bytes) and the key (32 bytes) of a key's text form.

    `kind` is "public" or "private", for error messages.
    """
    reason = f"a {kind} key is a name, eight hexadecimal digits and base64, joined by plus signs"
    try:
        name, id_digits, encoded = text.split("+", 2)  # base64 may contain more plus signs
        check_name(name)
        data = strict_base64(encoded)
        identifier = bytes.fromhex(id_digits)
    except ValueError:
        raise KeyFormatError(reason) from None
    if len(identifier) != ID_BYTES or identifier.hex() != id_digits:
        raise KeyFormatError(reason)
    if data[:1] != _ED25519 or len(data) != 1 + KEY_BYTES:
        raise KeyFormatError(f"the {kind} key is not an Ed25519 key")
    return name, identifier, data[1:]
