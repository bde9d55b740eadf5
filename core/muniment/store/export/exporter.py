"""Write an export to a file, so that the file is complete or absent, and an export can be resumed.

An unfinished export has two files in the folder of its target. `FILE.part` has the bytes written
so far. `FILE.part.json` has the number of bytes that are on disk after fsync, and where to
continue. When an export is resumed, `FILE.part` is truncated to that number of bytes. So the
finished file has the same bytes as that of an export without interruption.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import msgspec
from msgspec.structs import replace
from sqlalchemy import select

from muniment.errors import MunimentError
from muniment.files import atomic_write, check_target, open_private, open_shared, sync_folder
from muniment.ledger.events import ErasureEntry
from muniment.ledger.schema import kind_of
from muniment.representation import showing
from muniment.store.database.engine import Database
from muniment.store.database.tables import event, ledger_head
from muniment.store.export.batches import pages
from muniment.store.export.formats import FORMATS
from muniment.store.queries.query import Query
from muniment.types.generations import Generation

SAVE_SECONDS = 2.0  # time between two saves, which is the work that a killed process loses


class ExportError(MunimentError):
    """An export that cannot be started, resumed or written. `path` is its target."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


class OutputFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The files of exported outputs: their folder, how they are written, and their numbers so far.

    `size` is the bytes in all files. `failed` outputs could not be written, the first because of
    `first_failure`.
    """

    folder: str
    bare: bool = False
    private: bool = False
    files: int = 0
    size: int = 0
    failed: int = 0
    first_failure: str = ""

    __repr__ = showing()


class OutputWriter(Protocol):
    """A writer of the outputs of exported generations to files.

    `state` has the numbers of the outputs written so far. A resumed export sets it.
    """

    state: OutputFiles

    def write(self, generation: Generation, /) -> Sequence[str | None]:
        """Write the outputs of a generation, and return the names of their files."""

    def finish(self) -> None:
        """Finish the folder, before the export gets its name."""


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state of an export, which is saved to resume it.

    `size` is the number of bytes of the part file that are on disk. `upto` is the number of
    entries in the ledger at the start, and `before` is the entry number where to continue.
    `rows` is the number of generations written. `altered` is the number of those with texts that
    were altered after they were recorded, and `first_altered` the id of the first. `whole` is true
    when all are written. `outputs` is the state of the outputs, if they are written too.
    """

    log: str
    format: str
    query: Query
    upto: int
    before: int
    rows: int = 0
    size: int = 0
    whole: bool = False
    altered: int = 0
    first_altered: str = ""
    outputs: OutputFiles | None = None
    version: Literal[6] = 6  # of this class and of the columns


def unfinished(target: Path) -> bool:
    """Return whether there is an unfinished export to a file."""
    return _state_path(target).exists()


class Export:
    """An export to a file, which `run` writes."""

    def __init__(self, database: Database, target: Path, state: _State) -> None:
        """Prepare an export. Use `begin` or `resume` instead."""
        self._database = database
        self._target = target
        self._state = state
        self._format = FORMATS[state.format]
        self._part = target.with_name(f"{target.name}.part")

    @classmethod
    def begin(
        cls,
        database: Database,
        target: Path,
        format: str,
        query: Query,
        outputs: OutputFiles | None = None,
    ) -> Export:
        """Return an export of the generations that are recorded now.

        `outputs` has the options of the outputs, if they are written too. An unfinished export to
        the same file is discarded. Raises MunimentError if a package that the format needs is not
        installed, or if the target is a file of the store.
        """
        FORMATS[format].check()
        check_target(target, database.files)
        log, size = _log_and_size(database)
        return cls(database, target, _State(log, format, query, size, size, outputs=outputs))

    @classmethod
    def resume(cls, database: Database, target: Path) -> Export:
        """Return the unfinished export to a file.

        Raises ExportError if there is none, or if its state is unreadable or of another version
        or store. Raises it also if texts were erased since the export began.
        """
        path = _state_path(target)
        try:
            state = msgspec.json.decode(path.read_bytes(), type=_State)
        except FileNotFoundError:
            raise ExportError(
                target, f"there is no unfinished export to {target}; remove --resume"
            ) from None
        except ValueError:
            raise ExportError(
                target,
                f"{path} is not readable, or of another version of Muniment; start again with "
                "--overwrite",
            ) from None
        if _log_and_size(database)[0] != state.log:
            raise ExportError(
                target,
                f"the unfinished export to {target} is of another store; start again with "
                "--overwrite",
            )
        if state.rows and _erased_since(database, state.upto):
            raise ExportError(
                target,
                f"the unfinished export to {target} may contain texts that were erased since; "
                "start again with --overwrite, which deletes it",
            )
        FORMATS[state.format].check()
        return cls(database, target, state)

    @property
    def rows(self) -> int:
        """The number of generations written so far."""
        return self._state.rows

    @property
    def altered(self) -> int:
        """The number of generations written so far with texts that were altered."""
        return self._state.altered

    @property
    def first_altered(self) -> str:
        """The id of the first generation written with texts that were altered, or empty."""
        return self._state.first_altered

    @property
    def format(self) -> str:
        """The name of the format."""
        return self._state.format

    @property
    def outputs(self) -> OutputFiles | None:
        """The files of the outputs so far, or None if no outputs are written."""
        return self._state.outputs

    @property
    def query(self) -> Query:
        """The query whose generations are exported."""
        return self._state.query

    def run(
        self,
        advance: Callable[[int], None] = lambda rows: None,
        processes: int = 1,
        outputs: OutputWriter | None = None,
    ) -> int:
        """Write the remaining generations. Return the number of generations in the file.

        `advance` receives the number of generations of each page. A large export uses up to
        `processes` processes. `outputs` writes the outputs of each generation, and is finished
        before the file gets its name. Raises ExportError if the file cannot be written. The export
        can then be resumed.
        """
        try:
            if not self._state.whole:
                with self._open_part() as part:
                    self._write(part, advance, processes, outputs)
            if outputs is not None:
                outputs.finish()
            if self._part.exists():
                self._format.finish(self._part, self._target)
            _state_path(self._target).unlink()
            sync_folder(self._target.parent)
        except OSError as error:
            raise ExportError(
                self._target,
                f"cannot write {self._target}: {error.strerror}; use --resume to continue "
                "after the part that is written",
            ) from error
        return self.rows

    def _open_part(self) -> BinaryIO:
        """Open the part file at the end of its saved bytes. Create it if nothing is saved.

        Raises ExportError for a part file that is not of an unfinished export.
        """
        if self._state.size == 0:
            state = _state_path(self._target)
            if not state.exists():
                if os.path.lexists(self._part):
                    raise ExportError(
                        self._target,
                        f"{self._part} exists and is not a part of an unfinished export; move it "
                        "away or use another path",
                    )
                # The state is there before the part file, which it shows to be of an export.
                atomic_write(state, msgspec.json.encode(self._state))
            self._part.unlink(missing_ok=True)
            opened = open_private if self._target.exists() else open_shared
            part = opened(self._part, "xb")
            part.write(self._format.head())
            self._save(part, self._state)
            return part
        if not self._part.exists() or self._part.stat().st_size < self._state.size:
            raise ExportError(
                self._target,
                f"{self._part} is missing or too short; start again with --overwrite",
            )
        part = open_private(self._part, "r+b")
        part.truncate(self._state.size)
        part.seek(self._state.size)
        return part

    def _write(
        self,
        part: BinaryIO,
        advance: Callable[[int], None],
        processes: int,
        outputs: OutputWriter | None,
    ) -> None:
        """Write the remaining pages, and save the state now and then and at the end."""
        state = self._state
        query = self.query
        remaining = None if query.limit is None else query.limit - state.rows
        saved_at = time.monotonic()
        new_pages = pages(
            self._database,
            state.format,
            query,
            state.upto,
            state.before,
            remaining,
            processes,
            outputs.write if outputs is not None else None,
        )
        with closing(new_pages):
            for page in new_pages:
                part.write(page.data)
                state = replace(
                    state,
                    before=page.last,
                    rows=state.rows + page.rows,
                    altered=state.altered + len(page.altered),
                    first_altered=state.first_altered or next(iter(page.altered), ""),
                    outputs=outputs.state if outputs is not None else None,
                )
                advance(page.rows)
                if time.monotonic() - saved_at > SAVE_SECONDS:
                    self._save(part, state)
                    saved_at = time.monotonic()
        self._save(part, replace(state, whole=True))

    def _save(self, part: BinaryIO, state: _State) -> None:
        """Write the part file and then the state to disk with fsync."""
        # In this order: the state must never count bytes that are not on disk.
        part.flush()
        os.fsync(part.fileno())
        self._state = replace(state, size=part.tell())
        atomic_write(_state_path(self._target), msgspec.json.encode(self._state))


def stream(
    database: Database,
    output: BinaryIO,
    format: str,
    query: Query,
    processes: int = 1,
    on_altered: Callable[[list[str]], None] = lambda ids: None,
) -> int:
    """Write an export to a pipe, a device or stdout. Return the number of generations.

    `on_altered` receives the ids of the generations of each page with texts that were altered.
    Raises MunimentError for a format that needs a file.
    """
    encoder = FORMATS[format]
    if not encoder.streams:
        raise MunimentError(f"{encoder.name} cannot be written to a stream; use -o FILE")
    rows = 0
    output.write(encoder.head())
    size = _log_and_size(database)[1]
    with closing(pages(database, format, query, size, size, query.limit, processes)) as new_pages:
        for page in new_pages:
            output.write(page.data)
            rows += page.rows
            on_altered(page.altered)
    output.flush()
    return rows


def _log_and_size(database: Database) -> tuple[str, int]:
    """Return the identity of the ledger and the number of its entries."""
    with database.reading() as connection:
        head = connection.execute(select(ledger_head.c.log_id, ledger_head.c.size)).one()
    return head.log_id, head.size


def _erased_since(database: Database, size: int) -> bool:
    """Return whether there is an `erasure` entry after the first `size` entries."""
    with database.reading() as connection:
        newer = connection.scalar(
            select(event.c.seq).where(event.c.kind == kind_of(ErasureEntry), event.c.seq >= size)
        )
    return newer is not None


def _state_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.part.json")
