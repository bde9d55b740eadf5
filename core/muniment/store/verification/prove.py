"""Create the proof that a generation is in the ledger, for a verifier without the store."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from sqlalchemy import Connection, select

from muniment.errors import UnknownNameError, UsageError, VerificationError
from muniment.ledger import schema
from muniment.ledger.checkpoints import Note
from muniment.ledger.entries import Entry, StartedEntry
from muniment.ledger.payloads import commitment
from muniment.ledger.proofs import FORMAT, DisclosedPayload, Proof, ProofError, ProvenEntry
from muniment.ledger.tree import MissingNodesError, inclusion_proof
from muniment.store.database.nodes import node_reader
from muniment.store.database.tables import entry, generation, payload


def prove(connection: Connection, id: str, note: Note, disclose: Collection[str]) -> Proof:
    """Return the proof that a generation is in the ledger that the checkpoint `note` signs.

    The proof contains the `started` and `outcome` entries and the entries that they refer to:
    actor, policy, environment, plugins and inputs. `disclose` has the kinds of payloads to include.
    Raises UnknownNameError for an id that is not recorded. Raises UsageError if the
    checkpoint is older than the generation or a payload to disclose is missing. The proof is
    verified, except for its signature. Raises VerificationError if it is invalid, because stored
    entries are not the signed ones or the query tables name others.
    """
    row = connection.execute(
        select(generation.c.seq, generation.c.outcome).where(generation.c.id == id)
    ).one_or_none()
    if row is None:
        raise UnknownNameError("generation", id)
    own = [number for number in (row.seq, row.outcome) if number is not None]
    size = note.checkpoint.size
    if own[-1] >= size:
        raise _not_provable(
            id, f"it was recorded after the {size} entries of the checkpoint; sign a new checkpoint"
        )
    stored = _read_entries(connection, own)
    entries = _decode(stored)
    started = entries.get(row.seq)
    if not isinstance(started, StartedEntry) or started.generation != id:
        raise _altered(id, f"entry {row.seq} does not start it")
    references = {number for item in entries.values() for _, number in schema.named(item)}
    others = _read_entries(connection, references.difference(own))
    stored |= others
    entries |= _decode(others)
    read = node_reader(connection)
    # Shared by all entries: their paths have most nodes in common.
    subtrees: dict[tuple[int, int], bytes] = {}
    disclosed = tuple(_disclosed_payloads(connection, id, entries, disclose))
    try:
        proven_entries = tuple(
            ProvenEntry.new(number, data, inclusion_proof(number, size, read, subtrees))
            for number, data in stored.items()
        )
        proof = Proof(FORMAT, str(note), proven_entries, disclosed)
        proof.verify_contents(note.checkpoint)
    except (MissingNodesError, ProofError) as error:
        raise _altered(id, str(error)) from None
    return proof


def _not_provable(id: str, why: str) -> UsageError:
    return UsageError(f"generation {id} cannot be proven: {why}")


def _altered(id: str, why: str) -> VerificationError:
    return VerificationError(
        f"generation {id} cannot be proven: {why}; run `muniment audit verify --all` to find what "
        "was altered"
    )


def _read_entries(connection: Connection, numbers: Collection[int]) -> dict[int, bytes]:
    """Return the stored bytes of the entries with these numbers, in order."""
    rows = connection.execute(
        select(entry.c.seq, entry.c.canonical_bytes)
        .where(entry.c.seq.in_(numbers))
        .order_by(entry.c.seq)
    )
    return dict(rows.tuples().all())


def _decode(stored: Mapping[int, bytes]) -> dict[int, Entry]:
    """Return stored entries. Raise VerificationError if the bytes of one are not an entry."""
    entries = {}
    for number, data in stored.items():
        try:
            entries[number] = schema.decode(data)
        except (ValueError, RecursionError) as error:
            raise VerificationError(
                f"entry {number} cannot be read ({error}); run `muniment audit verify --all` to "
                "find what was altered"
            ) from None
    return entries


def _disclosed_payloads(
    connection: Connection, id: str, entries: dict[int, Entry], kinds: Collection[str]
) -> Iterator[DisclosedPayload]:
    """Yield the payloads of the given kinds. Raise UsageError if one is missing."""
    missing = set(kinds)
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
                raise _not_provable(id, f"its {reference.kind} was erased")
            if commitment(row.kind, row.salt, row.content).hex() != reference.commitment:
                raise _altered(id, f"its {reference.kind} was changed after it was recorded")
            yield DisclosedPayload.new(
                number, reference.kind, reference.position, row.salt, row.content
            )
    if missing:
        present = " and ".join(sorted(set(kinds) - missing))
        remedy = f"disclose only its {present}" if present else "disclose something else"
        raise _not_provable(
            id, f"it has no {' and no '.join(sorted(missing))} to disclose; {remedy}"
        )
