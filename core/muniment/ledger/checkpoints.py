"""Checkpoints: signed tree heads of the ledger, in the format of C2SP tlog-checkpoint.

A checkpoint contains the identity of a log (its *origin*), the number of its entries, and the root
hash of its tree. It is a signed note, which is a text, an empty line, and one line per signature.
With a saved checkpoint, an auditor can detect any later change of the entries that it covers.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from muniment.errors import MunimentError, VerificationError
from muniment.ledger.keys import ID_BYTES, PrivateKey, PublicKey, check_name, strict_base64
from muniment.ledger.tree import HASH_BYTES
from muniment.representation import showing

MAX_CHARACTERS = 2**20  # of a note; sixteen signatures of any kind take a tenth of that
_DASH = "— "  # em dash and space, the start of each signature line
_LINE = r"[^\x00-\x1f]+"
_NOTE = re.compile(
    rf"(?P<text>(?P<origin>{_LINE})\n(?P<size>0|[1-9][0-9]{{0,18}})\n(?P<root>{_LINE})\n"
    rf"(?:{_LINE}\n)*)\n(?P<signatures>(?:{_DASH}{_LINE}\n)+)"
)


class CheckpointFormatError(MunimentError, ValueError):
    """A text that is not a valid checkpoint."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"this is not a checkpoint: {reason}")


class SignatureError(VerificationError):
    """A checkpoint without a valid signature of the expected key."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the checkpoint {reason}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head, with the log's origin, its number of entries and its root hash (32 bytes)."""

    origin: str
    size: int
    root: bytes

    __repr__ = showing()

    @property
    def text(self) -> str:
        """The signed text of three lines: origin, size and root hash in base64."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line of a note, with the key's name, its 4-byte id and the signature.

    The name and the id are unverified claims.
    """

    name: str
    key_id: bytes
    signature: bytes

    __repr__ = showing()

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A checkpoint with its signatures, which have not been verified.

    `text` is the signed text, including extension lines.
    """

    checkpoint: Checkpoint
    text: str
    signatures: tuple[Signature, ...]

    __repr__ = showing()

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"

    def names(self, key: PublicKey) -> bool:
        """Return whether a signature line has the name and id of that key, without verifying it."""
        return any((s.name, s.key_id) == (key.name, key.id) for s in self.signatures)

    def verify(self, key: PublicKey) -> Checkpoint:
        """Return the checkpoint if that key signed it and its origin is the key's name.

        Signatures of other keys are ignored, as C2SP signed-note requires. Raises SignatureError.
        """
        if not self.names(key):
            signers = ", ".join(f"{s.name}+{s.key_id.hex()}" for s in self.signatures)
            raise SignatureError(
                f"is not signed by the key {key.name}+{key.id.hex()}, but by {signers}"
            )
        matches = [s for s in self.signatures if (s.name, s.key_id) == (key.name, key.id)]
        if not all(key.verify(s.signature, self.text.encode()) for s in matches):
            raise SignatureError(f"has a wrong signature of {key.name}")
        if self.checkpoint.origin != key.name:
            raise SignatureError(
                f"belongs to the log {self.checkpoint.origin}, but the key to {key.name}"
            )
        return self.checkpoint


def origin(log: str) -> str:
    """Return the origin of the log with that identity, which is also the name of its key.

    The identity is recorded in the log's genesis entry.
    """
    return f"muniment/{log}"


def sign_checkpoint(checkpoint: Checkpoint, key: PrivateKey) -> Note:
    """Return the checkpoint as a note signed by that key."""
    signature = Signature(key.name, key.public.id, key.sign(checkpoint.text.encode()))
    return Note(checkpoint, checkpoint.text, (signature,))


def parse_note(note: str) -> Note:
    """Parse a signed note. Raise CheckpointFormatError if it is not a checkpoint.

    Extension lines of other implementations are accepted. They are a part of the signed text and
    are otherwise ignored.
    """
    match = _NOTE.fullmatch(note) if len(note) <= MAX_CHARACTERS else None
    if match is None:
        raise CheckpointFormatError(
            "it needs an origin, a number of entries and a root hash, a line each, then an empty "
            "line and signatures"
        )
    try:
        root = strict_base64(match["root"])
        signatures = tuple(map(_signature, match["signatures"][:-1].split("\n")))
    except ValueError as error:
        raise CheckpointFormatError(str(error)) from None
    if len(root) != HASH_BYTES:
        raise CheckpointFormatError("its root is not a hash of 32 bytes")
    return Note(Checkpoint(match["origin"], int(match["size"]), root), match["text"], signatures)


def _signature(line: str) -> Signature:
    """Return the signature of a line. Raise ValueError for an invalid name or signature."""
    name, _, encoded = line.removeprefix(_DASH).rpartition(" ")
    check_name(name)
    data = strict_base64(encoded)
    if len(data) <= ID_BYTES:
        raise ValueError("a signature is too short")
    return Signature(name, data[:ID_BYTES], data[ID_BYTES:])
