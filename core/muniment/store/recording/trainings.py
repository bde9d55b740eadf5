"""Record and read the trainings of models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection, LargeBinary, exists, func, literal, select

from muniment.ledger.events import ModelEntry, TrainingEntry
from muniment.ledger.payload_texts import TrainingText, encode_text
from muniment.ledger.payloads import Payloads
from muniment.store.database.engine import Database, chunks
from muniment.store.database.tables import entry, event, generation
from muniment.store.recording import references
from muniment.store.recording.events import (
    Events,
    RecordedEvent,
    has_key,
    read_events,
    select_events,
)
from muniment.store.recording.ledger import PreparedEntry, append_with_rows, prepare
from muniment.types.plugins import PluginRef

if TYPE_CHECKING:
    from muniment.models.training import CheckedTraining, TrainingClaim


class Trainings:
    """The trainings of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, actor: str, training: CheckedTraining, plugins: Sequence[PluginRef]
    ) -> RecordedEvent[TrainingEntry]:
        """Record a training, and return it. `plugins` are the core and the plugin that trained."""
        numbers = references.numbers(self._database, {"plugin": plugins})
        prepared = _prepare(
            Events(self._database).by(actor),
            training.claim,
            training.texts,
            result=training.result,
            plugins=[numbers["plugin", plugin] for plugin in plugins],
        )
        with self._database.writing() as connection:
            number = append_with_rows(connection, prepared)
        with self._database.reading() as connection:
            [recorded] = read_events(connection, TrainingEntry, [number])
        return recorded

    def claimed(self, actor: str, claim: TrainingClaim, digest: str) -> PreparedEntry:
        """Return the training that the `training.json` of a model claims, for `Events.add_model`.

        `digest` is that of the model.
        """
        by = Events(self._database).by(actor)
        return _prepare(by, claim, claim.texts(), result=digest, claimed=True)

    def of(self, digests: Iterable[str]) -> list[RecordedEvent[TrainingEntry]]:
        """Return the trainings of models with these digests, and those of their base models.

        The trainings of a model come before those of its base models.
        """
        trainings: list[RecordedEvent[TrainingEntry]] = []
        visited: set[str] = set()
        frontier = set(digests)
        with self._database.reading() as connection:
            while frontier:
                visited |= frontier
                of_frontier = [
                    recorded
                    for part in chunks(sorted(frontier))
                    for recorded in select_events(connection, TrainingEntry, event.c.key.in_(part))
                ]
                trainings += of_frontier
                bases = {recorded.entry.base for recorded in of_frontier}
                frontier = {base for base in bases if base is not None} - visited
        return trainings

    def knows_model(self, digest: str) -> bool:
        """Return whether a model of a digest was added, trained or used according to the record.

        For an unknown digest all entries are read, which takes seconds for a million.
        """
        is_used = exists().where(generation.c.model_digest == digest)
        with self._database.reading() as connection:
            return (
                has_key(connection, ModelEntry, digest)
                or has_key(connection, TrainingEntry, digest)
                or bool(connection.scalar(select(is_used)))
                or _is_named_by_parameter(connection, digest)
            )


def _is_named_by_parameter(connection: Connection, digest: str) -> bool:
    """Return whether a parameter of a generation named a model of a digest, such as an adapter."""
    body = entry.c.canonical_bytes
    text = literal(f'"{digest}"'.encode(), LargeBinary)
    is_sqlite = connection.dialect.name == "sqlite"
    place = func.instr(body, text) if is_sqlite else func.position(text.op("IN")(body))
    named = exists().where(entry.c.kind == "started", place > 0)
    return bool(connection.scalar(select(named)))


def _prepare(
    by: Mapping[str, int],
    claim: TrainingClaim,
    texts: TrainingText,
    *,
    result: str | None,
    plugins: Sequence[int] = (),
    claimed: bool = False,
) -> PreparedEntry:
    """Return the entry of a training with its payload. `by` has the fields that events share."""
    payloads = Payloads()
    training = TrainingEntry(
        **by,
        status=claim.status,
        claimed=claimed,
        base=claim.base,
        result=result,
        counts=claim.entry_counts(),
        plugins=list(plugins),
        detail=payloads.add("training", encode_text(texts)),
    )
    return prepare(training, payloads)
