"""Files that are replaced atomically, and the lock of a folder that a training writes into."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import muniment


def write_file(path: Path, data: bytes) -> None:
    """Replace a file: write it to disk under another name and rename it. Raises OSError."""
    temporary = unfinished(path)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        muniment.sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def unfinished(path: Path) -> Path:
    """Return the name of the file or folder in which this process prepares the file `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder during the block. Raise UsageError if another process has locked it.

    The lock is that of the open folder, so a killed process leaves nothing. Windows has none.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise muniment.UsageError(
                f"another process trains into {folder}; wait for it or use another folder"
            ) from None
        yield
    finally:
        os.close(descriptor)


def remove_abandoned(folder: Path) -> None:
    """Remove the unfinished files and folders of killed processes. The folder must be locked."""
    for path in list(folder.rglob(".*.*.*")):
        if path.suffix[1:].isdigit():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
