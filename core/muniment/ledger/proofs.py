"""Proofs: one file that shows, without the store, that entries were in a ledger that was signed.

A proof holds a signed checkpoint, entries as the bytes that were hashed, the path of each to the
checkpoint's root, and those payloads that are disclosed with the salt of their commitment. What it
says follows from the file and the signer's public key alone. Its fields are described in
docs/reference/proofs.md.
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
from muniment.ledger.entries import Body
from muniment.ledger.keys import PublicKey, strict_base64
from muniment.ledger.payloads import commitment
from muniment.ledger.tree import leaf_hash, verify_inclusion

FORMAT = "muniment-proof/1"

_T = TypeVar("_T")
_HASH = re.compile(r"[0-9a-f]{64}")


class ProofFormatError(MunimentError, ValueError):
    """A file is no proof: `where` names the field that is not as it must be."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"this is no proof: {f'{where} ' if where else 'it '}{why}")
        self.where = where


class ProofError(MunimentError):
    """A proof does not show what it should; `where` says which part of it."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where} {why}")
        self.where = where


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """An entry: its number, the bytes that were hashed, and its path to the root."""

    number: int
    data: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class DisclosedPayload:
    """A payload laid open: that of the entry, kind and position, with its salt."""

    entry: int
    kind: str
    position: int
    salt: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """What a proof's file holds; nothing of it has been verified yet."""

    checkpoint: str
    entries: tuple[ProvenEntry, ...]
    disclosed: tuple[DisclosedPayload, ...] = ()

    def verify(self, key: PublicKey) -> tuple[Checkpoint, dict[int, Body]]:
        """Return the checkpoint and the entries by number if all of it holds under that key.

        The signature, every entry's form and its path to the root, and every disclosed payload
        are checked. Raises ProofError for the first that does not hold.
        """
        try:
            head = checkpoints.parse(self.checkpoint).verify(key)
        except (CheckpointFormatError, SignatureError) as error:
            raise ProofError("the proof's checkpoint:", str(error)) from None
        bodies = {entry.number: _included(entry, head) for entry in self.entries}
        for payload in self.disclosed:
            _committed(payload, bodies)
        return head, bodies

    def write(self) -> bytes:
        """Return the proof as its file holds it: JSON for people to read."""
        held = {
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
        return json.dumps(held, ensure_ascii=False, indent=1).encode() + b"\n"


def parse(data: bytes) -> Proof:
    """Read a proof's file; ProofFormatError for anything that has other fields than a proof."""
    try:
        held = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ProofFormatError("", f"is not JSON ({error})") from None
    fields = _object("", held, ("format", "checkpoint", "entries", "disclosed"))
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


# ---- what holds -------------------------------------------------------------------------------


def included(entry: ProvenEntry, head: Checkpoint) -> bool:
    """Whether the entry's path leads from its bytes to the root of the checkpoint."""
    leaf = leaf_hash(entry.data)
    return verify_inclusion(leaf, entry.number, head.size, entry.path, head.root)


def _included(entry: ProvenEntry, head: Checkpoint) -> Body:
    where = f"entry {entry.number}"
    if entry.number >= head.size:
        raise ProofError(where, f"is beyond the checkpoint, which has {head.size} entries")
    if not included(entry, head):
        raise ProofError(where, "is not in the ledger that the checkpoint signs")
    try:
        return schema.read(entry.data)
    except (ValueError, RecursionError) as error:
        raise ProofError(
            where, f"cannot be read; a newer Muniment may have written it ({error})"
        ) from None


def _committed(payload: DisclosedPayload, bodies: Mapping[int, Body]) -> None:
    where = f"the disclosed {payload.kind} of entry {payload.entry}"
    body = bodies.get(payload.entry)
    if body is None:
        raise ProofError(where, "belongs to an entry that is not in the proof")
    held = [
        reference.commitment
        for reference in schema.references(body)
        if (reference.kind, reference.position) == (payload.kind, payload.position)
    ]
    if not held:
        raise ProofError(where, "is none that the entry commits to")
    found = commitment(payload.kind, payload.salt, payload.content).hex()
    if not hmac.compare_digest(found, held[0]):
        raise ProofError(where, "is not what the entry commits to")


# ---- reading the file -------------------------------------------------------------------------


def _content(content: bytes) -> dict[str, str]:
    try:
        return {"text": content.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _entry(where: str, value: Any) -> ProvenEntry:
    held = _object(where, value, ("number", "entry", "path"))
    path = _list(f"{where}.path", held["path"], _hash)
    return ProvenEntry(
        _count(f"{where}.number", held["number"]),
        _text(f"{where}.entry", held["entry"]).encode(),
        path,
    )


def _disclosed(where: str, value: Any) -> DisclosedPayload:
    form = "base64" if isinstance(value, dict) and "base64" in value else "text"
    held = _object(where, value, ("entry", "kind", "position", "salt", form))
    content = _text(f"{where}.{form}", held[form])
    try:
        data = content.encode() if form == "text" else strict_base64(content)
    except ValueError:
        raise ProofFormatError(f"{where}.{form}", "is not base64") from None
    return DisclosedPayload(
        _count(f"{where}.entry", held["entry"]),
        _text(f"{where}.kind", held["kind"]),
        _count(f"{where}.position", held["position"]),
        _hash(f"{where}.salt", held["salt"]),
        data,
    )


def _object(where: str, value: Any, names: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ProofFormatError(where, "is not an object")
    if odd := sorted(value.keys() ^ set(names)):
        raise ProofFormatError(where, f"must have {', '.join(names)}: see {', '.join(odd)}")
    return value


def _list(where: str, value: Any, read: Callable[[str, Any], _T]) -> tuple[_T, ...]:
    if not isinstance(value, list):
        raise ProofFormatError(where, "is not a list")
    return tuple(read(f"{where}[{index}]", item) for index, item in enumerate(value))


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


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) != len(pairs):
        raise ValueError("a field is given twice")
    return held


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
