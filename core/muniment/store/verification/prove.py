"""Create the proof that a generation is in the ledger, for a verifier without the store."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import Connection, select

from muniment.errors import UnknownNameError, UsageError, VerificationError
from muniment.ledger import schema
from muniment.ledger.checkpoints import Note
from muniment.ledger.entries import Entry
from muniment.ledger.payloads import commitment
from muniment.ledger.proofs import FORMAT, DisclosedPayload, Proof, ProvenEntry, is_included
from muniment.ledger.tree import inclusion_proof
from muniment.store.database.tables import entry, generation, payload
from muniment.store.recording.tree_heads import node_reader


class NotProvableError(UsageError):
    """A generation that the checkpoint does not cover, or a payload that is missing or erased."""

    def __init__(self, id: str, why: str) -> None:
        super().__init__(f"generation {id} cannot be proven: {why}")
        self.id = id


def prove(connection: Connection, id: str, note: Note, disclose: Collection[str]) -> Proof:
    """Return the proof that a generation is in the ledger that the checkpoint `note` signs.

    The proof contains the `started` and `outcome` entries and the entries that they refer to:
    actor, policy, environment and plugins. `disclose` has the kinds of payloads to include.
    Raises UnknownNameError for an id that is not recorded. Raises NotProvableError if the
    checkpoint is older than the generation or a payload to disclose is missing. Raises
    VerificationError if the stored entries are not the signed ones.
    """
    row = connection.execute(
        select(generation.c.seq, generation.c.outcome).where(generation.c.id == id)
    ).one_or_none()
    if row is None:
        raise UnknownNameError("generation", id)
    own = [number for number in (row.seq, row.outcome) if number is not None]
    size = note.checkpoint.size
    if own[-1] >= size:
        raise NotProvableError(
            id, f"it was recorded after the {size} entries of the checkpoint; sign a new checkpoint"
        )
    data = _entry_bytes(connection, own)
    entries = {number: schema.decode(data[number]) for number in own}
    references = {number for item in entries.values() for _, number in schema.named(item)}
    references -= set(own)
    data |= _entry_bytes(connection, sorted(references))
    entries |= {number: schema.decode(data[number]) for number in sorted(references)}
    read = node_reader(connection)
    # Shared by all entries: their paths have most nodes in common.
    subtrees: dict[tuple[int, int], bytes] = {}
    proven_entries = tuple(
        ProvenEntry.new(number, data[number], inclusion_proof(number, size, read, subtrees))
        for number in entries
    )
    for proven in proven_entries:
        if not is_included(proven, note.checkpoint):
            raise VerificationError(
                f"entry {proven.number} is not the entry that was signed with {size} entries; run "
                "`muniment audit verify` to find the altered entries"
            )
    disclosed = tuple(_disclosed_payloads(connection, id, entries, disclose))
    return Proof(FORMAT, str(note), proven_entries, disclosed)


def _entry_bytes(connection: Connection, numbers: Collection[int]) -> dict[int, bytes]:
    rows = connection.execute(
        select(entry.c.seq, entry.c.canonical_bytes).where(entry.c.seq.in_(numbers))
    )
    return dict(rows.tuples().all())


def _disclosed_payloads(
    connection: Connection, id: str, entries: dict[int, Entry], kinds: Collection[str]
) -> Iterator[DisclosedPayload]:
    """Yield the payloads of the given kinds. Raise NotProvableError if one is missing."""
    missing = set(kinds)
    if not missing:
        return
    rows = connection.execute(
        select(payload).where(payload.c.entry.in_(entries), payload.c.kind.in_(kinds))
    )
    stored = {(row.entry, row.kind, row.position): row for row in rows}
    for number, item in entries.items():
        for reference in schema.references(item):
            if reference.kind not in kinds:
                continue
            missing.discard(reference.kind)
            row = stored.get((number, reference.kind, reference.position))
            if row is None:
                raise NotProvableError(id, f"its {reference.kind} was erased")
            if commitment(row.kind, row.salt, row.content).hex() != reference.commitment:
                raise NotProvableError(
                    id, f"its {reference.kind} was changed after it was recorded"
                )
            yield DisclosedPayload.new(
                number, reference.kind, reference.position, row.salt, row.content
            )
    if missing:
        raise NotProvableError(
            id, f"it has no {' and no '.join(sorted(missing))}, which cannot be disclosed"
        )
