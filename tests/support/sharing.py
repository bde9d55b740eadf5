"""Objects that are made once for all processes of a test run, in a folder with locks."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SHARED = pytest.StashKey[Path]()


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, which the kernel releases when the process ends."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Return the folder, made by the first process that asks for it; the others wait.

    A folder whose making failed is removed and made again by the next process.
    """
    done = folder.with_name(f"{folder.name}.done")
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def link(source: str | Path, target: str | Path) -> None:
    """Give a file a second name, or copy it where the target is on another file system.

    Only for files that are replaced, and never changed in place.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
