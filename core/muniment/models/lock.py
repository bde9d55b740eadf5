"""The lock under which models are added to a home."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from muniment.files import make_folder, open_private

_PAUSE = 0.1  # seconds between two attempts
_LABEL_BYTES = 1000


@contextlib.contextmanager
def exclusive(path: Path, label: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file at `path` within the block, after waiting for another process.

    `label` is written into the file. If another process holds the lock, `waiting` is called once
    with the label of that process. The operating system releases the lock of a killed process.
    Raises OSError.
    """
    make_folder(path.parent)
    with open_private(path, "a+b") as file:
        descriptor = file.fileno()
        if not _acquire(descriptor):
            waiting(_read(descriptor))
            while not _acquire(descriptor):
                time.sleep(_PAUSE)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, label.encode(errors="replace")[:_LABEL_BYTES])
        yield


def _acquire(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            # Windows forbids reading a locked range, so the label's bytes are not part of it.
            os.lseek(descriptor, 1 << 30, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _read(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, _LABEL_BYTES).decode(errors="replace")
