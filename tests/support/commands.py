"""Calling the command line: in this process, which is fast, or in one of its own, which is real."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from muniment.cli import main
from support.terminals import Terminal, terminal

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs" / "reference" / "schema.json"


@dataclass(frozen=True)
class Result:
    """What a command did: its exit code, and what it wrote where."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def rows(self) -> list[list[str]]:
        """The cells of tab-separated lines."""
        return [line.split("\t") for line in self.lines]

    @property
    def fields(self) -> dict[str, list[str]]:
        """The values of the lines that begin with a name, such as those of `audit show`."""
        values: dict[str, list[str]] = {}
        for line in self.lines:
            if found := re.match(r"([^\s:]+) {2,}(\S.*)", line):
                values.setdefault(found[1], []).append(found[2])
        return values

    def json(self, shape: str) -> list[Any]:
        """The objects on standard output; each must be of the documented shape."""
        values = [json.loads(line) for line in self.lines]
        for value in values:
            check_shape(value, shape)
        return values


@cache
def _validator(shape: str) -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{shape}", "$defs": schema["$defs"]})


def check_shape(value: object, shape: str) -> None:
    """Raise unless the value is what docs/reference/schema.json says of that shape."""
    _validator(shape).validate(value)


class Here:
    """The command line called in this process."""

    def __init__(self, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capture = capture
        self._patch = patch

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> Result:
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self._capture.readouterr()
        code = main([str(argument) for argument in arguments])
        return Result(code, *self._capture.readouterr())

    def on_terminal(self, *arguments: str | Path, width: int = 100, colour: bool = False) -> Result:
        """Run a command on a terminal, as `Processes.on_terminal` does, in this process."""
        ours, theirs = _terminal(width)
        kept = [os.dup(1), os.dup(2)]
        said: list[bytes] = []
        reader = threading.Thread(target=_read_all, args=(ours, said))
        with self._patch.context() as patch:
            for name, value in (("TERM", "xterm"), ("NO_COLOR", "" if colour else "1")):
                patch.setenv(name, value)
            patch.delenv("COLUMNS", raising=False)
            for descriptor, name in ((1, "stdout"), (2, "stderr")):
                os.dup2(theirs, descriptor)
                stream = open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
                patch.setattr(sys, name, stream)
            os.close(theirs)
            reader.start()
            try:
                code = main([str(argument) for argument in arguments])
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                for descriptor, copy in zip((1, 2), kept, strict=True):
                    os.dup2(copy, descriptor)
                    os.close(copy)
        reader.join()
        os.close(ours)
        return _result(code, b"".join(said))


class Processes:
    """The command line called as a program; plugins are found in the folder given."""

    def __init__(self, plugins: Path, home: Path) -> None:
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "COLUMNS"},
            "PYTHONPATH": str(plugins),
            "MUNIMENT_HOME": str(home),
        }
        self.program = str(Path(sys.executable).with_name("muniment"))

    def __call__(
        self, *arguments: str | Path | bytes, stdin: bytes = b"", **environment: str
    ) -> Result:
        done = subprocess.run(
            [self.program, *arguments],
            input=stdin,
            capture_output=True,
            env={**self.environment, **environment},
            timeout=120,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    @contextlib.contextmanager
    def started(self, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
        """A command under way; it is killed if the block leaves it running."""
        process = subprocess.Popen(
            [self.program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            encoding="utf-8",
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def terminal(
        self, *arguments: str | Path, width: int = 100
    ) -> contextlib.AbstractContextManager[Terminal]:
        """A command under way on a terminal of its own, which a test reads and types to."""
        return terminal([self.program, *map(str, arguments)], self.environment, width=width)

    def on_terminal(
        self, *arguments: str | Path, width: int = 100, types: str = "", colour: bool = False
    ) -> Result:
        """Run a command on a terminal, which takes standard output and error alike.

        `types` is what someone types there; `out` is what it wrote without control sequences,
        `err` with them.
        """
        ours, theirs = _terminal(width)
        process = subprocess.Popen(
            [self.program, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**self.environment, "TERM": "xterm", "NO_COLOR": "" if colour else "1"},
        )
        os.close(theirs)
        os.write(ours, types.encode())
        said: list[bytes] = []
        _read_all(ours, said)
        os.close(ours)
        return _result(process.wait(timeout=120), b"".join(said))


def _terminal(width: int) -> tuple[int, int]:
    """Return both ends of a new terminal, the second for the command."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    return ours, theirs


def _read_all(terminal: int, said: list[bytes]) -> None:
    """Read what a command writes to a terminal until it has closed it."""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end was closed
            return
        if not part:
            return
        said.append(part)


def _result(code: int, said: bytes) -> Result:
    raw = said.decode().replace("\r\n", "\n")
    return Result(code, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw), raw)
