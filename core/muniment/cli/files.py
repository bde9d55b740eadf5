"""Writing outputs to files: checked before anything is generated, never half-written."""

from __future__ import annotations

import os
from pathlib import Path

from muniment.cli.output import data, data_bytes, message, on_terminal
from muniment.errors import MunimentError, UsageError
from muniment.types import Output


class Destination:
    """Where `-o` leads: one file, or numbered ones (`out-1.txt`, `out-2.txt`); `-` is stdout."""

    def __init__(self, path: str, *, overwrite: bool = False, count: int = 1) -> None:
        """Check that the files can be made, `count` of them; raises UsageError if they cannot."""
        self.stdout = path == "-"
        self._path = Path(path)
        self._overwrite = overwrite
        if self.stdout:
            return
        folder = self._path.parent
        if not folder.is_dir():
            raise UsageError(f"cannot write {path}: there is no folder {folder}")
        if self._path.is_dir():
            raise UsageError(f"cannot write {path}: it is a folder")
        if not os.access(folder, os.W_OK):
            raise UsageError(f"cannot write {path}: the folder {folder} is not writable")
        for number in range(1, count + 1):
            self._check(self._numbered((number,) if count > 1 else ()))

    def write(self, output: Output, number: tuple[int, ...] = ()) -> None:
        """Write an output's bytes; the numbers, if any, go before the file's suffix."""
        if self.stdout:
            data_bytes(output.data)
            return
        path = self._numbered(number)
        self.write_bytes(output.data, path)
        message(f"wrote {path} ({described(output)})")

    def write_bytes(self, content: bytes, path: Path | None = None) -> None:
        """Write a file so that it is there whole or not at all; raises MunimentError."""
        path = path or self._path
        self._check(path)
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            beside.write_bytes(content)
            beside.replace(path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise MunimentError(f"cannot write {path}: {error.strerror}") from None

    def _check(self, path: Path) -> None:
        if path.exists() and not self._overwrite:
            raise UsageError(f"{path} is there already; name another file, or use --overwrite")

    def _numbered(self, number: tuple[int, ...]) -> Path:
        suffix = "".join(f"-{part}" for part in number)
        return self._path.with_name(f"{self._path.stem}{suffix}{self._path.suffix}")


def to_stdout(output: Output, identifier: str) -> None:
    """Write an output to standard output: text with one line end, other bytes to no terminal."""
    text = output.text
    if text is not None:
        data(without_end(text))
    elif on_terminal():
        message(f"{described(output)}; `muniment audit get {identifier} -o FILE` writes it")
    else:
        data_bytes(output.data)


def described(output: Output) -> str:
    """Return what an output is when it cannot be shown."""
    return f"{output.media_type}, {len(output.data):,} bytes"


def without_end(text: str) -> str:
    """Return a text without the line end that printing it adds."""
    return text.removesuffix("\n")
