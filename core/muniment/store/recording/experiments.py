"""Record experiments, and read their generations in the order of their cells."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from sqlalchemy import Connection, exists, func, select

from muniment.ledger.events import ExperimentEntry
from muniment.ledger.payloads import Payloads
from muniment.ledger.schema import kind_of
from muniment.store.database.engine import Database, chunks
from muniment.store.database.tables import cell, event, generation, run
from muniment.store.errors import AlreadyRecordedError
from muniment.store.queries.finder import match_id
from muniment.store.queries.loader import PAGE, load_numbers, number_of
from muniment.store.recording.events import Events, RecordedEvent, add_text, has_key, read_events
from muniment.store.recording.ledger import append_with_rows, prepare
from muniment.types.experiments import Levels
from muniment.types.generations import Generation
from muniment.validation import check_counts, check_id, refuse_empty


class Experiments:
    """The experiments of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, actor: str, run_id: str, design: str, levels: Levels
    ) -> RecordedEvent[ExperimentEntry]:
        """Record an experiment before the first generation of its run, and return it.

        Raises AlreadyRecordedError if the run has an experiment or a generation. Raises UsageError
        for a malformed id, an empty design or a number of levels below 1.
        """
        check_id(run_id, "run")
        refuse_empty(design=design)
        levels = Levels(*check_counts("design", levels, Levels._fields, least=1))
        payloads, events = Payloads(), Events(self._database)
        entry = ExperimentEntry(
            **events.by(actor),
            run=run_id,
            **levels._asdict(),
            design=add_text(payloads, "design", design) or "",
        )
        prepared = prepare(entry, payloads)
        with self._database.writing() as connection:
            if _is_begun(connection, run_id) or has_key(connection, ExperimentEntry, run_id):
                raise AlreadyRecordedError(
                    self._database.url,
                    run_id,
                    f"run {run_id} is recorded already; use the id of another run",
                )
            number = append_with_rows(connection, prepared)
        with self._database.reading() as connection:
            [recorded] = read_events(connection, ExperimentEntry, [number])
        return recorded

    def of(self, run_id: str) -> RecordedEvent[ExperimentEntry] | None:
        """Return the experiment of the run with a complete id, or None if it has none."""
        events = Events(self._database).with_key(ExperimentEntry, run_id)
        return events[0] if events else None

    def find(self, ref: str) -> str:
        """Return the complete id of the run of an experiment, also of one without generations.

        `ref` is a unique beginning or end of the id, or `last` for the newest experiment. Raises
        UnknownNameError and AmbiguousNameError.
        """
        experiments = (
            select(event.c.key.label("id"), event.c.seq)
            .where(event.c.kind == kind_of(ExperimentEntry))
            .subquery("experiment")
        )
        with self._database.reading() as connection:
            return match_id(connection, experiments, ref)

    def generations(self, run_id: str) -> Iterator[Generation]:
        """Yield one generation for each cell of a run, in the order of the cells.

        It is the completed attempt at the cell, or else the latest. `run_id` is the complete id.
        The numbers of the generations of one item are in memory at a time.
        """
        with self._database.reading() as connection:
            if has_key(connection, ExperimentEntry, run_id) and not _is_begun(connection, run_id):
                return
            number = number_of(connection, run, run_id)
        item = self._next_item(number, -1)
        while item is not None:
            for part in chunks(self._chosen(number, item), PAGE):
                with self._database.reading() as connection:
                    loaded = dict(load_numbers(connection, part))
                yield from (loaded[number] for number in part)
            item = self._next_item(number, item)

    def _next_item(self, run_number: int, item: int) -> int | None:
        """Return the lowest item of a run above an item."""
        with self._database.reading() as connection:
            later = (cell.c.run == run_number) & (cell.c.item > item)
            following: int | None = connection.scalar(select(func.min(cell.c.item)).where(later))
            return following

    def _chosen(self, run_number: int, item: int) -> list[int]:
        """Return the number of the chosen attempt at each cell of an item, in their order."""
        place = (cell.c.paraphrase, cell.c.setting, cell.c.replicate)
        statement = (
            select(*place, generation.c.status == "completed", cell.c.generation)
            .join(generation, generation.c.seq == cell.c.generation)
            .where(cell.c.run == run_number, cell.c.item == item)
            .order_by(*place, cell.c.generation)
        )
        with self._database.reading() as connection:
            attempts = connection.execute(statement).tuples().all()
        # A completed attempt is chosen before the latest, as for the lines of a batch.
        return [
            max(group, key=itemgetter(3, 4))[4]
            for _, group in groupby(attempts, key=itemgetter(0, 1, 2))
        ]


def _is_begun(connection: Connection, run_id: str) -> bool:
    """Return whether a run has a generation."""
    return bool(connection.scalar(select(exists().where(run.c.id == run_id))))
