"""Files of an export: there whole or not at all, and an export that was stopped can go on.

Until it is finished an export is two files beside the one asked for: `FILE.part`, what was written
so far, and `FILE.part.json`, which says of how much of it is certain, and where to go on. A page
that was half written when the process died is cut off and written again, so the finished file is
the same, byte for byte, as if nothing had happened.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import select

from muniment.errors import MunimentError
from muniment.store.database.engine import Database
from muniment.store.database.tables import erasure, ledger_head
from muniment.store.export.batches import pages
from muniment.store.export.formats import FORMATS
from muniment.store.queries.query import Query

STATE_VERSION = 1
SAVE_SECONDS = 2.0  # work that is lost at most when the process is killed


class ExportError(MunimentError):
    """An export cannot begin, go on or be written; `path` is the file asked for."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class _State:
    """How far an export has come: `size` bytes of the part are certain."""

    log: str
    format: str
    query: dict[str, Any]
    upto: int
    before: int
    rows: int = 0
    size: int = 0
    whole: bool = False
    version: int = STATE_VERSION


def unfinished(target: Path) -> bool:
    """Whether an export to that file was begun and not finished."""
    return _state_path(target).exists()


class Export:
    """One export to one file; `rows` counts what is written, `run` does the work."""

    def __init__(self, database: Database, target: Path, state: _State) -> None:
        self._database = database
        self._target = target
        self._state = state
        self._format = FORMATS[state.format]
        self._part = target.with_name(f"{target.name}.part")

    @classmethod
    def begin(cls, database: Database, target: Path, format: str, query: Query) -> Export:
        """Return an export of what is recorded now; one that was unfinished there is forgotten.

        Raises MunimentError where what the format needs is not installed.
        """
        FORMATS[format].check()
        log, size = _ledger(database)
        return cls(database, target, _State(log, format, _written(query), size, size))

    @classmethod
    def resume(cls, database: Database, target: Path) -> Export:
        """Return the export to that file which was stopped; raises ExportError if it cannot."""
        path = _state_path(target)
        try:
            held = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise ExportError(
                target, f"there is no unfinished export to {target}; leave --resume away"
            ) from None
        except ValueError:
            raise ExportError(
                target, f"{path} is not readable; export anew with --overwrite"
            ) from None
        if held.get("version") != STATE_VERSION:
            raise ExportError(
                target,
                f"the unfinished export to {target} was begun by another version of Muniment; "
                "export anew with --overwrite",
            )
        state = _State(**held)
        if _ledger(database)[0] != state.log:
            raise ExportError(
                target, f"the unfinished export to {target} is of another store than this one"
            )
        if state.rows and _erased_since(database, state.upto):
            raise ExportError(
                target,
                f"texts were erased since the export to {target} began, and what is written may "
                "hold them; export anew with --overwrite, which destroys it",
            )
        FORMATS[state.format].check()
        return cls(database, target, state)

    @property
    def rows(self) -> int:
        """How many generations are written."""
        return self._state.rows

    @property
    def format(self) -> str:
        """The name of the format."""
        return self._state.format

    @property
    def query(self) -> Query:
        """What is exported."""
        return _read(self._state.query)

    def run(self, advance: Callable[[int], None] = lambda rows: None, processes: int = 1) -> int:
        """Write what is left, tell `advance` of every page, and return how many rows there are.

        A large export is shared among so many `processes`, as `workers` says. Raises ExportError
        when the file cannot be written; what was written stays for `resume`.
        """
        try:
            if not self._state.whole:
                with self._opened() as part:
                    self._write(part, advance, processes)
            if self._part.exists():
                self._format.finish(self._part, self._target)
            _state_path(self._target).unlink()
            _sync_folder(self._target.parent)
        except OSError as error:
            raise ExportError(
                self._target,
                f"cannot write {self._target}: {error.strerror}; what is written so far stays, "
                "and --resume goes on from there",
            ) from error
        return self.rows

    def _opened(self) -> BinaryIO:
        """Open the part where it is certain; begin it where nothing is."""
        if self._state.size == 0:
            part: BinaryIO = self._part.open("wb")
            part.write(self._format.head())
            self._save(part, self._state)
            return part
        if not self._part.exists() or self._part.stat().st_size < self._state.size:
            raise ExportError(
                self._target,
                f"{self._part} is not what was written; export anew with --overwrite",
            )
        part = self._part.open("r+b")
        part.truncate(self._state.size)
        part.seek(self._state.size)
        return part

    def _write(self, part: BinaryIO, advance: Callable[[int], None], processes: int) -> None:
        state = self._state
        query = self.query
        left = None if query.limit is None else query.limit - state.rows
        saved = time.monotonic()
        made = pages(self._database, state.format, query, state.upto, state.before, left, processes)
        with closing(made):
            for page in made:
                part.write(page.data)
                state = replace(state, before=page.last, rows=state.rows + page.rows)
                advance(page.rows)
                if time.monotonic() - saved > SAVE_SECONDS:
                    self._save(part, state)
                    saved = time.monotonic()
        self._save(part, replace(state, whole=True))

    def _save(self, part: BinaryIO, state: _State) -> None:
        """Make certain what is written, then that it is: in this order."""
        part.flush()
        os.fsync(part.fileno())
        self._state = replace(state, size=part.tell())
        path = _state_path(self._target)
        beside = path.with_name(f"{path.name}.new")
        with beside.open("wb") as file:
            file.write(json.dumps(asdict(self._state), ensure_ascii=False).encode())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)


def stream(
    database: Database,
    output: BinaryIO,
    format: str,
    query: Query,
    processes: int = 1,
) -> int:
    """Write an export to a pipe, a device or standard output; return how many rows there are."""
    chosen = FORMATS[format]
    if not chosen.streams:
        raise MunimentError(f"{chosen.name} is no stream; write it to a file with -o FILE")
    rows = 0
    output.write(chosen.head())
    size = _ledger(database)[1]
    with closing(pages(database, format, query, size, size, query.limit, processes)) as made:
        for page in made:
            output.write(page.data)
            rows += page.rows
    output.flush()
    return rows


def _ledger(database: Database) -> tuple[str, int]:
    """Return which ledger the store holds, and how many entries it has."""
    with database.reading() as connection:
        head = connection.execute(select(ledger_head.c.log_id, ledger_head.c.size)).one()
    return head.log_id, head.size


def _erased_since(database: Database, size: int) -> bool:
    """Whether anything was erased when the ledger had that many entries already."""
    with database.reading() as connection:
        found = connection.scalar(select(erasure.c.seq).where(erasure.c.seq >= size).limit(1))
    return found is not None


def _state_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.part.json")


def _written(query: Query) -> dict[str, Any]:
    """Return a query as JSON can hold it."""
    held = {field.name: getattr(query, field.name) for field in fields(query)}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in held.items()
        if value is not None
    }


def _read(held: dict[str, Any]) -> Query:
    given = dict(held)
    for name in ("since", "until"):
        if name in given:
            given[name] = datetime.fromisoformat(given[name])
    return Query(**given)


def _sync_folder(folder: Path) -> None:
    """Make the file's new name certain, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
