"""Checkpoints: signed heads of the ledger's tree, in the forms of C2SP tlog-checkpoint.

A checkpoint says which log it is of (its *origin*), how many entries that has, and their root. It
is a signed note: text, an empty line, and a line for each signature. Whoever holds one holds the
operator to everything up to that size.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from muniment.errors import MunimentError
from muniment.ledger.keys import ID_BYTES, PrivateKey, PublicKey, check_name, strict_base64
from muniment.ledger.tree import HASH_BYTES

MOST_BYTES = 2**20  # of a note: sixteen signatures of any kind take a tenth of that
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_DASH = "— "  # em dash and space, which begin a signature's line


class CheckpointFormatError(MunimentError, ValueError):
    """A text is no checkpoint."""

    def __init__(self, why: str) -> None:
        super().__init__(f"this is no checkpoint: {why}")


class SignatureError(MunimentError):
    """A checkpoint is not signed by the key that it should be signed by."""

    def __init__(self, key: PublicKey, why: str) -> None:
        super().__init__(f"the checkpoint {why}")
        self.key = key


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: its origin, how many entries it has, and the root over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed: three lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: who is said to have signed, with which key, and the signature."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A checkpoint with its signatures, none of which has been verified yet."""

    checkpoint: Checkpoint
    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"

    def names(self, key: PublicKey) -> bool:
        """Whether one of the signatures is said to be that key's."""
        return any((s.name, s.key_id) == (key.name, key.id) for s in self.signatures)

    def verify(self, key: PublicKey) -> Checkpoint:
        """Return the checkpoint if that key signed it for the log of its own name.

        Signatures of other keys are passed over, as signed-note wants it. Raises SignatureError.
        """
        if not self.names(key):
            signers = ", ".join(f"{s.name}+{s.key_id.hex()}" for s in self.signatures)
            raise SignatureError(
                key, f"is not signed by the key {key.name}+{key.id.hex()}, but by {signers}"
            )
        own = [s for s in self.signatures if (s.name, s.key_id) == (key.name, key.id)]
        if not all(key.verify(s.signature, self.text.encode()) for s in own):
            raise SignatureError(key, f"bears a wrong signature of {key.name}")
        if self.checkpoint.origin != key.name:
            raise SignatureError(
                key, f"is of the log {self.checkpoint.origin}, the key of {key.name}"
            )
        return self.checkpoint


def origin(log: str) -> str:
    """Return the name of the log, and of its key, whose genesis entry has that identity."""
    return f"muniment/{log}"


def signed(checkpoint: Checkpoint, key: PrivateKey) -> Note:
    """Return the checkpoint as a note signed by that key."""
    signature = Signature(key.name, key.public.id, key.sign(checkpoint.text.encode()))
    return Note(checkpoint, checkpoint.text, (signature,))


def parse(note: str) -> Note:
    """Read a note; CheckpointFormatError when it is none or its text is no checkpoint's.

    Extension lines, which others may write, are allowed: they are signed, and mean nothing here.
    """
    if len(note) > MOST_BYTES:
        raise CheckpointFormatError("it is too long")
    if _CONTROL.search(note):
        raise CheckpointFormatError("it has control characters")
    text, blank, lines = note.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise CheckpointFormatError("there are no signatures after an empty line")
    text += "\n"
    signatures = tuple(_signature(line) for line in lines[:-1].split("\n"))
    first, *rest = text[:-1].split("\n")
    if len(rest) < 2 or not first or not all(rest):
        raise CheckpointFormatError("its text must have an origin, a size and a root, a line each")
    if not _SIZE.fullmatch(rest[0]):
        raise CheckpointFormatError("its second line is not a number of entries")
    try:
        root = strict_base64(rest[1])
    except ValueError:
        root = b""
    if len(root) != HASH_BYTES:
        raise CheckpointFormatError("its third line is not a root in base64")
    return Note(Checkpoint(first, int(rest[0]), root), text, signatures)


def _signature(line: str) -> Signature:
    wrong = CheckpointFormatError("a line after the empty one is not a signature")
    name, space, encoded = line.removeprefix(_DASH).rpartition(" ")
    if not line.startswith(_DASH) or not space:
        raise wrong
    try:
        check_name(name)
        data = strict_base64(encoded)
    except ValueError:
        raise wrong from None
    if len(data) <= ID_BYTES:
        raise wrong
    return Signature(name, data[:ID_BYTES], data[ID_BYTES:])
