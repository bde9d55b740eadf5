"""A command on a terminal of its own, to which a test types as a person does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence

SECONDS = 120.0


class Terminal:
    """The terminal of a running command. `seen` is everything that it displayed."""

    def __init__(self, process: subprocess.Popen[bytes], ours: int) -> None:
        self._process, self._ours = process, ours
        self._from = 0
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def press(self, key: str, text: str) -> str:
        """Type a key until the text is displayed, and return what came before the text.

        CPython loses a signal that arrives just before `input()` waits, until the next key.
        """
        running = True
        while running and self.seen.find(text, self._from) < 0:
            self.type(key)
            again = time.monotonic() + 3
            while self.seen.find(text, self._from) < 0 and time.monotonic() < again:
                if not (running := self._read(0.2)):
                    break
        return self.expect(text)

    def expect(self, text: str) -> str:
        """Wait until the text is displayed after the last expected one. Return what came before."""
        ends = time.monotonic() + SECONDS
        while (found := self.seen.find(text, self._from)) < 0:
            assert time.monotonic() < ends, f"no {text!r} in {self.seen[self._from :]!r}"
            if not self._read(0.5):
                raise AssertionError(f"no {text!r} in {self.seen[self._from :]!r}")
        before, self._from = self.seen[self._from : found], found + len(text)
        return before

    def terminate(self) -> None:
        self._process.terminate()

    def end(self) -> int:
        """Wait for the end of the command, and return its exit code."""
        ends = time.monotonic() + SECONDS
        while self._read(0.5):
            assert time.monotonic() < ends, f"no end after {self.seen[self._from :]!r}"
        return self._process.wait(SECONDS)

    def _read(self, seconds: float) -> bool:
        """Read what is displayed. Return False at the end of the command."""
        if select.select([self._ours], [], [], seconds)[0]:
            try:
                part = os.read(self._ours, 65536)
            except OSError:  # how Linux reports that the other end was closed
                return False
            self.seen += part.decode(errors="replace")
            return bool(part)
        return self._process.poll() is None


@contextlib.contextmanager
def terminal(
    command: Sequence[str], environment: dict[str, str], *, width: int = 100
) -> Iterator[Terminal]:
    """Run a command whose controlling terminal is a new one, so that Ctrl-C reaches it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm", "NO_COLOR": "1"},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)
