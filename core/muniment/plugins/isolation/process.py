"""Starting, asking and ending worker processes."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from muniment.errors import ModelError, MunimentError, ParameterError, PluginError, UsageError
from muniment.plugins.isolation import protocol
from muniment.plugins.isolation.protocol import Answer, ErrorResult, Progressed, Question
from muniment.plugins.registry import Plugin, WorkerError

_Answer = TypeVar("_Answer")

STARTING = 60.0  # seconds to import a plugin and have it register, or to say facts
LOADING = 600.0  # seconds to load a class, make an object or load a model
ANSWERING = 600.0  # seconds to answer one request, where no setting says otherwise
CLOSING = 5.0  # seconds to let go of something

# What a worker sees of the environment: what Python and the libraries that run models need to find
# their files and to give the same bytes. No token, no key, no address of a database.
ENVIRONMENT = re.compile(
    "PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|TEMP|TMP|LD_LIBRARY_PATH"
    "|DYLD_(FALLBACK_)?LIBRARY_PATH|VIRTUAL_ENV|CONDA_PREFIX"
    "|PYTHON(PATH|HOME|HASHSEED|UTF8|DONTWRITEBYTECODE|PYCACHEPREFIX|NOUSERSITE|FAULTHANDLER)"
    "|XDG_(CACHE|DATA|CONFIG)_HOME|(HF|TORCH)_HOME|HF_HUB_(CACHE|OFFLINE)|TRANSFORMERS_OFFLINE"
    "|(OMP|MKL|OPENBLAS|NUMEXPR|VECLIB_MAXIMUM)_NUM_THREADS|CUBLAS_WORKSPACE_CONFIG"
    "|CUDA_(VISIBLE_DEVICES|DEVICE_ORDER|HOME|PATH)|TOKENIZERS_PARALLELISM"
)

_LINES = 1000  # of standard error passed on for one question: an endless printer fills no log
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SLICE = 0.2  # seconds between looks whether a worker is alive whose pipe another process holds


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plugin may take: seconds for an answer, bytes of memory (None for any)."""

    answer: float = ANSWERING
    memory: int | None = None


class Worker:
    """The worker process of one plugin: started when it is first asked, and again after its end.

    `incarnation` counts the starts: what an earlier process made is not known to a later one.
    """

    def __init__(self, plugin: Plugin, limits: Limits) -> None:
        self.plugin = plugin
        self.limits = limits
        self.incarnation = 0
        self._child: _WorkerProcess | None = None
        self._numbers = 0

    def number(self) -> int:
        """Return a number that no object or call of this worker has had."""
        self._numbers += 1
        return self._numbers

    @property
    def running(self) -> bool:
        """Whether there is a process, as far as is known."""
        return self._child is not None

    def start(self) -> list[protocol.Registration]:
        """Start a process and have it import the plugin; return what that registers."""
        self.end()
        self._child = child = _WorkerProcess(self.plugin.distribution)
        self._finalizer = weakref.finalize(self, child.end)
        self.incarnation += 1
        start = protocol.Start(self.plugin, list(sys.path), self.limits.memory)
        try:
            return self.ask(start, protocol.Registered, STARTING).objects
        except BaseException:
            self.end()
            raise

    def ask(
        self,
        question: Question,
        expected: type[_Answer],
        seconds: float | None,
        *,
        limit: float | None = None,
        progress: Callable[[str, float], None] = lambda what, fraction: None,
    ) -> _Answer:
        """Return the answer to a question.

        After `seconds` (or None: never) the process is ended; `limit` is what is then named,
        where that is more. Raises WorkerError when the process ended, and what the plugin raised.
        """
        child = self._child
        if child is None:
            raise WorkerError("its worker process has ended")
        frame = protocol.framed(question)
        try:
            answer = child.ask(frame, seconds, progress)
        except TimeoutError:
            named = seconds if limit is None else limit
            self.end()
            raise WorkerError(
                f"it gave no answer within its limit of {named:g} s; its worker process was ended"
            ) from None
        except (OSError, EOFError):
            self.end()
            raise WorkerError(f"its worker process {child.how_it_ended}") from None
        except ValueError as error:
            self.end()
            raise WorkerError(f"its worker process answered nonsense ({error})") from None
        except BaseException:  # Ctrl-C: nobody knows what it would answer next
            self.end()
            raise
        if isinstance(answer, ErrorResult):
            raise self._raised(answer)
        if not isinstance(answer, expected):
            self.end()
            raise WorkerError(f"its worker process answered nonsense ({type(answer).__name__})")
        return answer

    def end(self) -> None:
        """Kill the process, and with it all that it started."""
        if self._child is not None:
            self._finalizer()
            self._child = None

    def close(self) -> None:
        """Let the process end by itself, and kill what is left of it."""
        if self._child is not None:
            self._child.let_end(CLOSING)
            self.end()

    def explained(self, what: str) -> str:
        """Return what was raised with the limit that it ran against, if it was that of memory."""
        if self.limits.memory is not None and re.search(r"\bMemoryError\b", what):
            return f"{what} (its limit is {self.limits.memory >> 20} MB)"
        return what

    def _raised(self, answer: ErrorResult) -> Exception:
        error: Exception
        match answer.kind:
            case "ParameterError":
                error = ParameterError(answer.about, answer.message)
            case "ModelError":
                error = ModelError(answer.about, answer.message)
            case "PluginError":
                error = PluginError(self.plugin.distribution, answer.message)
            case "UsageError":
                error = UsageError(answer.message)
            case "MunimentError":
                error = MunimentError(answer.message)
            case _:
                error = WorkerError(self.explained(answer.message))
        error.add_note(answer.traceback)
        return error


class _WorkerProcess:
    """One worker process, from its start to its end."""

    def __init__(self, name: str) -> None:
        self.how_it_ended = "ended"
        self._lines_left = _LINES
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            questions, self._questions = os.pipe()
            self._answers, answers = os.pipe()
            lifeline, self._lifeline = os.pipe()
            said, saying = os.pipe()
            for descriptor in (questions, answers, lifeline, saying):
                theirs.callback(os.close, descriptor)
            for descriptor in (self._questions, self._answers, self._lifeline, said):
                ours.callback(os.close, descriptor)
            os.set_blocking(self._questions, False)
            handed = (questions, answers, lifeline)
            self._process = subprocess.Popen(
                # -P: nothing is imported from the current folder; -u: what is said comes at once.
                [
                    sys.executable,
                    "-P",
                    "-u",
                    "-m",
                    "muniment.plugins.isolation.worker",
                    *map(str, handed),
                ],
                stdin=subprocess.DEVNULL,
                stdout=saying,
                stderr=saying,
                pass_fds=handed,
                start_new_session=True,
                env={k: v for k, v in os.environ.items() if ENVIRONMENT.fullmatch(k)},
            )
            ours.pop_all()
        self._buffer = bytearray()
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._answers, select.POLLIN)
        self._writable.register(self._questions, select.POLLOUT)
        self._passing = threading.Thread(target=self._pass_on, args=(name, said), daemon=True)
        self._passing.start()

    def ask(
        self, frame: bytes, seconds: float | None, progress: Callable[[str, float], None]
    ) -> Answer:
        """Write a frame and read the answer to it.

        Raises TimeoutError, EOFError when the process ended, ValueError for no answer.
        """
        self._lines_left = _LINES
        end = None if seconds is None else time.monotonic() + seconds
        self._write(frame, end)
        while True:
            answer = protocol.answer(self._read(end))
            if not isinstance(answer, Progressed):
                return answer
            progress(answer.what, answer.fraction)

    def let_end(self, seconds: float) -> None:
        """Close the pipe of questions, and wait for the process to end."""
        with contextlib.suppress(OSError):
            os.close(self._questions)
        self._questions = -1
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def end(self) -> None:
        """Kill the process and, here or by its watcher, everything that it started."""
        if self._process.poll() is None:  # afterwards its number may be another's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for descriptor in (self._questions, self._answers, self._lifeline):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._passing.join(1)

    def _write(self, frame: bytes, end: float | None) -> None:
        left = memoryview(frame)
        while left:
            try:
                left = left[os.write(self._questions, left) :]
            except BlockingIOError:
                self._wait(self._writable, end)
            except BrokenPipeError:
                self._ended()

    def _read(self, end: float | None) -> bytes:
        """Return the body of the next frame."""
        buffer, header = self._buffer, protocol.HEADER
        while True:
            length = int.from_bytes(buffer[:header], "big") if len(buffer) >= header else None
            if length is not None and length > protocol.LONGEST:
                raise ValueError(f"a frame of {length:,} bytes")
            if length is not None and len(buffer) >= header + length:
                body = bytes(buffer[header : header + length])
                del buffer[: header + length]
                return body
            self._wait(self._readable, end)
            part = os.read(self._answers, 1 << 20)
            if not part:
                self._ended()
            buffer += part

    def _wait(self, poll: select.poll, end: float | None) -> None:
        while True:
            left = _SLICE if end is None else min(_SLICE, max(end - time.monotonic(), 0))
            if poll.poll(left * 1000):
                return
            if self._process.poll() is not None and not poll.poll(0):
                self._ended()
            if end is not None and time.monotonic() >= end:
                raise TimeoutError

    def _ended(self) -> NoReturn:
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            self.how_it_ended = "closed its pipes"
            raise EOFError from None
        self.how_it_ended = f"ended with exit code {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                self.how_it_ended = f"was ended by {signal.Signals(-code).name}"
        raise EOFError

    def _pass_on(self, name: str, said: int) -> None:
        """Pass on what the process writes to standard output and error, line by line."""
        with open(said, "rb") as lines:
            while line := lines.readline(8192):
                self._lines_left -= 1
                text = _CONTROL.sub("", line.decode(errors="replace").rstrip("\r\n"))
                if self._lines_left < 0:
                    text = "says more than is passed on"
                if self._lines_left >= -1:
                    with contextlib.suppress(OSError, ValueError):
                        sys.stderr.write(f"plugin {name}: {text}\n")
                        sys.stderr.flush()
