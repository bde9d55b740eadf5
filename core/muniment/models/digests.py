"""Digests of files and folders, which identify models and the code of plugins.

A file is `file-sha256:<hex>`. A folder is `tree1-sha256:<hex>`, the SHA-256 of this RFC 8785 JSON:

    {"resources": [{"algorithm", "digest", "name"}, …], "scheme": "muniment-model-tree/1"}

Names are relative with `/` and sorted by code points. Renaming or changing a file changes the
digest of its folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from muniment.errors import ModelError
from muniment.files import atomic_write, make_folder
from muniment.ledger.canonical import canonical

SCHEME = "muniment-model-tree/1"

_IGNORED_AT_ROOT = ("model.sig",)
_PART_BYTES = 1 << 20
_YOUNG_NS = 100_000_000  # a second change within the file system's clock tick is not visible


class FileHashes:
    """SHA-256 of files, cached by (device, inode, size, mtime, ctime).

    `verify` and `replay` must not trust a cache, so they use no cache file. `cache` is a JSON file
    that may be deleted at any time. `progress` receives the size of each part of a hashed file.
    """

    def __init__(
        self, cache: Path | None = None, progress: Callable[[int], None] = lambda size: None
    ) -> None:
        self._cache, self._progress = cache, progress
        self._known: dict[str, str] = {}
        if cache is not None:
            with contextlib.suppress(OSError, ValueError):  # the hashes are computed again
                self._known = msgspec.json.decode(cache.read_bytes(), type=dict[str, str])
        self._fresh = False

    def sha256(self, path: Path) -> str:
        """Return the SHA-256 of a regular file in hexadecimal."""
        with path.open("rb") as file:
            info = os.fstat(file.fileno())
            key = (
                f"{info.st_dev}:{info.st_ino}:{info.st_size}:{info.st_mtime_ns}:{info.st_ctime_ns}"
            )
            if self._cache is not None and key in self._known:
                return self._known[key]
            file_digest = self._hash(file)
        if time.time_ns() - max(info.st_mtime_ns, info.st_ctime_ns) > _YOUNG_NS:
            self._known[key] = file_digest
            self._fresh = True
        return file_digest

    def _hash(self, file: BinaryIO) -> str:
        content = hashlib.sha256()
        while part := file.read(_PART_BYTES):
            content.update(part)
            self._progress(len(part))
        return content.hexdigest()

    def save(self) -> None:
        """Write new hashes to the cache file, if there is one and it can be written."""
        if self._cache is None or not self._fresh:
            return
        with contextlib.suppress(OSError):  # a read-only home still generates
            make_folder(self._cache.parent)
            atomic_write(self._cache, msgspec.json.encode(self._known))


def digest(path: Path, hashes: FileHashes, *, keep: Callable[[str], bool] | None = None) -> str:
    """Return the digest of a file or folder.

    `keep` selects files of a folder by their relative names. The default is all files. Raises
    ModelError for a name that is not UTF-8 or collides with another under NFC and case folding.
    It is also raised for a link out of the folder, and for anything but a regular file. Raises
    OSError for a file that cannot be read.
    """
    if path.is_file():
        return f"file-sha256:{hashes.sha256(path)}"
    return tree_digest(files(path, keep=keep), hashes)


def tree_digest(files: Mapping[str, Path], hashes: FileHashes) -> str:
    """Return the digest of a folder with these files, given by relative name with `/`."""
    resources = [
        {"algorithm": "sha256", "digest": hashes.sha256(file), "name": name}
        for name, file in sorted(files.items())
    ]
    manifest = canonical({"resources": resources, "scheme": SCHEME})
    return f"tree1-sha256:{hashlib.sha256(manifest).hexdigest()}"


def files(root: Path, *, keep: Callable[[str], bool] | None = None) -> dict[str, Path]:
    """Return the files of a digest by relative name with `/`. Raise as `digest` does."""
    paths: dict[str, Path] = {}
    folded: dict[str, str] = {}
    home = root.resolve()
    blobs = home.parent.parent / "blobs"  # where a hub cache keeps what its snapshots link to
    for name, path in _walk(root):
        if keep is not None and not keep(name):
            continue
        target = Path(os.path.realpath(path))
        if path.is_symlink() and not (target.is_relative_to(home) or target.parent == blobs):
            raise ModelError(str(root), f"{root}: the link {name} leads out of the folder")
        if not stat.S_ISREG(target.stat().st_mode):
            raise ModelError(str(root), f"{root}: {name} is not a regular file")
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ModelError(str(root), f"{root}: the name {name!r} is not UTF-8") from None
        key = unicodedata.normalize("NFC", name).casefold()
        if key in folded:
            raise ModelError(
                str(root), f"{root}: {folded[key]} and {name} are one file on some systems"
            )
        folded[key] = name
        paths[name] = target
    return paths


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    def refuse(error: OSError) -> None:
        raise error  # an unreadable folder must not be omitted silently

    for folder, directories, names in os.walk(root, onerror=refuse):
        at_root = Path(folder) == root
        relative = Path(folder).relative_to(root)
        directories[:] = [
            name
            for name in directories
            if not (at_root and name.startswith(".git"))
            and not (relative.as_posix() == ".cache" and name == "huggingface")
        ]
        linked = [name for name in directories if (Path(folder) / name).is_symlink()]
        if linked:
            raise ModelError(str(root), f"{root}: {linked[0]} is a link to a folder; copy it in")
        for name in names:
            if at_root and (name.startswith(".git") or name in _IGNORED_AT_ROOT):
                continue
            yield (relative / name).as_posix(), Path(folder) / name
