"""Payloads: what people wrote and models said, tied to an entry by a salted commitment.

An entry can never be erased, a payload can. What the entry keeps of it, HMAC-SHA-256 under the
payload's own random salt, proves nothing and tells nothing once salt and content are gone.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["prompt", "request", "output", "trace", "detail", "actor", "policy"]

ID_BYTES = 16
SALT_BYTES = 32


def commitment(kind: str, salt: bytes, content: bytes) -> bytes:
    """Return HMAC-SHA-256 under `salt` of the kind, a zero byte and the content."""
    return hmac.digest(salt, kind.encode() + b"\x00" + content, "sha256")


@dataclass(frozen=True, slots=True)
class Payload:
    """One erasable piece of text or bytes.

    `owner` is the id of what it belongs to (a generation, an actor, a policy); `position` tells
    several of one kind apart, such as a generation's outputs.
    """

    owner: str
    kind: Kind
    position: int
    id: bytes
    salt: bytes
    content: bytes

    @classmethod
    def new(cls, owner: str, kind: Kind, content: bytes, position: int = 0) -> Payload:
        """Make a payload with a random id and salt of its own."""
        random = os.urandom(ID_BYTES + SALT_BYTES)
        return cls(owner, kind, position, random[:ID_BYTES], random[ID_BYTES:], content)

    @property
    def ref(self) -> dict[str, str]:
        """What an entry holds of this payload."""
        return {
            "payload": self.id.hex(),
            "commitment": commitment(self.kind, self.salt, self.content).hex(),
        }
