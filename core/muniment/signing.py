"""Sign checkpoints of the ledger, and keep the signing keys and the last signed checkpoints.

Both are files in the folder `keys` of the home folder, outside the database. So a rollback or a
replacement of the database is detected by the next signature.

The private key is not encrypted, because every writing command signs, also without a terminal
for a password. Only its owner can read its file, and it is never overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import muniment.store
from muniment.errors import DamagedStoreError, MunimentError, UsageError, VerificationError
from muniment.files import atomic_write, make_folder, open_private, sync_folder
from muniment.ledger import checkpoints
from muniment.ledger.checkpoints import Checkpoint, Note
from muniment.ledger.keys import KeyFormatError, PrivateKey, PublicKey
from muniment.ledger.tree import MissingNodesError, Read, consistency_proof, verify_consistency

if TYPE_CHECKING:
    from muniment.store.recording.tree_heads import Head

FOLDER = "keys"


class LastCheckpoint(msgspec.Struct, frozen=True):
    """The last signed checkpoint of a log, as a signed note, and the URL of its store."""

    store: str
    note: str = msgspec.field(name="checkpoint")

    @property
    def parsed(self) -> Note:
        """The checkpoint with its signature."""
        return checkpoints.parse_note(self.note)

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint, whose signature is not verified."""
        # Only the owner of the key can write to its folder.
        return self.parsed.checkpoint


class KeyStore:
    """The keys and last checkpoints in a home folder, one of each for a log."""

    def __init__(self, home: Path) -> None:
        """Remember the folder without reading it."""
        self.folder = home / FOLDER

    def path(self, log: str) -> Path:
        """Return the path of a log's private key."""
        return self.folder / f"{log}.key"

    def generate(self, log: str) -> PublicKey:
        """Generate a key for a log and save it.

        Raises UsageError if the log has a key, and MunimentError if it cannot be saved.
        """
        path = self.path(log)
        key = PrivateKey.generate(checkpoints.origin(log))
        try:
            make_folder(self.folder)
            with open_private(path, "xb") as file:
                file.write(f"{key.text}\n".encode())
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            raise UsageError(
                f"the key {path} exists already, and keys are never overwritten; `muniment keys "
                "show` prints its public key; to use a new key, move that file away and give the "
                "new public key to your verifiers"
            ) from None
        except OSError as error:
            raise MunimentError(f"cannot write the key {path}: {error.strerror}") from None
        sync_folder(self.folder)
        return key.public

    def private_key(self, log: str) -> PrivateKey | None:
        """Return the private key of a log, or None if it has none.

        Raises MunimentError if other users can read the file, if it is invalid, or if its key
        belongs to another log.
        """
        path = self.path(log)
        try:
            with path.open(encoding="utf-8") as file:
                if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                    raise MunimentError(
                        f"the private key {path} is readable by others; run `chmod 600 {path}`, or "
                        "move it away and generate a new one",
                    )
                key = PrivateKey.parse(file.read())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            why = error if isinstance(error, KeyFormatError) else "it cannot be read"
            raise MunimentError(f"the private key {path} cannot be used: {why}") from None
        if key.name != checkpoints.origin(log):
            raise MunimentError(f"the private key {path} belongs to another log: {key.name}")
        return key

    def last_checkpoint(self, log: str) -> LastCheckpoint | None:
        """Return the last signed checkpoint of a log, or None."""
        return _read(self.checkpoint_path(log))

    def expected_checkpoint(self, store: muniment.store.Store) -> LastCheckpoint | None:
        """Return the checkpoint that the store must continue, or None.

        That is the last checkpoint of its log, or else of the log that its URL had before.
        """
        if (own := self.last_checkpoint(store.log)) is not None:
            return own
        saved = map(_read, self.checkpoint_paths())
        return next((last for last in saved if last and last.store == store.url), None)

    def sign(self, store: muniment.store.Store) -> Note | None:
        """Sign the head of the store, and save the checkpoint in the store and in this folder.

        Return the checkpoint, or None if the log has no key. Raises VerificationError if the
        ledger does not continue the last checkpoint, or if another log was signed at this URL.
        """
        if not self.folder.is_dir():
            return None
        log = store.log
        key = self.private_key(log)
        if key is None:
            self._raise_if_replaced(store)
            return None
        return store.sign(lambda head, read: self._sign(key, store.url, head, read))

    def newest_checkpoint(self, store: muniment.store.Store) -> Note:
        """Return the newest checkpoint, after signing the current head if there is a key.

        Raises MunimentError if there is neither.
        """
        if (note := self.sign(store)) is not None:
            return note
        if notes := store.signed():  # a copy of a store, without its key
            return notes[0]
        raise MunimentError(
            "the record has no signed checkpoint; run `muniment keys generate` to create a key and "
            "sign"
        )

    def verify(
        self,
        store: muniment.store.Store,
        *,
        key: PublicKey | None = None,
        trusted: Sequence[muniment.store.TrustedCheckpoint] = (),
        **options: Any,
    ) -> muniment.store.Verification:
        """Verify a store with this home's key and the last checkpoint that it signed.

        `key` replaces the home's key. `trusted` has further checkpoints that the ledger must
        continue. The other options are those of `Store.verify`.
        """
        if last := self.expected_checkpoint(store):
            trusted = [
                muniment.store.TrustedCheckpoint("the last checkpoint signed here", last.parsed),
                *trusted,
            ]
        private = self.private_key(store.log) if key is None else None
        key = private.public if private else key
        return store.verify(key=key, trusted=trusted, **options)

    def _sign(self, key: PrivateKey, store: str, head: Head, read: Read) -> Note:
        """Sign a head and save it as the last checkpoint. The store's write lock is held."""
        last = self.last_checkpoint(head.log)
        if last is not None:
            _raise_if_inconsistent(last.checkpoint, head, read)
        note = checkpoints.sign_checkpoint(Checkpoint(key.name, head.size, head.root), key)
        new = LastCheckpoint(store, str(note))
        if new != last:
            path = self.checkpoint_path(head.log)
            try:
                atomic_write(path, msgspec.json.encode(new))
            except OSError as error:
                raise MunimentError(f"cannot write {path}: {error.strerror}") from None
        return note

    def checkpoint_path(self, log: str) -> Path:
        """Return the path of the last signed checkpoint of a log."""
        return self.folder / f"{log}.json"

    def checkpoint_paths(self) -> list[Path]:
        """Return the paths of the last signed checkpoints of all logs."""
        return sorted(self.folder.glob("*.json"))

    def _raise_if_replaced(self, store: muniment.store.Store) -> None:
        """Raise VerificationError if another log was signed at the URL of the store."""
        last = self.expected_checkpoint(store)
        if last is None or last.checkpoint.origin == checkpoints.origin(store.log):
            return
        signed = last.checkpoint
        log = signed.origin.rpartition("/")[2]
        raise _not_signed(
            f"the store {store.name} is log {checkpoints.origin(store.log)}, but log "
            f"{signed.origin} was signed there, with {signed.size} entries; restore that store, or "
            f"remove {self.checkpoint_path(log)} if you replaced it on purpose",
        )


def open_store(
    home: Path, url: str, *, create: bool, outdated: bool = False
) -> muniment.store.Store:
    """Open the store of a home folder. The options are those of `Store.open`.

    Raises DamagedStoreError if the store is missing but a checkpoint of it was signed in the home.
    """
    try:
        return muniment.store.Store.open(url, create=False, outdated=outdated)
    except muniment.store.NoStoreError as error:
        _raise_if_signed(KeyStore(home), error)
        if not create:
            raise
    return muniment.store.Store.open(url, create=True, outdated=outdated)


def _raise_if_signed(keys: KeyStore, error: muniment.store.NoStoreError) -> None:
    """Raise DamagedStoreError if the store that is missing was signed before."""
    for path in keys.checkpoint_paths():
        last = _read(path)
        if last is not None and last.store == error.url:
            raise DamagedStoreError(
                error.url,
                f"the store {error.where} is missing or empty, but {last.checkpoint.size} entries "
                "were signed there; restore a backup with `muniment db restore`, or remove "
                f"{path} to begin a new record",
            )


def _raise_if_inconsistent(last: Checkpoint, head: Head, read: Read) -> None:
    """Raise VerificationError unless the ledger begins with the entries of a checkpoint."""
    if head.size < last.size:
        raise _not_signed(
            f"the store has {head.size} entries, but {last.size} were signed: it was truncated or "
            "rolled back; restore a backup that has them",
        )
    try:
        proof = consistency_proof(last.size, head.size, read)
    except MissingNodesError as error:
        raise _not_signed(f"{error}; run `muniment audit verify` to find the cause") from None
    if not verify_consistency(last.size, last.root, head.size, head.root, proof):
        raise _not_signed(
            f"the first {last.size} entries differ from the signed ones: the ledger was altered, "
            "or rolled back and then written to; run `muniment audit verify` to find the "
            "difference",
        )


def _not_signed(why: str) -> VerificationError:
    return VerificationError(f"nothing was signed: {why}")


def _read(path: Path) -> LastCheckpoint | None:
    """Read a last checkpoint. Return None for a missing file, raise MunimentError for a bad one."""
    try:
        last = msgspec.json.decode(path.read_bytes(), type=LastCheckpoint)
        checkpoints.parse_note(last.note)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise MunimentError(
            f"{path} is not a valid last checkpoint; restore it from a backup"
        ) from None
    return last
