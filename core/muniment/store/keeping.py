"""What the store's keeper and reviewers ask of it, apart from recording, finding and proving."""

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
    """The part of the store's face that looks after what is recorded; see `Store`."""

    _database: Database

    # ---- people ------------------------------------------------------------------------------

    def give_feedback(
        self, id: str, actor: str, rating: Rating | None = None, comment: str | None = None
    ) -> None:
        """Record what someone thinks of the generation of that whole id."""
        from muniment.store.recording import events

        events.give_feedback(self._database, self._number(id), actor, rating, comment)

    def give_review(
        self, id: str, actor: str, decision: Judgement, reason: str | None = None
    ) -> None:
        """Record what a person decided about what filters found in that generation."""
        from muniment.store.recording import events

        events.give_review(self._database, self._number(id), actor, decision, reason)

    def acts(self, id: str) -> tuple[list[Feedback], list[Review]]:
        """Return the feedback on and the reviews of that generation, the oldest first."""
        from muniment.store.recording import events

        with self._database.reading() as connection:
            return events.of_generation(connection, self._number(id))

    def review_queue(self, limit: int | None = None) -> Iterator[Generation]:
        """Yield what filters flagged or blocked and nobody reviewed yet, the newest first."""
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

    # ---- the house ---------------------------------------------------------------------------

    def record_installation(self, actor: str, done: Installation) -> None:
        """Record what was done to a plugin, and who asked; once, however often it is called."""
        from muniment.store.recording import events

        events.record_installation(self._database, actor, done)

    def installations(self, distribution: str) -> list[Installation]:
        """Return what was done to the plugin of that distribution, the oldest first."""
        from muniment.store.recording import events

        with self._database.reading() as connection:
            return events.installations(connection, distribution)

    def record_model(self, actor: str, act: ModelAct, digest: str, name: str, source: str) -> None:
        """Record that a model was added or removed, and who asked."""
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
        """Destroy the payloads of the wanted generations; their entries stay.

        What is under a hold, must be kept longer or is under way is left. Where the query is by
        actor and nothing of theirs was left, their name goes, too.
        """
        from muniment.store.retention import erasure

        self._record_interruptions()
        return erasure.erase(self._database, query, actor, reason=reason, progress=progress)

    def count(self, query: Query) -> int:
        """Return how many generations a query wants."""
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
        """Make the bytes of what was erased go away, if any are left; whether they are gone."""
        from muniment.store.retention import erasure

        return erasure.purge_erased(self._database)

    def erasures(self) -> Iterator[ErasureRecord]:
        """Yield the erasures that are on record, the oldest first."""
        from muniment.store.retention import erasure

        return erasure.records(self._database)

    def hold(self, query: Query, actor: str, reason: str) -> tuple[str, int]:
        """Forbid to erase the generations that a query wants now; return the hold's id and how
        many they are.
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
        """Return the holds that are in force, the oldest first."""
        from muniment.store.retention import holds

        with self._database.reading() as connection:
            return holds.holds(connection)

    def release(self, hold: str, actor: str, reason: str | None = None) -> str:
        """End a hold, by its id or a unique beginning or end of it; return the id."""
        from muniment.store.retention import holds

        part = hold.upper()
        ids = [held.id for held in self.holds()]
        found = [id for id in ids if id.startswith(part) or id.endswith(part)]
        if len(found) != 1 or not part:
            raise UnknownNameError("hold", hold, hint="`muniment hold list` shows those in force")
        holds.release_hold(self._database, found[0], actor, reason)
        return found[0]

    def retention(self) -> list[Rule]:
        """Return the rules of retention in force."""
        from muniment.store.retention import rules

        with self._database.reading() as connection:
            return rules.current_rules(connection)

    def set_retention(self, rule: Rule, actor: str) -> list[Rule]:
        """Put a rule in the place of the one for the same payloads; return those in force."""
        from muniment.store.retention import rules

        return rules.set_rule(self._database, actor, rule)

    def run_retention(
        self, actor: str, progress: Callable[[int], None] = lambda number: None
    ) -> ErasureResult:
        """Erase what was kept as long as the rules say."""
        from muniment.store.retention import expiry

        self._record_interruptions()
        return expiry.erase_expired(self._database, actor, progress)

    # ---- copies ------------------------------------------------------------------------------

    def backup(self, target: Path, progress: Progress | None = None) -> Backup:
        """Copy the store to a file, read the copy again and register it; BackupError."""
        from muniment.store.backup import create

        return create.create_backup(self._database, target, progress)

    @staticmethod
    def plan_restore(url: str, file: Path, progress: Progress | None = None) -> RestorePlan:
        """Check a backup, and say what restoring it to that store would do; BackupError."""
        from muniment.store.backup import restore

        database = open_database(url)
        try:
            return restore.plan_restore(database, file, progress)
        finally:
            database.close()

    @staticmethod
    def restore(url: str, planned: RestorePlan, progress: Progress | None = None) -> None:
        """Make the store what a backup is, whole or not at all; BackupError."""
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
