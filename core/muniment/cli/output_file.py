"""Output files, checked before anything is generated and written atomically."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from muniment.cli.context import CliContext
from muniment.cli.output import on_terminal, write_bytes, write_data, write_note
from muniment.errors import MunimentError, UsageError
from muniment.files import check_target, replacing
from muniment.types.media_types import is_text_type

if TYPE_CHECKING:
    from muniment.types.outputs import Output


class OutputFile:
    """Target of `-o`, which is one file, numbered files (`out-1.txt`), or stdout for `-`.

    A new file has the permissions that the umask allows. A replaced file keeps its own.
    """

    def __init__(
        self,
        path: str,
        *,
        overwrite: bool = False,
        count: int = 1,
        inputs: Iterable[str | None] = (),
    ) -> None:
        """Raise UsageError unless `count` files can be created.

        Links are followed. A device or a pipe (`special`) is written to and never replaced.
        `inputs` are paths of files and folders that the command reads. Neither they nor the files
        of the store can be replaced, whatever their names.
        """
        self.stdout = path == "-"
        self.target = Path(os.path.realpath(path)) if os.path.islink(path) else Path(path)
        self.special = not self.stdout and _special(self.target)
        self._overwrite = overwrite
        self._protected: list[Path] = []
        if self.stdout:
            return
        folder = self.target.parent
        if self.special:
            if not os.access(self.target, os.W_OK):
                raise UsageError(f"cannot write {path}: it is not writable")
            return
        if not folder.is_dir():
            raise UsageError(f"cannot write {path}: the folder {folder} does not exist")
        check_target(self.target)
        if not os.access(folder, os.W_OK):
            raise UsageError(f"cannot write {path}: the folder {folder} is not writable")
        self._protected += [Path(name) for name in inputs if name and os.path.exists(name)]
        context = click.get_current_context(silent=True)
        if settings := context and context.find_object(CliContext):
            self._protected += settings.files
        for number in range(1, count + 1):
            self._check(self._numbered((number,) if count > 1 else ()))

    def write(self, content: bytes, number: tuple[int, ...], media_type: str) -> None:
        """Write content, with the numbers, if any, before the file's suffix."""
        if self.stdout:
            content_to_stdout(content, media_type, of_several=bool(number))
            return
        path = self._numbered(number)
        self.write_bytes(content, path)
        write_note(f"wrote {path} ({media_type}, {len(content):,} bytes)")

    def write_bytes(self, content: bytes, path: Path | None = None) -> None:
        """Write a file atomically. Raises MunimentError if it cannot be written."""
        with self.open(path) as file:
            file.write(content)

    @contextlib.contextmanager
    def open(self, path: Path | None = None) -> Iterator[BinaryIO]:
        """Yield a file, which gets the name of the target when the block ends.

        Raises MunimentError if it cannot be written.
        """
        path = path or self.target
        self._check(path)
        try:
            special = _special(path)
            replaced = partial(replacing, path, self._protected, private=False)
            with path.open("wb") if special else replaced() as file:
                yield file
        except OSError as error:
            raise MunimentError(f"cannot write {path}: {error.strerror}") from None

    def _check(self, path: Path) -> None:
        if _special(path):
            return
        if path.exists() and not self._overwrite:
            raise UsageError(f"{path} already exists; use another file or --overwrite")
        check_target(path, self._protected)

    def _numbered(self, number: tuple[int, ...]) -> Path:
        if self.special:
            return self.target
        suffix = "".join(f"-{part}" for part in number)
        return self.target.with_name(f"{self.target.stem}{suffix}{self.target.suffix}")


def _special(path: Path) -> bool:
    """Return whether the path is a device, a pipe or a socket, which must not be replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def content_to_stdout(content: bytes, media_type: str, *, of_several: bool) -> None:
    """Write the content of a file to stdout.

    Each of several texts ends with a line end, so that each JSON document is a line.
    """
    if of_several and is_text_type(media_type) and not content.endswith(b"\n"):
        content += b"\n"
    write_bytes(content)


def to_stdout(output: Output, command: Callable[[], str]) -> None:
    """Write an output to stdout, unless it is binary and stdout is a terminal.

    `command` returns the command that writes it to a file, which a note then names.
    """
    text = output.text
    if text is not None:
        write_data(without_end(text))
    elif on_terminal():
        write_note(f"{described(output)}; run `{command()}` to save it")
    else:
        write_bytes(output.data)


def input_path(argument: str) -> str:
    """Return the path of an input, which for `-` is that of standard input."""
    return "/dev/stdin" if argument == "-" else argument


def described(output: Output) -> str:
    """Return the type and size of an output."""
    return f"{output.media_type}, {len(output.data):,} bytes"


def without_end(text: str) -> str:
    """Return a text without its last line end, which printing adds."""
    return text.removesuffix("\n")
