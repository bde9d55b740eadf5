"""Verifying signatures: the checkpoints in the store, and those that were kept outside it.

A checkpoint holds the ledger to everything up to its size: entries that were there must still be
there, and be the same. One that lies outside the store, beside the key or with someone else, also
tells when the whole store was rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from muniment.ledger.checkpoints import (
    CheckpointFormatError,
    Note,
    SignatureError,
    origin,
    parse,
)
from muniment.ledger.keys import PublicKey
from muniment.store.database.raw import raw
from muniment.store.database.tables import checkpoint
from muniment.store.recording.tree_heads import key_of
from muniment.store.verification.report import Report


@dataclass(frozen=True, slots=True)
class TrustedCheckpoint:
    """A checkpoint that was kept outside the store; `name` is what it is called in sentences."""

    name: str
    note: Note


class SignatureComparison:
    """Checks the ledger against checkpoints, and these against a key where one is known."""

    def __init__(
        self,
        connection: Connection,
        report: Report,
        key: PublicKey | None,
        held: Sequence[TrustedCheckpoint],
    ) -> None:
        self._report, self._key = report, key
        self._outside = list(held)
        self._inside = [*self._kept(connection)]

    @property
    def sizes(self) -> list[int]:
        """The sizes of the tree whose roots `finish` needs, in order."""
        heads = (*self._inside, *self._outside)
        return sorted({head.note.checkpoint.size for head in heads})

    def finish(self, roots: Mapping[int, bytes | None], size: int, log: str | None) -> int:
        """Compare with the roots that the entries make; `log` is the ledger's identity.

        Return how many of the newest entries no good signature covers: all, without a key.
        """
        signed = 0
        found = False
        for head in (*self._inside, *self._outside):
            good = self._fits(head, roots, size, log)
            if self._key is None or not head.note.names(self._key):
                continue
            found = True
            try:
                head.note.verify(self._key)
            except SignatureError as error:
                self._add("signature", head.name, str(error))
                continue
            if good:
                signed = max(signed, head.note.checkpoint.size)
        if self._key is not None:
            self._refuse_strangers(self._key, found)
        return size - signed

    def _fits(
        self, head: TrustedCheckpoint, roots: Mapping[int, bytes | None], size: int, log: str | None
    ) -> bool:
        checkpoint = head.note.checkpoint
        if log is not None and checkpoint.origin != origin(log):
            problem = f"it is of the log {checkpoint.origin}, and the store is {origin(log)}"
        elif checkpoint.size > size:
            problem = (
                f"it has {checkpoint.size} entries and the store {size}: the end was cut off, or "
                "the whole store rolled back"
            )
        elif roots.get(checkpoint.size) != checkpoint.root:
            problem = f"the first {checkpoint.size} entries are not those that it has"
        else:
            return True
        self._add("checkpoint", head.name, problem)
        return False

    def _refuse_strangers(self, key: PublicKey, found: bool) -> None:
        """Note checkpoints that others signed, where the key's own were to be expected.

        A store may keep what an earlier key signed; what was kept outside is the key's or wrong.
        """
        strange = [head for head in self._outside if not head.note.names(key)]
        for head in strange:
            self._add("signature", head.name, f"it is signed by {_signers([head])}, not by {key}")
        if not found and not strange:
            by = f"; there are some by {_signers(self._inside)}" if self._inside else ""
            self._add("signature", "checkpoint", f"no checkpoint is signed by {key}{by}")

    def _kept(self, connection: Connection) -> Iterator[TrustedCheckpoint]:
        for row in connection.execute(select(*raw(checkpoint))).all():
            where = f"checkpoint {row.key}"
            try:
                note = parse(row.note)
            except (CheckpointFormatError, TypeError):
                self._add("checkpoint", where, "its text is no checkpoint")
                continue
            if row.size != note.checkpoint.size:
                self._add("checkpoint", where, "its size is not what its text says")
            if row.key != key_of(note):
                self._add("checkpoint", where, "its key is not what its text says")
            yield TrustedCheckpoint(where, note)

    def _add(self, kind: str, where: str, message: str) -> None:
        self._report.add(kind, where, message)


def _signers(heads: Sequence[TrustedCheckpoint]) -> str:
    return ", ".join(key_of(head.note) for head in heads)
