"""Payloads: content of users and models, bound to a ledger entry by a salted commitment.

A payload can be erased, an entry cannot. The entry contains only a commitment, which is an
HMAC-SHA-256 with the payload's own random salt as the key. After the salt and the content are
destroyed, the commitment reveals nothing about the content.
"""

from __future__ import annotations

import hmac
import os
from typing import Literal, NamedTuple, TypeAlias, get_args

from muniment.representation import showing

Kind: TypeAlias = Literal[
    "prompt",
    "request",
    "output",
    "trace",
    "detail",
    "actor",
    "policy",
    "comment",
    "reason",
    "replay",
    "model",
    "input",
    "fingerprint",
    "training",
    "design",
    "references",
]

KINDS: tuple[Kind, ...] = get_args(Kind)
SALT_BYTES = 32


def commitment(kind: str, salt: bytes, content: bytes) -> bytes:
    """Return the HMAC-SHA-256, with `salt` as the key, of the kind, a zero byte and the content."""
    return hmac.digest(salt, kind.encode() + b"\x00" + content, "sha256")


def selection_commitment(salt: bytes, data: bytes) -> str:
    """Return the commitment to the selection of a list, in hexadecimal.

    `salt` is that of the output's payload. `selection` is no kind of payload, so that no payload
    has this commitment.
    """
    return commitment("selection", salt, data).hex()


_representation = showing()  # a named tuple can only define it


class Payload(NamedTuple):
    """One erasable text or byte string, with the salt of its commitment.

    `position` numbers several payloads of one kind in an entry, such as a generation's outputs.
    """

    kind: Kind
    position: int
    salt: bytes
    content: bytes

    def __repr__(self) -> str:
        return _representation(self)

    @property
    def commitment(self) -> str:
        """The commitment that the entry contains, in hexadecimal."""
        return commitment(self.kind, self.salt, self.content).hex()


class Payloads(list[Payload]):
    """The payloads of an entry that is being made."""

    def add(self, kind: Kind, content: bytes, position: int = 0, salt: bytes | None = None) -> str:
        """Add a payload with a new salt, or this one, and return its commitment for the entry."""
        salt = os.urandom(SALT_BYTES) if salt is None else salt
        self.append(payload := Payload(kind, position, salt, content))
        return payload.commitment

    def add_optional(self, kind: Kind, content: bytes | None) -> str | None:
        """Add a payload, or return None without content."""
        return None if content is None else self.add(kind, content)
