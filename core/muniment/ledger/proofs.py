"""Proofs: files that show that entries belong to a signed ledger, without access to the store.

A proof contains a signed checkpoint, the canonical bytes of entries, the inclusion path of each
entry, and disclosed payloads with their salts. A verifier needs only this file and the signer's
public key. docs/reference/proofs.md describes the fields.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from muniment.errors import MunimentError
from muniment.ledger import checkpoints, schema
from muniment.ledger.canonical import SAFE
from muniment.ledger.checkpoints import Checkpoint, CheckpointFormatError, SignatureError
from muniment.ledger.entries import Entry
from muniment.ledger.keys import PublicKey, strict_base64
from muniment.ledger.payloads import commitment
from muniment.ledger.tree import leaf_hash, verify_inclusion

FORMAT = "muniment-proof/1"

_T = TypeVar("_T")
_HASH = re.compile(r"[0-9a-f]{64}")


class ProofFormatError(MunimentError, ValueError):
    """A file that is not a valid proof. `where` is the path of the invalid field."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"this is not a proof: {f'{where} ' if where else 'it '}{reason}")
        self.where = where


class ProofError(MunimentError):
    """A proof that does not verify. `where` names the part that failed."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where} {reason}")
        self.where = where


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """An entry with its number, its canonical bytes and its inclusion path, leaf to root."""

    number: int
    data: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class DisclosedPayload:
    """A disclosed payload with its salt. `entry` is the number of the entry that commits to it."""

    entry: int
    kind: str
    position: int
    salt: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """The contents of a proof file, which have not been verified."""

    checkpoint: str
    entries: tuple[ProvenEntry, ...]
    disclosed: tuple[DisclosedPayload, ...] = ()

    def verify(self, key: PublicKey) -> tuple[Checkpoint, dict[int, Entry]]:
        """Return the checkpoint, and the decoded entries by number, if the whole proof is valid.

        Checks the signature with `key`, the form and the inclusion path of each entry, and each
        disclosed payload. Raises ProofError for the first part that is invalid.
        """
        try:
            head = checkpoints.parse_note(self.checkpoint).verify(key)
        except (CheckpointFormatError, SignatureError) as error:
            raise ProofError("the proof's checkpoint:", str(error)) from None
        entries = {entry.number: _verified_entry(entry, head) for entry in self.entries}
        for payload in self.disclosed:
            _check_commitment(payload, entries)
        return head, entries

    def write(self) -> bytes:
        """Return the bytes of the proof file, as indented JSON."""
        fields = {
            "format": FORMAT,
            "checkpoint": self.checkpoint,
            "entries": [
                {
                    "number": entry.number,
                    "entry": entry.data.decode(),
                    "path": [step.hex() for step in entry.path],
                }
                for entry in self.entries
            ],
            "disclosed": [
                {
                    "entry": payload.entry,
                    "kind": payload.kind,
                    "position": payload.position,
                    "salt": payload.salt.hex(),
                    **_content(payload.content),
                }
                for payload in self.disclosed
            ],
        }
        return json.dumps(fields, ensure_ascii=False, indent=1).encode() + b"\n"


def parse_proof(data: bytes) -> Proof:
    """Parse a proof file. Raise ProofFormatError if a field is missing, unknown or invalid."""
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=_unique_fields, parse_constant=_reject_constant
        )
    except (ValueError, RecursionError) as error:
        raise ProofFormatError("", f"is not JSON ({error})") from None
    fields = _object("", value, ("format", "checkpoint", "entries", "disclosed"))
    if fields["format"] != FORMAT:
        raise ProofFormatError("format", f"is not {FORMAT}")
    entries = _list("entries", fields["entries"], _entry)
    if not entries:
        raise ProofFormatError("entries", "is empty")
    if len({entry.number for entry in entries}) != len(entries):
        raise ProofFormatError("entries", "has an entry twice")
    return Proof(
        _text("checkpoint", fields["checkpoint"]),
        entries,
        _list("disclosed", fields["disclosed"], _disclosed),
    )


# ---- verification -----------------------------------------------------------------------------


def is_included(entry: ProvenEntry, head: Checkpoint) -> bool:
    """Return whether the entry's path leads from its bytes to the root of the checkpoint."""
    leaf = leaf_hash(entry.data)
    return verify_inclusion(leaf, entry.number, head.size, entry.path, head.root)


def _verified_entry(entry: ProvenEntry, head: Checkpoint) -> Entry:
    """Return the decoded entry. Raise ProofError if the checkpoint does not include it."""
    where = f"entry {entry.number}"
    if entry.number >= head.size:
        raise ProofError(where, f"is beyond the checkpoint, which has {head.size} entries")
    if not is_included(entry, head):
        raise ProofError(where, "is not in the ledger that the checkpoint signs")
    try:
        return schema.decode(entry.data)
    except (ValueError, RecursionError) as error:
        raise ProofError(
            where, f"cannot be read; a newer Muniment may have written it ({error})"
        ) from None


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
    computed = commitment(payload.kind, payload.salt, payload.content).hex()
    if not hmac.compare_digest(computed, recorded[0]):
        raise ProofError(where, "was changed after it was recorded")


# ---- fields of the file -----------------------------------------------------------------------


def _content(content: bytes) -> dict[str, str]:
    """Return the field `text` of UTF-8 content, and the field `base64` of other content."""
    try:
        return {"text": content.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _entry(where: str, value: Any) -> ProvenEntry:
    fields = _object(where, value, ("number", "entry", "path"))
    path = _list(f"{where}.path", fields["path"], _hash)
    return ProvenEntry(
        _count(f"{where}.number", fields["number"]),
        _text(f"{where}.entry", fields["entry"]).encode(),
        path,
    )


def _disclosed(where: str, value: Any) -> DisclosedPayload:
    encoding = "base64" if isinstance(value, dict) and "base64" in value else "text"
    fields = _object(where, value, ("entry", "kind", "position", "salt", encoding))
    text = _text(f"{where}.{encoding}", fields[encoding])
    try:
        content = text.encode() if encoding == "text" else strict_base64(text)
    except ValueError:
        raise ProofFormatError(f"{where}.{encoding}", "is not base64") from None
    return DisclosedPayload(
        _count(f"{where}.entry", fields["entry"]),
        _text(f"{where}.kind", fields["kind"]),
        _count(f"{where}.position", fields["position"]),
        _hash(f"{where}.salt", fields["salt"]),
        content,
    )


def _object(where: str, value: Any, names: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ProofFormatError(where, "is not an object")
    if unmatched := sorted(value.keys() ^ set(names)):
        raise ProofFormatError(
            where, f"must have {', '.join(names)}; missing or unknown: {', '.join(unmatched)}"
        )
    return value


def _list(where: str, value: Any, parse_item: Callable[[str, Any], _T]) -> tuple[_T, ...]:
    if not isinstance(value, list):
        raise ProofFormatError(where, "is not a list")
    return tuple(parse_item(f"{where}[{index}]", item) for index, item in enumerate(value))


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ProofFormatError(where, "is not text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ProofFormatError(where, "is not valid Unicode") from None
    return value


def _count(where: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value <= SAFE:
        raise ProofFormatError(where, "is not a whole number")
    return value


def _hash(where: str, value: Any) -> bytes:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ProofFormatError(where, "is not 64 hexadecimal digits")
    return bytes.fromhex(value)


def _unique_fields(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field occurs twice")
    return fields


def _reject_constant(name: str) -> None:
    """Raise ValueError for NaN and Infinity, which Python's parser accepts but JSON forbids."""
    raise ValueError(f"{name} is not JSON")
