"""Replace the folder of a model, so that a kill leaves the old or the new one."""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

import muniment

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of linux/fcntl.h and linux/fs.h


class Replacement:
    """The replacement of a model's folder by a new one beside it.

    A kill at any time leaves the old or the new folder at its path. Where the system cannot
    exchange two folders, `recover` completes a replacement that was killed between two renames.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.new = folder.with_name(f".{folder.name}.new")
        """The path at which the new folder must be written."""
        self._old = folder.with_name(f".{folder.name}.old")

    def recover(self) -> None:
        """Delete what a killed replacement left. Raises UsageError."""
        try:
            if not self._folder.exists() and self._old.exists():
                self._old.rename(self._folder)
            for path in (self.new, self._old):
                if path.exists():
                    shutil.rmtree(path)
        except OSError as error:
            raise self._error(error) from None

    def finish(self) -> None:
        """Put the new folder in the place of the old one, and delete that. Raises UsageError."""
        try:
            if not _exchange(self.new, self._folder):
                self._folder.rename(self._old)
                self.new.rename(self._folder)
        except OSError as error:
            raise self._error(error) from None
        self.recover()

    def _error(self, error: OSError) -> muniment.UsageError:
        return muniment.UsageError(
            f"the model {self._folder} cannot be replaced: {error.strerror}; check the folder and "
            "run the command again"
        )


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders atomically. Return False where the system cannot do that."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):  # not Linux, or an old C library
        return False
    paths = os.fsencode(one), os.fsencode(other)
    return bool(rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0)
