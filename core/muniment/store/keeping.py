"""The methods of `Store` for feedback, reviews, events, erasure, retention and backups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from muniment.errors import UnknownNameError
from muniment.store.database import open_database
from muniment.store.database.engine import Database
from muniment.store.queries.query import Query

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from muniment.store.backup.base import Progress
    from muniment.store.backup.restore import RestorePlan
    from muniment.store.database.backups import Backup
    from muniment.store.recording.events import Events
    from muniment.store.retention.erasure import ErasureRecord, ErasureResult
    from muniment.store.retention.holds import Hold
    from muniment.store.retention.rules import Rule

_PAGE = 500


class Keeping:
    """A base class of `Store` with the methods that manage recorded generations."""

    _database: Database

    @property
    def events(self) -> Events:
        """The events of the store: feedback, reviews, replays, installations and models."""
        from muniment.store.recording.events import Events

        return Events(self._database)

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

        with self._database.reading() as connection:
            return QueryPlanner(connection, query).count()

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

        def pages(connection: Connection) -> Iterator[list[int]]:
            return QueryPlanner(connection, query).pages(_PAGE)

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

    def _record_interruptions(self) -> None:
        from muniment.store.recording import generations

        generations.record_interruptions(self._database)
