"""Writing outputs to files: checked before anything is generated, never half-written."""

from __future__ import annotations

import os
from pathlib import Path

from muniment.cli.output import on_terminal, write_bytes, write_data, write_note
from muniment.errors import MunimentError, UsageError
from muniment.types import Output


class OutputFile:
    """Where `-o` leads: one file, or numbered ones (`out-1.txt`, `out-2.txt`); `-` is stdout."""

    def __init__(self, path: str, *, overwrite: bool = False, count: int = 1) -> None:
        """Check that the files can be made, `count` of them; raises UsageError if they cannot.

        A link is followed. A device or a pipe (`special`) is written to and never replaced.
        """
        self.stdout = path == "-"
        self.target = Path(os.path.realpath(path)) if os.path.islink(path) else Path(path)
        self.special = not self.stdout and _special(self.target)
        self._overwrite = overwrite
        if self.stdout:
            return
        folder = self.target.parent
        if self.special:
            if not os.access(self.target, os.W_OK):
                raise UsageError(f"cannot write {path}: it is not writable")
            return
        if not folder.is_dir():
            raise UsageError(f"cannot write {path}: there is no folder {folder}")
        if self.target.is_dir():
            raise UsageError(f"cannot write {path}: it is a folder")
        if not os.access(folder, os.W_OK):
            raise UsageError(f"cannot write {path}: the folder {folder} is not writable")
        for number in range(1, count + 1):
            self._check(self._numbered((number,) if count > 1 else ()))

    def write(self, output: Output, number: tuple[int, ...] = ()) -> None:
        """Write an output's bytes; the numbers, if any, go before the file's suffix."""
        if self.stdout:
            write_bytes(output.data)
            return
        path = self._numbered(number)
        self.write_bytes(output.data, path)
        write_note(f"wrote {path} ({described(output)})")

    def write_bytes(self, content: bytes, path: Path | None = None) -> None:
        """Write a file so that it is there whole or not at all; raises MunimentError."""
        path = path or self.target
        self._check(path)
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            if _special(path):
                path.write_bytes(content)
                return
            beside.write_bytes(content)
            beside.replace(path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise MunimentError(f"cannot write {path}: {error.strerror}") from None

    def _check(self, path: Path) -> None:
        if path.exists() and not self._overwrite and not _special(path):
            raise UsageError(f"{path} is there already; name another file, or use --overwrite")

    def _numbered(self, number: tuple[int, ...]) -> Path:
        if self.special:
            return self.target
        suffix = "".join(f"-{part}" for part in number)
        return self.target.with_name(f"{self.target.stem}{suffix}{self.target.suffix}")


def _special(path: Path) -> bool:
    """Say whether there is a device, a pipe or a socket, which must not be replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def to_stdout(output: Output, identifier: str) -> None:
    """Write an output to standard output: text with one line end, other bytes to no terminal."""
    text = output.text
    if text is not None:
        write_data(without_end(text))
    elif on_terminal():
        write_note(f"{described(output)}; `muniment audit get {identifier} -o FILE` writes it")
    else:
        write_bytes(output.data)


def described(output: Output) -> str:
    """Return what an output is when it cannot be shown."""
    return f"{output.media_type}, {len(output.data):,} bytes"


def without_end(text: str) -> str:
    """Return a text without the line end that printing it adds."""
    return text.removesuffix("\n")
