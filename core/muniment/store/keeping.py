"""The methods of `Store` for feedback, reviews, events, erasure, retention and backups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from muniment.errors import UnknownNameError
from muniment.store.database import open_database
from muniment.store.database.engine import Database
from muniment.store.database.tables import generation
from muniment.store.queries.query import Query

if TYPE_CHECKING:
    from muniment.ledger.acts import Judgement, ModelAct, Rating
    from muniment.store.backup.base import Progress
    from muniment.store.backup.restore import RestorePlan
    from muniment.store.database.backups import Backup
    from muniment.store.recording.events import Feedback, Installation, Review
    from muniment.store.retention.erasure import ErasureRecord, ErasureResult
    from muniment.store.retention.holds import Hold
    from muniment.store.retention.rules import Rule
    from muniment.types import Generation

_PAGE = 500


class Keeping:
    """A base class of `Store` with the methods that manage recorded generations."""

    _database: Database

    # ---- people ------------------------------------------------------------------------------

    def give_feedback(
        self, id: str, actor: str, rating: Rating | None = None, comment: str | None = None
    ) -> None:
        """Record feedback on the generation with a complete id."""
        from muniment.store.recording import events

        events.give_feedback(self._database, self._number(id), actor, rating, comment)

    def give_review(
        self, id: str, actor: str, decision: Judgement, reason: str | None = None
    ) -> None:
        """Record a person's decision on the filters' verdict of the generation with that id."""
        from muniment.store.recording import events

        events.give_review(self._database, self._number(id), actor, decision, reason)

    def acts(self, id: str) -> tuple[list[Feedback], list[Review]]:
        """Return the feedback on a generation and its reviews, the oldest first."""
        from muniment.store.recording import events

        with self._database.reading() as connection:
            return events.of_generation(connection, self._number(id))

    def review_queue(self, limit: int | None = None) -> Iterator[Generation]:
        """Yield flagged, redacted and blocked generations without a review, the newest first."""
        from muniment.store.queries import loader, planner
        from muniment.store.recording import events

        before: int | None = None
        left = limit
        while left is None or left > 0:
            size = events.QUEUE_PAGE if left is None else min(events.QUEUE_PAGE, left)
            with self._database.reading() as connection:
                numbers = events.queue(connection, before, size)
                rows = planner.rows(connection, numbers)
                found = loader.load(connection, rows, trace=False)
            yield from found
            if len(numbers) < size:
                return
            before = numbers[-1]
            left = None if left is None else left - size

    # ---- installations and models ------------------------------------------------------------

    def record_installation(self, actor: str, done: Installation) -> None:
        """Record a change of a plugin and its actor, unless it is recorded already."""
        from muniment.store.recording import events

        events.record_installation(self._database, actor, done)

    def installations(self, distribution: str) -> list[Installation]:
        """Return the recorded changes of a distribution, the oldest first."""
        from muniment.store.recording import events

        with self._database.reading() as connection:
            return events.installations(connection, distribution)

    def record_model(self, actor: str, act: ModelAct, digest: str, name: str, source: str) -> None:
        """Record that an actor added or removed a model."""
        from muniment.store.recording import events

        detail = {"name": name, "source": source}
        events.record_model(self._database, actor, act, digest, detail)

    # ---- erasing -----------------------------------------------------------------------------

    def erase(
        self,
        query: Query,
        actor: str,
        *,
        reason: str | None = None,
        progress: Callable[[int], None] = lambda number: None,
    ) -> ErasureResult:
        """Erase the payloads of the matching generations. Their entries remain.

        Generations on hold, under retention or still running are skipped. A query by actor also
        erases the actor's name, unless a generation was skipped.
        """
        from muniment.store.retention import erasure

        self._record_interruptions()
        return erasure.erase(self._database, query, actor, reason=reason, progress=progress)

    def count(self, query: Query) -> int:
        """Return the number of generations that match a query."""
        from muniment.store.queries.planner import QueryPlanner

        before: int | None = None
        counted = 0
        with self._database.reading() as connection:
            picker = QueryPlanner(connection, query)
            while numbers := picker.page(before, _PAGE):
                counted += len(numbers)
                before = numbers[-1]
        return counted

    def finish_erasing(self) -> bool:
        """Remove the bytes of pending erasures from the files. Return whether none is pending."""
        from muniment.store.retention import erasure

        return erasure.purge_erased(self._database)

    def erasures(self) -> Iterator[ErasureRecord]:
        """Yield the recorded erasures, the oldest first."""
        from muniment.store.retention import erasure

        return erasure.records(self._database)

    def hold(self, query: Query, actor: str, reason: str) -> tuple[str, int]:
        """Place the generations that match a query now under legal hold.

        Return the hold's id and the number of generations.
        """
        from muniment.store.queries.planner import QueryPlanner
        from muniment.store.retention import holds

        def pages(connection: object) -> Iterator[list[int]]:
            before: int | None = None
            picker = QueryPlanner(connection, query)  # type: ignore[arg-type]
            while numbers := picker.page(before, _PAGE):
                yield numbers
                before = numbers[-1]

        return holds.add_hold(self._database, actor, reason, pages)

    def holds(self) -> list[Hold]:
        """Return the holds in force, the oldest first."""
        from muniment.store.retention import holds

        with self._database.reading() as connection:
            return holds.holds(connection)

    def release(self, hold: str, actor: str, reason: str | None = None) -> str:
        """End a hold, and return its id. `hold` is the id or a unique beginning or end of it."""
        from muniment.store.retention import holds

        part = hold.upper()
        ids = [held.id for held in self.holds()]
        found = [id for id in ids if id.startswith(part) or id.endswith(part)]
        if len(found) != 1 or not part:
            raise UnknownNameError(
                "hold", hold, hint="`muniment hold list` prints the holds in force"
            )
        holds.release_hold(self._database, found[0], actor, reason)
        return found[0]

    def retention(self) -> list[Rule]:
        """Return the retention rules in force."""
        from muniment.store.retention import rules

        with self._database.reading() as connection:
            return rules.current_rules(connection)

    def set_retention(self, rule: Rule, actor: str) -> list[Rule]:
        """Add or replace a retention rule, and return the rules in force."""
        from muniment.store.retention import rules

        return rules.set_rule(self._database, actor, rule)

    def run_retention(
        self, actor: str, progress: Callable[[int], None] = lambda number: None
    ) -> ErasureResult:
        """Erase the payloads that are older than the retention rules allow."""
        from muniment.store.retention import expiry

        self._record_interruptions()
        return expiry.erase_expired(self._database, actor, progress)

    # ---- backups -----------------------------------------------------------------------------

    def backup(self, target: Path, progress: Progress | None = None) -> Backup:
        """Copy the store to a file, verify the copy and register it. Raise BackupError."""
        from muniment.store.backup import create

        return create.create_backup(self._database, target, progress)

    @staticmethod
    def plan_restore(url: str, file: Path, progress: Progress | None = None) -> RestorePlan:
        """Verify a backup, and return the effects of restoring it. Raise BackupError."""
        from muniment.store.backup import restore

        database = open_database(url)
        try:
            return restore.plan_restore(database, file, progress)
        finally:
            database.close()

    @staticmethod
    def restore(url: str, planned: RestorePlan, progress: Progress | None = None) -> None:
        """Replace the store with a backup in one transaction. Raise BackupError."""
        from muniment.store.backup import restore

        database = open_database(url)
        try:
            restore.restore(database, planned, progress)
        finally:
            database.close()

    def _number(self, id: str) -> int:
        with self._database.reading() as connection:
            number: int | None = connection.scalar(
                select(generation.c.seq).where(generation.c.id == id)
            )
        if number is None:
            raise UnknownNameError("generation", id)
        return number

    def _record_interruptions(self) -> None:
        from muniment.store.recording import generations

        generations.record_interruptions(self._database)
