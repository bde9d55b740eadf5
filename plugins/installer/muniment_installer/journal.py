"""Write the record of installed plugins, their wheels, and the journal of a change.

The journal is written before the environment is changed, and deleted when the change is complete.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from muniment.installation import (
    JOURNAL,
    InstallError,
    InstallEvent,
    InstallRecords,
    InstallState,
    KeptWheel,
    make_folder,
    replacing,
)

KEPT_BYTES = 100 * 2**20  # of a larger wheel only the hash is kept


class Journal(msgspec.Struct):
    """A change in progress, with all the data needed to undo or to finish it.

    The wheels of `new` and `replaced` lie in the staging folder. `removed` are the normalised names
    of distributions that are being removed. With `events`, the environment is changed completely,
    and only the state and the ledger remain to be written.
    """

    what: str
    new: list[KeptWheel] = []
    replaced: list[KeptWheel] = []
    removed: list[str] = []
    events: list[InstallEvent] | None = None
    state: InstallState | None = None


class JournaledRecords(InstallRecords):
    """The records of one environment, for writing."""

    def __init__(self, home: Path, prefix: Path) -> None:
        super().__init__(home, prefix)
        self.staging = self.folder / "staging"
        self._wheels = self.folder / "wheels"

    def journal(self) -> Journal | None:
        """Return the journal of a change that is in progress or was interrupted, or None."""
        return self.read(JOURNAL, Journal)

    def write_journal(self, journal: Journal) -> None:
        """Write the journal and flush it to the disk."""
        self._write(JOURNAL, journal)

    def delete_journal(self) -> None:
        """Delete the journal: the change is complete or undone."""
        (self.folder / JOURNAL).unlink(missing_ok=True)

    def write_state(self, state: InstallState) -> None:
        """Write the record of what is installed and flush it to the disk."""
        self._write("state.json", state)

    @contextlib.contextmanager
    def stage(self) -> Iterator[Path]:
        """Yield an empty folder for wheels, and empty it again unless a journal needs it."""
        self._clear()
        make_folder(self.staging)
        try:
            yield self.staging
        finally:
            if not (self.folder / JOURNAL).is_file():
                self._clear()

    def wheel(self, kept: KeptWheel) -> Path | None:
        """Return the file of a kept wheel, or None."""
        path = self._wheels / kept.sha256[:16] / kept.file
        return path if path.is_file() else None

    def wheels_of(self, sha256: str) -> list[Path]:
        """Return the files of the wheels that were kept under a hash, without hashing them."""
        return sorted((self._wheels / sha256[:16]).glob("*.whl"))

    def keep(self, kept: KeptWheel, path: Path) -> None:
        """Keep a copy of a wheel, unless it is very large."""
        target = self._wheels / kept.sha256[:16] / kept.file
        if target.is_file() or path.stat().st_size > KEPT_BYTES:
            return
        make_folder(target.parent)
        with path.open("rb") as wheel, replacing(target) as copy:
            shutil.copyfileobj(wheel, copy)

    def prune(self, state: InstallState) -> None:
        """Delete the kept wheels that the state does not mention."""
        previous = [record.previous for record in state.plugins.values() if record.previous]
        wanted = {kept.sha256[:16] for kept in (*state.wheels.values(), *previous)}
        for folder in self._wheels.glob("*"):
            if folder.is_dir() and folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)

    def _clear(self) -> None:
        shutil.rmtree(self.staging, ignore_errors=True)

    def _write(self, name: str, value: InstallState | Journal) -> None:
        path = self.folder / name
        try:
            make_folder(self.folder)
            with replacing(path) as file:
                file.write(msgspec.json.format(msgspec.json.encode(value), indent=1))
        except OSError as error:
            raise InstallError(str(path), f"{path} cannot be written: {error.strerror}") from None
