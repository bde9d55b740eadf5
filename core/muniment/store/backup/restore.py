"""Restore a backup: verify it, plan the changes, and replace the store.

A plan shows which entries of the store would be lost and which erased texts would come back.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from muniment.errors import StoreError
from muniment.files import check_target
from muniment.store.backup import BackupError, BackupSummary, Progress, backend_of
from muniment.store.database.engine import Database, open_database
from muniment.store.database.tables import ledger_head
from muniment.store.recording import schema_version
from muniment.store.recording.erasure_log import (
    Backup,
    erased_generations,
    erasures,
    register,
    registered,
)
from muniment.validation import now


@dataclass(frozen=True, slots=True)
class RestoreTarget:
    """The present state of the store that a backup would replace.

    `log` is the identity of its ledger, and `entries` the number of its entries. `erased_since`
    has the ids of generations that were erased after the backup. `unreadable` is the reason why
    the store cannot be read. It is empty for a readable store.
    """

    log: str = ""
    entries: int = 0
    backups: list[Backup] = field(default_factory=list)
    erased_since: list[str] = field(default_factory=list)
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """The effects of restoring a backup. `present` is None if there is no store yet."""

    file: Path
    contents: BackupSummary
    present: RestoreTarget | None

    @property
    def lost_entries(self) -> int:
        """The number of entries of the store that are not in the backup."""
        if self.present is None or self.present.log != self.contents.log:
            return 0
        return max(0, self.present.entries - self.contents.entries)

    @property
    def erased_since(self) -> list[str]:
        """The ids of generations that were erased after the backup and would come back."""
        return self.present.erased_since if self.present and not self.other_ledger else []

    @property
    def other_ledger(self) -> bool:
        """Whether the store contains another ledger than the backup."""
        return self.present is not None and self.present.log not in ("", self.contents.log)


def plan_restore(url: str, file: Path, progress: Progress | None = None) -> RestorePlan:
    """Verify a backup, and return the effects of restoring it to a store. Change nothing.

    `url` is the URL of the store.

    Raises BackupError if the backup is corrupt, and UsageError if it is the store itself.
    """
    file = file.absolute()
    with closing(open_database(url)) as database:
        if database.path is not None:
            check_target(database.path, [file])
        contents = backend_of(database).verify(file, progress)
        return RestorePlan(file, contents, _read_target(database, contents.entries))


def restore(url: str, planned: RestorePlan, progress: Progress | None = None) -> None:
    """Replace the store at a URL with the backup in one transaction, and verify the result.

    The list of registered backups stays the same, with this backup added. Raises BackupError.
    """
    from muniment.store.verification.verify import verify

    with closing(open_database(url)) as database:
        backend_of(database).restore(database, planned.file)
        database.close()  # open connections may have cached pages and statements of the old store
        if schema_version.revision(database) != schema_version.HEAD:
            return  # an older schema is verified after `db upgrade`, which every command requires
        verification = verify(database, projections=False, payloads=False, progress=progress)
        if not verification.ok or (verification.entries, verification.root) != (
            planned.contents.entries,
            planned.contents.root,
        ):
            raise BackupError(
                planned.file,
                f"the restored store differs from {planned.file}; run "
                "`muniment audit verify --all` to find the difference",
            )
        backups = list(planned.present.backups) if planned.present else []
        if all(item.file != planned.file for item in backups):
            backups.append(
                Backup(planned.file, now(), planned.contents.entries, planned.contents.root)
            )
        with database.writing(lock=False) as connection:
            register(connection, backups)


def _read_target(database: Database, entries: int) -> RestoreTarget | None:
    """Return the state of the store, or None if there is none.

    `entries` is the number of entries in the backup.
    """
    try:
        revision = schema_version.revision(database)
        if revision is None:
            return None
        with database.reading() as connection:
            head = connection.execute(select(ledger_head.c.log_id, ledger_head.c.size)).one()
            backups: list[Backup] = []
            erased: dict[str, None] = {}
            if revision == schema_version.HEAD:  # older tables may lack columns
                backups = registered(connection)
                for _, erasure in erasures(connection, since=entries):
                    erased |= dict.fromkeys(erased_generations(connection, erasure))
    except StoreError as error:
        return RestoreTarget(unreadable=str(error))
    return RestoreTarget(head.log_id, head.size, backups, list(erased))
