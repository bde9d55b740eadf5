"""Signing checkpoints: the key of a log, and what was last signed with it, kept beside the store.

Both lie in `keys` in the home folder, outside the database, so that who rolls the whole database
back, or puts another in its place, is found out by the next signature. The private key is not
encrypted, because every writing command signs and nobody is there to type a password: its file is
readable by its owner alone, and is never overwritten.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from muniment.errors import MunimentError, UsageError, VerificationError
from muniment.ledger import checkpoints
from muniment.ledger.checkpoints import Checkpoint, Note
from muniment.ledger.keys import KeyFormatError, PrivateKey, PublicKey
from muniment.ledger.tree import MissingNodesError, Read, consistency, verify_consistency

if TYPE_CHECKING:
    from muniment.store import Store
    from muniment.store.recording.tree_heads import Head

FOLDER = "keys"


class KeyFileError(MunimentError):
    """A key, or what was last signed with it, cannot be read or written; `path` says which."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


class KeyExistsError(UsageError):
    """There is a key already; it is never overwritten."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"there is a key already, {path}, and keys are never overwritten; to begin with a new "
            "one, move that file away and tell whoever verifies"
        )
        self.path = path


class UnsignableHeadError(VerificationError):
    """The ledger is not a continuation of what was signed before; nothing was signed."""

    def __init__(self, log: str, why: str) -> None:
        super().__init__(f"nothing was signed: {why}")
        self.log = log


@dataclass(frozen=True, slots=True)
class LastCheckpoint:
    """What was last signed: where the store was then, and the checkpoint as a note."""

    store: str
    note: str

    @property
    def parsed(self) -> Note:
        """The checkpoint with its signature."""
        return checkpoints.parse(self.note)

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint; nobody but the key's owner writes where it is kept."""
        return self.parsed.checkpoint


def after_writing(home: Path, store: Store) -> None:
    """Sign the head of a store that was written to, if its log has a key in that home."""
    if store.wrote:
        KeyStore(home).sign(store)


class KeyStore:
    """The keys in a home folder: one for each log, named by its identity."""

    def __init__(self, home: Path) -> None:
        """Take the home folder; nothing is read yet."""
        self.folder = home / FOLDER

    def path(self, log: str) -> Path:
        """Return the file of a log's private key."""
        return self.folder / f"{log}.key"

    def generate(self, log: str) -> PublicKey:
        """Make a key for a log and keep it; KeyExistsError where there is one."""
        path = self.path(log)
        key = PrivateKey.generate(checkpoints.origin(log))
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise KeyExistsError(path) from None
        except OSError as error:
            raise KeyFileError(path, f"the key {path} cannot be made: {error.strerror}") from None
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{key.text}\n")
            file.flush()
            os.fsync(file.fileno())
        return key.public

    def private(self, log: str) -> PrivateKey | None:
        """Return the key of a log, or None; KeyFileError for one that others could have read."""
        path = self.path(log)
        try:
            with path.open(encoding="utf-8") as file:
                if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                    raise KeyFileError(
                        path,
                        f"the private key {path} is readable by others; `chmod 600` it, or move it "
                        "away and generate a new one",
                    )
                key = PrivateKey.parse(file.read())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            why = error if isinstance(error, KeyFormatError) else "it cannot be read"
            raise KeyFileError(path, f"the private key {path} is of no use: {why}") from None
        if key.name != checkpoints.origin(log):
            raise KeyFileError(path, f"the private key {path} is of another log: {key.name}")
        return key

    def signed(self, log: str) -> LastCheckpoint | None:
        """Return what was last signed of a log, or None."""
        return _read(self._signed_path(log))

    def expected(self, store: Store) -> LastCheckpoint | None:
        """Return what the store should still have: what was last signed of it, or in its place."""
        if (own := self.signed(store.log)) is not None:
            return own
        found = map(_read, sorted(self.folder.glob("*.json")))
        return next((last for last in found if last and last.store == store.url), None)

    def sign(self, store: Store) -> Note | None:
        """Sign the store's head, if its log has a key, and keep the checkpoint here and there.

        Return it, or None where there is no key. Raises UnsignableHeadError when the ledger does
        not continue what was signed before, or the store is not the one that was here before.
        """
        if not self.folder.is_dir():
            return None
        log = store.log
        key = self.private(log)
        if key is None:
            self._refuse_replaced(store)
            return None
        return store.sign(lambda head, read: self._sign(key, store.url, head, read))

    def _sign(self, key: PrivateKey, store: str, head: Head, read: Read) -> Note:
        """Return the head signed, after it was kept as the last; runs under the store's lock."""
        last = self.signed(head.log)
        if last is not None:
            _refuse_inconsistent(last.checkpoint, head, read)
        note = checkpoints.signed(Checkpoint(key.name, head.size, head.root), key)
        now = LastCheckpoint(store, str(note))
        if now != last:
            _write(self._signed_path(head.log), now)
        return note

    def _signed_path(self, log: str) -> Path:
        return self.folder / f"{log}.json"

    def _refuse_replaced(self, store: Store) -> None:
        """Refuse to go on in silence where a log that was signed has made way for another."""
        last = self.expected(store)
        if last is None or last.checkpoint.origin == checkpoints.origin(store.log):
            return
        was = last.checkpoint
        log = was.origin.rpartition("/")[2]
        raise UnsignableHeadError(
            store.log,
            f"the store {store.url} is now the log {checkpoints.origin(store.log)}, but "
            f"{was.origin} was signed there, with {was.size} entries; bring that store back, or "
            f"remove {self._signed_path(log)} if this was meant",
        )


def _refuse_inconsistent(last: Checkpoint, head: Head, read: Read) -> None:
    """Raise UnsignableHeadError unless the ledger begins with what was signed."""
    if head.size < last.size:
        raise UnsignableHeadError(
            head.log,
            f"the store has {head.size} entries, but {last.size} were signed: it was rolled back, "
            "or its end was cut off; bring back the store that has them",
        )
    try:
        proof = consistency(last.size, head.size, read)
    except MissingNodesError as error:
        raise UnsignableHeadError(
            head.log, f"{error}; `muniment audit verify` says what is wrong"
        ) from None
    if not verify_consistency(last.size, last.root, head.size, head.root, proof):
        raise UnsignableHeadError(
            head.log,
            f"the first {last.size} entries are not those that were signed: the record was "
            "altered, or rolled back and then written to; `muniment audit verify` says more",
        )


def _read(path: Path) -> LastCheckpoint | None:
    try:
        held = json.loads(path.read_text("utf-8"))
        last = LastCheckpoint(str(held["store"]), str(held["checkpoint"]))
        checkpoints.parse(last.note)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise KeyFileError(
            path, f"{path} does not say what was last signed; bring it back from a backup"
        ) from None
    return last


def _write(path: Path, last: LastCheckpoint) -> None:
    """Write a file so that a crash leaves the old or the new one."""
    beside = path.with_suffix(".new")
    try:
        with beside.open("w", encoding="utf-8") as file:
            json.dump({"store": last.store, "checkpoint": last.note}, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise KeyFileError(path, f"{path} cannot be written: {error.strerror}") from None
