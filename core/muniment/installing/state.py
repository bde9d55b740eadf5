"""What outlives a command: the journal of a change, and what is known of what was installed.

It lies in the home folder, in `plugins`, in a folder for each environment that uses the home. So it
is still there when `pipx reinstall` or `uv tool upgrade` makes the environment anew, and says which
plugins went with the old one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.metadata import Distribution
from pathlib import Path
from typing import TypeVar

import msgspec

from muniment.installing.errors import InstallError
from muniment.ledger.acts import PluginAct

_T = TypeVar("_T")
KEPT_BYTES = 100 * 2**20  # a larger wheel is not kept; its hash is


class KeptWheel(msgspec.Struct, frozen=True):
    """A wheel that was installed, by its hash; `file` is its name in the folder it lies in."""

    name: str
    version: str
    sha256: str
    file: str


class InstallRecord(msgspec.Struct):
    """A plugin as it was installed here; `brought` are the distributions that came along."""

    name: str
    version: str
    digest: str
    signer: str | None = None
    brought: list[str] = []
    previous: KeptWheel | None = None
    previous_signer: str | None = None

    def changed(self, version: str, digest: str) -> bool:
        """Whether that digest of the code is not that of the version that was installed."""
        return version == self.version and digest != self.digest


class State(msgspec.Struct):
    """What `muniment plugins` installed, by normalised name; `wheels` are of all of it."""

    environment: str
    plugins: dict[str, InstallRecord] = {}
    wheels: dict[str, KeptWheel] = {}


class InstallEvent(msgspec.Struct, frozen=True):
    """What was done to a plugin, as it goes on record; `at` is in milliseconds since 1970."""

    at: int
    act: PluginAct
    distribution: str
    version: str
    digest: str
    signer: str | None


class Journal(msgspec.Struct):
    """A change under way: enough to put everything back, or to finish it.

    `new` was not there before and `replaced` was; their wheels lie in the staging folder.
    `removed` is on its way out. When `acts` is there the environment is done with, and only
    `state` and the record are behind.
    """

    what: str
    new: list[KeptWheel] = []
    replaced: list[KeptWheel] = []
    removed: list[str] = []
    acts: list[InstallEvent] | None = None
    state: State | None = None


class Records:
    """The records of one environment in one home folder."""

    def __init__(self, home: Path, prefix: Path) -> None:
        """Take the home folder and the environment's; nothing is read yet."""
        self._prefix = str(prefix)
        self.folder = home / "plugins" / sha256(os.fsencode(prefix)).hexdigest()[:16]
        self.staging = self.folder / "staging"
        self._wheels = self.folder / "wheels"

    def state(self) -> State:
        """Return what was installed; raises InstallError where that cannot be read."""
        return self._read("state.json", State) or State(self._prefix)

    def journal(self) -> Journal | None:
        """Return the change that is under way or was cut short, if there is one."""
        return self._read("journal.json", Journal)

    def write_state(self, state: State) -> None:
        """Keep what was installed."""
        self._write("state.json", state)

    def write_journal(self, journal: Journal) -> None:
        """Keep how to put everything back; it is on the disk when this returns."""
        self._write("journal.json", journal)

    def close_journal(self) -> None:
        """Say that nothing is under way any more."""
        (self.folder / "journal.json").unlink(missing_ok=True)

    def cut_short(self) -> Journal | None:
        """Return the journal of a change that nobody is at work on; None where there is none."""
        if not (self.folder / "journal.json").is_file():
            return None
        with contextlib.suppress(InstallError), self.locked():
            return self.journal()
        return None

    def gone(self, present: Mapping[str, Distribution]) -> dict[str, InstallRecord]:
        """Return what was installed here and is not there any more."""
        return {name: held for name, held in self.state().plugins.items() if name not in present}

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Keep other commands from changing this environment; yields the open file.

        A process that is started with that file, as pip is, holds the lock until it ends, too.
        Raises InstallError when another command is at it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / "lock").open("a")
        except OSError as error:
            raise InstallError(
                self._prefix, f"{self.folder} cannot be written: {error.strerror}"
            ) from None
        with file:
            try:
                _lock(file.fileno())
            except OSError:
                raise InstallError(
                    self._prefix,
                    f"another command is changing the plugins of {self._prefix}; try again when it "
                    "is done",
                ) from None
            yield file.fileno()

    @contextlib.contextmanager
    def stage(self) -> Iterator[Path]:
        """Empty the staging folder for a change, and again when nothing needs it any more."""
        self._clear()
        self.staging.mkdir(parents=True)
        try:
            yield self.staging
        finally:
            if not (self.folder / "journal.json").is_file():
                self._clear()

    def wheel(self, kept: KeptWheel) -> Path | None:
        """Return the file of a wheel that was kept, or None."""
        path = self._wheels / kept.sha256[:16] / kept.file
        return path if path.is_file() else None

    def kept(self, sha256: str) -> list[Path]:
        """Return the files of wheels that were kept under a hash; they are not hashed again."""
        return sorted((self._wheels / sha256[:16]).glob("*.whl"))

    def kept_folders(self) -> list[Path]:
        """Return the folders with wheels that were kept."""
        return sorted(path for path in self._wheels.glob("*") if path.is_dir())

    def keep(self, kept: KeptWheel, path: Path) -> None:
        """Keep a copy of a wheel, unless it is very large."""
        target = self._wheels / kept.sha256[:16] / kept.file
        if target.is_file() or path.stat().st_size > KEPT_BYTES:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.part")
        shutil.copyfile(path, beside)
        beside.replace(target)

    def prune(self, state: State) -> None:
        """Delete the wheels that the state does not speak of."""
        previous = [held.previous for held in state.plugins.values() if held.previous]
        wanted = {kept.sha256[:16] for kept in (*state.wheels.values(), *previous)}
        for folder in self.kept_folders():
            if folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)

    def _clear(self) -> None:
        shutil.rmtree(self.staging, ignore_errors=True)

    def _read(self, name: str, kind: type[_T]) -> _T | None:
        path = self.folder / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise InstallError(
                str(path),
                f"{path} cannot be read ({error}); move it away, and what is installed stays, but "
                "nothing is known of how it came",
            ) from None

    def _write(self, name: str, value: State | Journal) -> None:
        path = self.folder / name
        beside = path.with_suffix(".new")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(value), indent=1))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError as error:
            raise InstallError(str(path), f"{path} cannot be written: {error.strerror}") from None


def now() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _lock(descriptor: int) -> None:
    """Lock an open file or raise OSError; the lock goes with the last process that has it open."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
