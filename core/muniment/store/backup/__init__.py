"""Verified copies of a store.

`create_backup` copies a store and verifies the copy. `plan_restore` verifies a backup, and shows
which entries of the store would be lost and which erased texts would come back. `restore` replaces
the store. The backends `sqlite` and `postgresql` copy one kind of database each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sqlalchemy import select

from muniment.errors import MunimentError, StoreError, VerificationError
from muniment.files import check_target, replacing
from muniment.store.database.engine import Database, Progress
from muniment.store.database.opening import open_database
from muniment.store.database.tables import ledger_head
from muniment.store.queries.erasures import erased_generations, erasures
from muniment.store.recording import schema_version
from muniment.store.recording.backup_register import (
    Backup,
    register,
    registered,
    remove_unfinished,
    unregister,
)
from muniment.store.recording.events import holds_in_force
from muniment.validation import now


class BackupError(MunimentError):
    """A backup that cannot be created, is corrupt, or cannot be restored. `file` is its path."""

    def __init__(self, file: Path, message: str) -> None:
        super().__init__(message)
        self.file = file


class CorruptBackupError(BackupError):
    """A backup whose contents do not verify. `reason` is the first problem."""

    def __init__(self, file: Path, reason: str, message: str = "") -> None:
        super().__init__(file, message or f"{file} is corrupt: {reason}; use another backup")
        self.reason = reason


def _raise_if_no_file(file: Path) -> None:
    """Raise BackupError unless the backup is a regular file."""
    if file.is_dir():
        raise BackupError(file, f"{file} is a folder; use the file of a backup")
    if not file.exists():
        raise BackupError(file, f"file {file} does not exist")
    if not file.is_file():
        raise BackupError(file, f"{file} is not a regular file; use the file of a backup")


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """The ledger in a backup: its identity `log`, its number of entries, and its root.

    `root` is computed from the bytes of the entries, in hexadecimal. `whole` is true if payloads,
    query tables and search index were verified too.
    """

    log: str
    entries: int
    root: str
    whole: bool = field(default=False, compare=False)


class BackupBackend(Protocol):
    """The operations for copying and restoring the stores of one kind of database."""

    def copy(self, database: Database, target: Path) -> BackupSummary:
        """Copy a snapshot of the store to an empty file. Return the head of that snapshot.

        Other processes may write meanwhile. Raises BackupError.
        """

    def verify(
        self, file: Path, progress: Progress | None, *, whole: bool = False
    ) -> BackupSummary:
        """Read all entries of a copy and return its summary. Raise BackupError if it is corrupt.

        Indexes and pages of SQLite are compared too.
        `whole` also verifies payloads and query tables, if the backend can before it restores them.
        Without `whole` the schema may be altered, as that of the store is.
        """

    def restore(self, database: Database, file: Path) -> None:
        """Replace the store with a copy in one transaction.

        Other processes may have the store open. Raises BackupError, and then changes nothing.
        """


def backend_of(database: Database) -> BackupBackend:
    """Return the module that copies and restores databases of this dialect."""
    if database.dialect == "sqlite":
        from muniment.store.backup import sqlite

        return sqlite
    from muniment.store.backup import postgresql

    return postgresql


def create_backup(database: Database, target: Path, progress: Progress | None = None) -> Backup:
    """Copy the store to a file, verify the copy, and register it.

    The copy is written to a temporary file, which is renamed after verification. Its number of
    entries and its root must be those of the store at the time of the copy. Other processes may
    write meanwhile. A store with an altered schema is copied with it. Raises BackupError, and then
    leaves no new file. Raises StoreError if the store cannot be written, because it must register
    the copy.
    """
    backend = backend_of(database)
    target = target.absolute()
    made_at = now()
    remove_unfinished(database)
    try:
        with (
            replacing(target, database.files) as file,
            _registered_while_written(database, Path(file.name)),
        ):
            try:
                copied = backend.copy(database, Path(file.name))
                verified = backend.verify(Path(file.name), progress)
                if verified != copied:
                    raise CorruptBackupError(
                        target,
                        f"the copy differs from the store ({verified.entries} entries with root "
                        f"{verified.root}, not {copied.entries} with {copied.root})",
                    )
            except CorruptBackupError as error:  # its message is about a backup to restore
                raise BackupError(
                    target,
                    f"the store {database.name} is damaged, so no backup was made: {error.reason}; "
                    "run `muniment audit verify --all` to list the problems, then `muniment db "
                    "rebuild` if only query tables differ, or else restore an older backup",
                ) from error
    except OSError as error:
        raise BackupError(target, f"cannot write {target}: {error.strerror}") from error
    backup = Backup(target, made_at, verified.entries, verified.root)
    with database.maintaining() as connection:
        register(connection, [backup])
    return backup


@contextmanager
def _registered_while_written(database: Database, file: Path) -> Iterator[None]:
    """Register an unfinished backup in the block, in case the process is killed in it."""
    with database.maintaining() as connection:
        register(connection, [Backup(file, now(), 0, "")])
    try:
        yield
    finally:
        with database.maintaining() as connection:
            unregister(connection, file)


# ---- restoring ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RestoreTarget:
    """The present state of the store that a backup would replace.

    `log` is the identity of its ledger, and `entries` the number of its entries. `erased_since`
    has the ids of generations that were erased after the backup. `holds_since` has the ids of
    holds in force that were placed after it. In a store with another ledger than the backup, these
    are all that were erased, and all holds in force. They are not known if `outdated` is true,
    because the store has another schema. `unreadable` is the reason why the store cannot be read.
    It is empty for a readable store.
    """

    log: str = ""
    entries: int = 0
    backups: list[Backup] = field(default_factory=list)
    erased_since: list[str] = field(default_factory=list)
    holds_since: list[str] = field(default_factory=list)
    outdated: bool = False
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
    def holds_since(self) -> list[str]:
        """The ids of holds in force that are not in the backup and would be lost."""
        return self.present.holds_since if self.present else []

    @property
    def other_ledger(self) -> bool:
        """Whether the store contains another ledger than the backup."""
        return self.present is not None and self.present.log not in ("", self.contents.log)

    @property
    def unknown_since(self) -> bool:
        """Whether the store that is replaced does not show what was erased since the backup."""
        present = self.present
        return present is None or bool(present.unreadable) or present.outdated or self.other_ledger


def plan_restore(url: str, file: Path, progress: Progress | None = None) -> RestorePlan:
    """Verify a whole backup, and return the effects of restoring it to a store. Change nothing.

    Of an archive of PostgreSQL, and of a store with an older schema, only the entries are verified.
    `restore` verifies the rest of an archive after it replaced the store.

    `url` is the URL of the store.

    Raises BackupError if the backup is corrupt, and UsageError if it is the store itself.
    """
    file = file.absolute()
    _raise_if_no_file(file)
    with closing(open_database(url)) as database:
        if database.path is not None:
            check_target(database.path, [file])
        contents = backend_of(database).verify(file, progress, whole=True)
        return RestorePlan(file, contents, _read_target(database, contents))


def restore(url: str, planned: RestorePlan, progress: Progress | None = None) -> None:
    """Replace the store at a URL with the backup in one transaction, and verify the result.

    The list of registered backups stays the same, with this backup added. Raises BackupError, and
    then changes nothing. Raises VerificationError if the restored store does not verify.
    """
    from muniment.store.verification.verify import verify

    with closing(open_database(url)) as database:
        if _read_target(database, planned.contents) != planned.present:
            raise BackupError(
                planned.file,
                f"nothing was restored, because the store {database.name} changed since the plan; "
                "run the command again",
            )
        database.close()
        backend_of(database).restore(database, planned.file)
        database.close()  # open connections may have cached pages and statements of the old store
        if schema_version.revision(database) != schema_version.HEAD:
            return  # an older schema is verified after `db upgrade`, which every command requires
        backups = list(planned.present.backups) if planned.present else []
        if all(item.file != planned.file for item in backups):
            backups.append(
                Backup(planned.file, now(), planned.contents.entries, planned.contents.root)
            )
        with database.maintaining() as connection:
            register(connection, backups)
        remove_unfinished(database)  # the copy was registered as such when it was made
        whole = database.dialect == "postgresql"  # a file of SQLite was verified before
        verification = verify(
            database, projections=whole, payloads=whole, search=whole, progress=progress
        )
        if not verification.ok or (verification.entries, verification.root) != (
            planned.contents.entries,
            planned.contents.root,
        ):
            raise VerificationError(
                f"the store was replaced, but does not verify, so {planned.file} may be corrupt; "
                "run `muniment audit verify --all` to find the difference, or restore another "
                "backup"
            )


def _read_target(database: Database, contents: BackupSummary) -> RestoreTarget | None:
    """Return the state of the store that a backup would replace, or None if there is none."""
    try:
        revision = schema_version.revision(database)
        if revision is None:
            return None
        with database.reading() as connection:
            head = connection.execute(select(ledger_head.c.log_id, ledger_head.c.size)).one()
            backups: list[Backup] = []
            erased: dict[str, None] = {}
            holds: list[str] = []
            since = contents.entries if head.log_id == contents.log else 0
            outdated = revision != schema_version.HEAD  # its tables may lack columns
            if not outdated:
                backups = registered(connection)
                for _, erasure in erasures(connection, since=since):
                    erased |= dict.fromkeys(erased_generations(connection, erasure))
                holds = holds_in_force(connection, since=since)
    except StoreError as error:
        return RestoreTarget(unreadable=str(error))
    return RestoreTarget(head.log_id, head.size, backups, list(erased), holds, outdated)
