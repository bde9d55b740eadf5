"""Files that are written atomically, and of which most can be read by their owner only."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from muniment.errors import UsageError

_Mode: TypeAlias = Literal["ab", "a+b", "r+b", "wb", "xb"]

_LOCK_SECONDS = 10.0  # age of a new file without a lock at which its process has ended


def atomic_write(path: Path, content: bytes, protected: Sequence[Path] = ()) -> None:
    """Write a file, in the same way as `replacing`."""
    with replacing(path, protected) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(
    path: Path, protected: Sequence[Path] = (), *, private: bool = True
) -> Iterator[BinaryIO]:
    """Yield a new file, which replaces the file at `path` when the block ends.

    The new file is in the same folder, and other programs may write to its `name` within the
    block. After an exception or a crash, `path` is unchanged. New files that killed processes left
    in the folder are removed. A replaced file's permissions are kept. Otherwise the new one is for
    its owner only if it is `private`, or follows the umask. Raises UsageError for a folder, or a
    file that is `protected`, which are those that the caller reads. Raises OSError.

    Example:
        >>> with muniment.replacing(folder / "state.json") as file:
        ...     file.write(b"{}")
        2
        >>> (folder / "state.json").read_bytes()
        b'{}'
    """
    check_target(path, protected)
    _remove_abandoned(path.parent)
    # The random name has a fixed length, because that of `path` may have the maximum already.
    temporary = path.with_name(f".muniment-{os.urandom(8).hex()}.part")
    opened = open_private if private or path.exists() else open_shared
    file = opened(temporary, "xb")
    try:
        with file:
            try_lock(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        replace_file(temporary, path, protected)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _remove_abandoned(folder: Path) -> None:
    """Remove the new files of `replacing` that no process has locked."""
    for path in folder.glob(".muniment-*.part"):
        remove_abandoned(path)


def remove_abandoned(path: Path) -> bool:
    """Remove a new file of `replacing` whose process has ended. Return whether it is gone."""
    with contextlib.suppress(OSError), open_private(path, "r+b") as file:
        # The lock follows the creation within less than this time.
        if time.time() - path.stat().st_mtime > _LOCK_SECONDS and try_lock(file):
            path.unlink()
    return not path.exists()


def replace_file(source: Path, target: Path, protected: Sequence[Path] = ()) -> None:
    """Rename a file and write the folder to disk. A replaced file's permissions are kept.

    Raises UsageError as `check_target` does, and OSError.
    """
    check_target(target, protected)
    if target.is_file():
        source.chmod(stat.S_IMODE(target.stat().st_mode) & 0o777)
    os.replace(source, target)
    sync_folder(target.parent)


def check_target(path: Path, protected: Sequence[Path] = ()) -> None:
    """Raise UsageError unless a file can be written at `path`.

    Neither a folder or device can be replaced, nor a `protected` file or a file in a `protected`
    folder, whatever its name.
    """
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise UsageError(f"cannot write {path}: it is {kind}; use another path")
    for other in protected:
        if os.path.isdir(other):
            if os.path.lexists(path) and _is_inside(path, other):
                raise UsageError(
                    f"cannot write {path}: it is in the folder {other}, which is also read; "
                    "use another path"
                )
        elif _is_same(path, other):
            raise UsageError(
                f"cannot write {path}: it is the file {other}, which is also read; use another path"
            )


def open_private(path: Path, mode: _Mode) -> BinaryIO:
    """Open a file, which is created for its owner only. No link is followed. Raises OSError."""
    return open(path, mode, opener=partial(_open, permissions=0o600))


def open_shared(path: Path, mode: _Mode) -> BinaryIO:
    """Open a file, which is created as the umask allows. No link is followed. Raises OSError."""
    return open(path, mode, opener=partial(_open, permissions=0o666))


def try_lock(file: BinaryIO) -> bool:
    """Lock an open file, unless another process has locked it. Return whether it is locked now.

    The lock is released when the last process closes the file or ends. Raises OSError.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            # Windows forbids reading a locked range, so the content is not part of it.
            file.seek(1 << 30)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents, for their owner only. Raises OSError."""
    for folder in (*reversed(path.parents), path):
        folder.mkdir(mode=0o700, exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Write a folder to disk with fsync, so that a crash does not undo a rename in it.

    Example:
        >>> muniment.sync_folder(folder)
    """
    # Not every system can open or sync a folder, and the rename itself has succeeded.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _open(path: str, flags: int, permissions: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), permissions)


def _is_inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _is_same(path: Path, other: Path) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:  # one of them does not exist yet
        return os.path.realpath(path) == os.path.realpath(other)
