"""Ed25519 keys that sign checkpoints, in the text forms of C2SP signed-note.

A public key (a *vkey*) is `name+id+base64`, a private one `PRIVATE+KEY+name+id+base64`, as Go's
note package and the tools around transparency logs write them. `cryptography` is imported when
something is signed or verified, and not before.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field
from hashlib import sha256

from muniment.errors import MunimentError

KEY_BYTES = 32
ID_BYTES = 4
_ED25519 = b"\x01"  # the type of signature that signed-note assigns it
_PRIVATE = "PRIVATE+KEY+"


class KeyFormatError(MunimentError, ValueError):
    """A text is no key of the form that is needed."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Who can be held to a signature: a name, which is that of the log, and 32 bytes."""

    name: str
    key: bytes

    @property
    def id(self) -> bytes:
        """The four bytes that name the key in a signature; not a strong hash."""
        return key_id(self.name, self.key)

    def __str__(self) -> str:
        return _spelled(self.name, self.id, self.key)

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Read what `str` writes; KeyFormatError when it is anything else."""
        text = text.strip()
        if text.startswith(_PRIVATE):
            raise KeyFormatError(
                "this is a private key, which is nobody else's; give its public key"
            )
        name, identifier, key = _parts(text, "public")
        if key_id(name, key) != identifier:
            raise KeyFormatError("the public key is damaged: its id is not that of its bytes")
        return cls(name, key)

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether the private key of this one made the signature over the message."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """What signs; its secret is in no `repr`."""

    name: str
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls, name: str) -> PrivateKey:
        """Make a key from the system's random bytes."""
        check_name(name)
        return cls(name, os.urandom(KEY_BYTES))

    @classmethod
    def parse(cls, text: str) -> PrivateKey:
        """Read what `text` is; KeyFormatError, which does not quote it, for anything else."""
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
        """The key with its secret, as its file holds it."""
        return _PRIVATE + _spelled(self.name, self.public.id, self.secret)

    @property
    def public(self) -> PublicKey:
        """The key that others verify with."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = Ed25519PrivateKey.from_private_bytes(self.secret).public_key()
        return PublicKey(self.name, key.public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Return the signature over a message: 64 bytes."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.secret).sign(message)


def key_id(name: str, key: bytes) -> bytes:
    """Return the first four bytes of the SHA-256 of the name, a newline, the type and the key."""
    return sha256(name.encode() + b"\n" + _ED25519 + key).digest()[:ID_BYTES]


def check_name(name: str) -> None:
    """Raise KeyFormatError unless a key can have that name: no space, no plus, not empty."""
    if not name or any(c.isspace() or c == "+" or c < " " or c == "\x7f" for c in name):
        raise KeyFormatError(f"{name!r} cannot name a key: it must have no space and no plus")


def strict_base64(text: str) -> bytes:
    """Return the bytes of standard base64 in its one spelling; ValueError for any other."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if base64.b64encode(data).decode() != text:
        raise ValueError("not base64 in its canonical spelling")
    return data


def _spelled(name: str, identifier: bytes, key: bytes) -> str:
    return f"{name}+{identifier.hex()}+{base64.b64encode(_ED25519 + key).decode()}"


def _parts(text: str, what: str) -> tuple[str, bytes, bytes]:
    """Return name, id and the 32 bytes; a plus may be in the base64, but not before it."""
    wrong = f"a {what} key is a name, eight hexadecimal digits and base64, joined by plus signs"
    try:
        name, identifier, data = text.split("+", 2)
        check_name(name)
        found = strict_base64(data)
        number = bytes.fromhex(identifier)
    except ValueError:
        raise KeyFormatError(wrong) from None
    if len(number) != ID_BYTES or number.hex() != identifier:
        raise KeyFormatError(wrong)
    if found[:1] != _ED25519 or len(found) != 1 + KEY_BYTES:
        raise KeyFormatError(f"the {what} key is not an Ed25519 key")
    return name, number, found[1:]
