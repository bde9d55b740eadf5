"""Compare the ledger with signed checkpoints, inside and outside the store.

A checkpoint fixes the entries up to its size: none of them may be missing or different. A
checkpoint outside the store, in the folder of the key or with another person, also detects a
rollback of the complete store.
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
    parse_note,
)
from muniment.ledger.keys import PublicKey
from muniment.store.database.raw import raw
from muniment.store.database.tables import checkpoint
from muniment.store.recording.tree_heads import key_of
from muniment.store.verification.report import Report


@dataclass(frozen=True, slots=True)
class TrustedCheckpoint:
    """A checkpoint with the name that problems use for it, such as the path of its file."""

    name: str
    note: Note


class SignatureComparison:
    """Comparison of the ledger with checkpoints, and of their signatures with a public key."""

    def __init__(
        self,
        connection: Connection,
        report: Report,
        key: PublicKey | None,
        trusted: Sequence[TrustedCheckpoint],
    ) -> None:
        """Read the stored checkpoints. `trusted` are the checkpoints outside the store."""
        self._report, self._key = report, key
        self._outside = list(trusted)
        self._inside = [*self._stored_checkpoints(connection)]
        checkpoints = (*self._inside, *self._outside)
        # The sizes in ascending order of the trees whose roots `finish` needs.
        self.sizes = sorted({trusted.note.checkpoint.size for trusted in checkpoints})

    def finish(self, roots: Mapping[int, bytes | None], size: int, log: str | None) -> int:
        """Compare the checkpoints with the ledger and their signatures with the key.

        `roots` are the computed roots by size, `size` is the number of entries, and `log` is
        the ledger's identity. Return the number of the newest entries that no valid signature
        covers, which is `size` without a key.
        """
        signed = 0
        any_by_key = False
        for trusted in (*self._inside, *self._outside):
            matches = self._matches_ledger(trusted, roots, size, log)
            if self._key is None or not trusted.note.names(self._key):
                continue
            any_by_key = True
            try:
                trusted.note.verify(self._key)
            except SignatureError as error:
                self._report.add("signature", trusted.name, str(error))
                continue
            if matches:
                signed = max(signed, trusted.note.checkpoint.size)
        if self._key is not None:
            self._report_other_signers(self._key, any_by_key)
        return size - signed

    def _matches_ledger(
        self,
        trusted: TrustedCheckpoint,
        roots: Mapping[int, bytes | None],
        size: int,
        log: str | None,
    ) -> bool:
        """Report the difference between a checkpoint and the ledger. Return whether they match."""
        checkpoint = trusted.note.checkpoint
        if log is not None and checkpoint.origin != origin(log):
            problem = f"it belongs to log {checkpoint.origin}, but the store is log {origin(log)}"
        elif checkpoint.size > size:
            problem = (
                f"it has {checkpoint.size} entries, but the store has {size}: the store was "
                "truncated or rolled back"
            )
        elif roots.get(checkpoint.size) != checkpoint.root:
            problem = f"the first {checkpoint.size} entries differ from the signed ones"
        else:
            return True
        self._report.add("checkpoint", trusted.name, problem)
        return False

    def _report_other_signers(self, key: PublicKey, any_by_key: bool) -> None:
        """Report the checkpoints outside the store that another key signed, or missing ones."""
        # Only those outside: a store may still contain the last checkpoint of an earlier key.
        others = [trusted for trusted in self._outside if not trusted.note.names(key)]
        for trusted in others:
            self._report.add(
                "signature", trusted.name, f"it is signed by {_signers([trusted])}, not by {key}"
            )
        if not any_by_key and not others:
            by = f", only by {_signers(self._inside)}" if self._inside else ""
            self._report.add("signature", "checkpoint", f"no checkpoint is signed by {key}{by}")

    def _stored_checkpoints(self, connection: Connection) -> Iterator[TrustedCheckpoint]:
        """Yield the checkpoints in the store, and report rows that contradict their text."""
        for row in connection.execute(select(*raw(checkpoint))).all():
            where = f"checkpoint {row.key}"
            try:
                note = parse_note(row.note)
            except (CheckpointFormatError, TypeError):
                self._report.add("checkpoint", where, "its text is not a checkpoint")
                continue
            if row.size != note.checkpoint.size:
                self._report.add("checkpoint", where, "its size differs from the size in its text")
            if row.key != key_of(note):
                self._report.add("checkpoint", where, "its key differs from the key in its text")
            yield TrustedCheckpoint(where, note)


def _signers(checkpoints: Sequence[TrustedCheckpoint]) -> str:
    return ", ".join(key_of(trusted.note) for trusted in checkpoints)
