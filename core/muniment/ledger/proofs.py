"""Proofs: files that show that entries belong to a signed ledger, without access to the store.

A proof contains a signed checkpoint, the canonical bytes of entries, the inclusion path of each
entry, and disclosed payloads with their salts. A verifier needs only this file and the signer's
public key. docs/reference/proofs.md describes the fields.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from muniment.errors import MunimentError, explain_invalid
from muniment.ledger import checkpoints, schema
from muniment.ledger.canonical import SAFE
from muniment.ledger.checkpoints import Checkpoint, CheckpointFormatError, SignatureError
from muniment.ledger.entries import Entry, OutcomeEntry, StartedEntry
from muniment.ledger.keys import PublicKey, strict_base64
from muniment.ledger.payloads import commitment
from muniment.ledger.tree import leaf_hash, verify_inclusion
from muniment.representation import showing

FORMAT = "muniment-proof/1"

_Count = Annotated[int, Meta(ge=0, le=SAFE)]
_Hash = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class ProofFormatError(MunimentError, ValueError):
    """A file that is not a valid proof."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"this is not a proof: {reason}")


class ProofError(MunimentError):
    """A proof that does not verify. `where` names the part that failed."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where} {reason}")


class ProvenEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry with its number, its canonical bytes as text and its path from leaf to root."""

    number: _Count
    entry: str
    path: tuple[_Hash, ...]

    __repr__ = showing()

    @classmethod
    def new(cls, number: int, data: bytes, path: Sequence[bytes]) -> ProvenEntry:
        """Return the entry with these canonical bytes and this inclusion path."""
        return cls(number, data.decode(), tuple(step.hex() for step in path))

    @property
    def data(self) -> bytes:
        """The canonical bytes of the entry."""
        return self.entry.encode()


class DisclosedPayload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A disclosed payload with its salt. `entry` is the number of the entry that commits to it.

    The content is `text` if it is UTF-8, and else `base64`.
    """

    entry: _Count
    kind: str
    position: _Count
    salt: _Hash
    text: str | UnsetType = UNSET
    base64: str | UnsetType = UNSET

    __repr__ = showing()

    def __post_init__(self) -> None:
        """Raise ValueError unless there is either a text or canonical base64."""
        if (self.text is UNSET) == (self.base64 is UNSET):
            raise ValueError("it must have either text or base64")
        _ = self.content

    @classmethod
    def new(
        cls, entry: int, kind: str, position: int, salt: bytes, content: bytes
    ) -> DisclosedPayload:
        """Return the payload with this salt and content."""
        try:
            return cls(entry, kind, position, salt.hex(), text=content.decode())
        except UnicodeDecodeError:
            encoded = base64.b64encode(content).decode()
            return cls(entry, kind, position, salt.hex(), base64=encoded)

    @property
    def content(self) -> bytes:
        """The bytes of the payload."""
        return self.text.encode() if self.text is not UNSET else strict_base64(str(self.base64))


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of a proof file, which have not been verified."""

    format: str
    checkpoint: str
    entries: Annotated[tuple[ProvenEntry, ...], Meta(min_length=1)]
    disclosed: tuple[DisclosedPayload, ...]

    __repr__ = showing()

    def __post_init__(self) -> None:
        """Raise ValueError for another format, or an entry or payload that occurs twice."""
        if self.format != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        if len({entry.number for entry in self.entries}) != len(self.entries):
            raise ValueError("it has an entry twice")
        payloads = {(payload.entry, payload.kind, payload.position) for payload in self.disclosed}
        if len(payloads) != len(self.disclosed):
            raise ValueError("it has a payload twice")

    def verify(self, key: PublicKey) -> tuple[Checkpoint, dict[int, Entry]]:
        """Return the checkpoint, and the decoded entries by number, if the whole proof is valid.

        Checks the signature with `key`, and the contents. Raises ProofError for the first part that
        is invalid.
        """
        try:
            head = checkpoints.parse_note(self.checkpoint).verify(key)
        except (CheckpointFormatError, SignatureError) as error:
            raise ProofError("the proof's checkpoint:", str(error)) from None
        return head, self.verify_contents(head)

    def verify_contents(self, head: Checkpoint) -> dict[int, Entry]:
        """Return the decoded entries by number, if the checkpoint `head` covers all contents.

        Checks the form and the inclusion path of each entry, and each disclosed payload. The
        entries must be those of one generation. Does not check the signature. Raises ProofError
        for the first part that is invalid.
        """
        entries = {entry.number: _verified_entry(entry, head) for entry in self.entries}
        _check_generation(entries)
        for payload in self.disclosed:
            _check_commitment(payload, entries)
        return entries

    def write(self) -> bytes:
        """Return the bytes of the proof file, as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def parse_proof(data: bytes) -> Proof:
    """Parse a proof file. Raise ProofFormatError if a field is missing, unknown or invalid."""
    try:
        json.loads(data, object_pairs_hook=_check_unique)  # msgspec accepts a field twice
        return msgspec.json.decode(data, type=Proof)
    except msgspec.ValidationError as error:
        raise ProofFormatError(
            f"{explain_invalid(error, {})}; it was changed, or a newer Muniment wrote it"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ProofFormatError(f"it is not JSON ({error})") from None


# ---- verification -----------------------------------------------------------------------------


def _verified_entry(entry: ProvenEntry, head: Checkpoint) -> Entry:
    """Return the decoded entry. Raise ProofError if the checkpoint does not include it."""
    where = f"entry {entry.number}"
    if entry.number >= head.size:
        raise ProofError(where, f"is beyond the checkpoint, which has {head.size} entries")
    path = [bytes.fromhex(step) for step in entry.path]
    if not verify_inclusion(leaf_hash(entry.data), entry.number, head.size, path, head.root):
        raise ProofError(where, "is not in the ledger that the checkpoint signs")
    try:
        return schema.decode(entry.data)
    except (ValueError, RecursionError) as error:
        raise ProofError(
            where, f"cannot be read; a newer Muniment may have written it ({error})"
        ) from None


def _check_generation(entries: Mapping[int, Entry]) -> None:
    """Raise ProofError unless these are all entries of one generation, in the defined order."""
    (first, started), *rest = entries.items()
    if not isinstance(started, StartedEntry):
        raise ProofError(f"entry {first}", "is first but does not start a generation")
    own = [first]
    if rest and isinstance(outcome := rest[0][1], OutcomeEntry):
        if outcome.generation != first:
            raise ProofError(f"entry {rest[0][0]}", f"is not the outcome of entry {first}")
        own.append(rest[0][0])
    references: set[int] = set()
    for number in own:
        for kind, reference in schema.named(entries[number]):
            if reference >= number or reference not in entries or entries[reference].kind != kind:
                raise ProofError(
                    f"entry {number}",
                    f"needs the {kind} entry {reference}, which is not in the proof",
                )
            references.add(reference)
    if list(entries) != own + sorted(references.difference(own)):
        raise ProofError("the proof", "has entries of another generation, or in another order")


def _check_commitment(payload: DisclosedPayload, entries: Mapping[int, Entry]) -> None:
    """Raise ProofError unless the payload's entry contains its commitment."""
    where = f"the disclosed {payload.kind} of entry {payload.entry}"
    entry = entries.get(payload.entry)
    if entry is None:
        raise ProofError(where, "belongs to an entry that is not in the proof")
    recorded = [
        reference.commitment
        for reference in schema.references(entry)
        if (reference.kind, reference.position) == (payload.kind, payload.position)
    ]
    if not recorded:
        raise ProofError(where, "is not one that the entry commits to")
    computed = commitment(payload.kind, bytes.fromhex(payload.salt), payload.content).hex()
    if not hmac.compare_digest(computed, recorded[0]):
        raise ProofError(where, "was changed after it was recorded")


def _check_unique(pairs: Sequence[tuple[str, Any]]) -> None:
    """Raise ValueError if an object has a field twice."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a field occurs twice")
