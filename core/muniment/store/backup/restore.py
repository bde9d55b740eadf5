"""Restoring a backup: checked before anything is touched, and what was lost with it is said."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from muniment.errors import StoreError
from muniment.store.backup import backend_of
from muniment.store.backup.base import BackupError, BackupSummary, Progress
from muniment.store.database.backups import Backup, now, register, registered
from muniment.store.database.engine import Database
from muniment.store.database.tables import ledger_head
from muniment.store.recording import schema_version
from muniment.store.recording.erasure_log import erased_generations, erasure_bodies


@dataclass(frozen=True, slots=True)
class RestoreTarget:
    """What is in the store that a backup would replace; `unreadable` says why it is not known."""

    log: str = ""
    entries: int = 0
    backups: list[Backup] = field(default_factory=list)
    erased_since: list[str] = field(default_factory=list)
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What restoring a backup would do: `present` is None where there is no store yet."""

    file: Path
    contents: BackupSummary
    present: RestoreTarget | None

    @property
    def lost(self) -> int:
        """How many entries of the store are not in the backup."""
        if self.present is None or self.present.log != self.contents.log:
            return 0
        return max(0, self.present.entries - self.contents.entries)

    @property
    def erased_since(self) -> list[str]:
        """The generations that were erased since the backup was made, and come back with it."""
        return self.present.erased_since if self.present and not self.other else []

    @property
    def other(self) -> bool:
        """Whether the store holds another ledger than the backup."""
        return self.present is not None and self.present.log not in ("", self.contents.log)


def plan_restore(database: Database, file: Path, progress: Progress | None = None) -> RestorePlan:
    """Check that a backup is whole, and say what it would replace; nothing is changed.

    Raises BackupError.
    """
    file = file.absolute()
    contents = backend_of(database).contents(file, progress)
    return RestorePlan(file, contents, _present(database, contents.entries))


def restore(database: Database, planned: RestorePlan, progress: Progress | None = None) -> None:
    """Make the store what the backup is, whole or not at all, and check that it became so.

    The store keeps knowing of the backups that were made of it. Raises BackupError.
    """
    way = backend_of(database)
    way.restore(database, planned.file)
    database.close()  # no connection may remember what was there
    if schema_version.revision(database) != schema_version.HEAD:
        return  # `db upgrade` comes first, and says so
    from muniment.store.verification.verify import verify

    found = verify(database, projections=False, payloads=False, progress=progress)
    if not found.ok or (found.entries, found.root) != (
        planned.contents.entries,
        planned.contents.root,
    ):
        raise BackupError(
            planned.file,
            f"the restored store is not what {planned.file} holds; look with `muniment audit "
            "verify --all`",
        )
    known = list(planned.present.backups) if planned.present else []
    if all(item.file != planned.file for item in known):
        known.append(Backup(planned.file, now(), planned.contents.entries, planned.contents.root))
    with database.writing(lock=False) as connection:
        register(connection, known)


def _present(database: Database, entries: int) -> RestoreTarget | None:
    try:
        found = schema_version.revision(database)
        if found is None:
            return None
        with database.reading() as connection:
            head = connection.execute(select(ledger_head.c.log_id, ledger_head.c.size)).one()
            backups: list[Backup] = []
            erased: dict[str, None] = {}
            if found == schema_version.HEAD:
                backups = registered(connection)
                for _, body in erasure_bodies(connection, since=entries):
                    erased |= dict.fromkeys(erased_generations(connection, body))
    except StoreError as error:
        return RestoreTarget(unreadable=str(error))
    return RestoreTarget(head.log_id, head.size, backups, list(erased))
