"""Payloads: what people wrote and models said, tied to an entry by a salted commitment.

An entry can never be erased, a payload can. What the entry keeps of it, HMAC-SHA-256 under the
payload's own random salt, proves nothing and tells nothing once salt and content are gone.
"""

from __future__ import annotations

import hmac
import os
from typing import Literal, NamedTuple, TypeAlias, get_args

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
]

KINDS: tuple[Kind, ...] = get_args(Kind)
SALT_BYTES = 32


def commitment(kind: str, salt: bytes, content: bytes) -> bytes:
    """Return HMAC-SHA-256 under `salt` of the kind, a zero byte and the content."""
    return hmac.digest(salt, kind.encode() + b"\x00" + content, "sha256")


class Payload(NamedTuple):
    """One erasable piece of text or bytes, which belongs to the entry that commits to it.

    `position` tells several of one kind apart, such as a generation's outputs.
    """

    kind: Kind
    position: int
    salt: bytes
    content: bytes

    @classmethod
    def new(cls, kind: Kind, content: bytes, position: int = 0) -> Payload:
        """Make a payload with a random salt of its own."""
        return cls(kind, position, os.urandom(SALT_BYTES), content)

    @property
    def commitment(self) -> str:
        """What the entry holds of this payload, in hexadecimal."""
        return commitment(self.kind, self.salt, self.content).hex()
