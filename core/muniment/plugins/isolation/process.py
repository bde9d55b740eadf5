"""Start worker processes, exchange messages with them, and end them."""

from __future__ import annotations

import contextlib
import itertools
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
from typing import Any, NoReturn, TypeVar, TypeVarTuple

from muniment.escapes import escaped
from muniment.failures import TRACEBACK_VARIABLE, WorkerError
from muniment.hookspecs import ModelPowers
from muniment.plugins.discovery import Plugin
from muniment.plugins.isolation import protocol
from muniment.plugins.isolation.protocol import ErrorResult, PowerCall, Progress, Result
from muniment.plugins.isolation.service import PluginService, Registration

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")

# Timeouts in seconds.
STARTING = 60.0  # to import a plugin and register its objects, or to return its environment
LOADING = 600.0  # to load a class, create an object or load a model
ANSWERING = 600.0  # to answer one request, unless the setting plugin.NAME.timeout is set
CLOSING = 5.0  # to release an object or to end after the pipe was closed

# Environment variables that a worker receives: those that Python and model libraries need to find
# their files and to compute the same bytes. Tokens, keys and database addresses are not passed.
ENVIRONMENT = re.compile(
    "PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|TEMP|TMP|LD_LIBRARY_PATH"
    "|DYLD_(FALLBACK_)?LIBRARY_PATH|VIRTUAL_ENV|CONDA_PREFIX"
    "|PYTHON(PATH|HOME|HASHSEED|UTF8|DONTWRITEBYTECODE|PYCACHEPREFIX|NOUSERSITE|FAULTHANDLER)"
    "|XDG_(CACHE|DATA|CONFIG)_HOME|(HF|TORCH)_HOME|HF_HUB_(CACHE|OFFLINE)|TRANSFORMERS_OFFLINE"
    "|(OMP|MKL|OPENBLAS|NUMEXPR|VECLIB_MAXIMUM)_NUM_THREADS|CUBLAS_WORKSPACE_CONFIG"
    "|CUDA_(VISIBLE_DEVICES|DEVICE_ORDER|HOME|PATH)|TOKENIZERS_PARALLELISM"
    f"|{TRACEBACK_VARIABLE}"
)

_MAX_LINES = 1000  # lines of output forwarded for one call, so that a loop fills no log
# Seconds between checks whether the worker is alive. The end of a worker does not close its pipe
# if another process has inherited it.
_POLL_INTERVAL = 0.2


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a plugin: seconds for each answer, and bytes of memory (None is unlimited)."""

    answer: float = ANSWERING
    memory: int | None = None


class Worker:
    """The worker process of one plugin, which can be started again after it ended.

    `numbers` are those of the objects that the running process has.
    """

    def __init__(self, plugin: Plugin, limits: Limits) -> None:
        self.plugin = plugin
        self.limits = limits
        self.numbers: set[int] = set()
        self._process: _WorkerProcess | None = None
        self._counter = itertools.count(1)

    def new_number(self) -> int:
        """Return the number of a new object or call. No number is used twice."""
        number = next(self._counter)
        self.numbers.add(number)
        return number

    def ensure_started(self) -> None:
        """Start a process unless one was started and its end has not been noticed."""
        if self._process is None:
            self.start()

    def start(self) -> list[Registration]:
        """Start a process that imports the plugin, and return the registered objects."""
        self.end()
        self._process = process = _WorkerProcess(self.plugin.distribution)
        self._finalizer = weakref.finalize(self, process.end)
        path, memory = list(sys.path), self.limits.memory
        try:
            return self.call(PluginService.start, self.plugin, path, memory, seconds=STARTING)
        except BaseException:
            self.end()
            raise

    def call(
        self,
        method: Callable[[PluginService, *_Arguments], _Result],
        *arguments: *_Arguments,
        seconds: float | None,
        limit: float | None = None,
        progress: Callable[[str, float], None] = lambda task, fraction: None,
        powers: ModelPowers | None = None,
    ) -> _Result:
        """Call a method of the worker's PluginService and return its result.

        The process is killed if no reply arrives within `seconds` (None is unlimited). The error
        message names `limit` instead, if it is set. `progress` is called with a task and a
        fraction from 0 to 1. `powers` answers the calls of an evaluator to the powers of models,
        whose time does not count. Raises WorkerError if the process ended or sent an invalid reply,
        and the exception of the plugin if it raised one.
        """
        process = self._process
        if process is None:
            raise WorkerError("its worker process has ended")
        frame = protocol.frame((method.__name__, arguments))
        decode = protocol.reply_decoder(method).decode
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            process.write_frame(frame, deadline)
            while isinstance(reply := decode(process.read_frame(deadline)), Progress | PowerCall):
                if isinstance(reply, Progress):
                    progress(reply.task, reply.fraction)
                elif powers is None:
                    raise ValueError("an unexpected call to a power")
                else:
                    begin = time.monotonic()
                    answer = _power_answer(powers, reply)
                    if self._process is not process:  # the power's generator was in this worker
                        raise WorkerError("its worker process has ended")
                    deadline = deadline and deadline + time.monotonic() - begin
                    process.write_frame(protocol.frame(answer), deadline)
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError
        except TimeoutError:
            exceeded = seconds if limit is None else limit
            self.end()
            raise WorkerError(
                f"it did not answer within its limit of {exceeded:g} s; "
                "its worker process was killed"
            ) from None
        except (OSError, EOFError):
            self.end()
            raise WorkerError(f"its worker process {process.end_reason}") from None
        except ValueError as error:
            self.end()
            raise WorkerError(f"its worker process sent an invalid answer ({error})") from None
        except BaseException:  # after Ctrl-C its next message would reply to this call
            self.end()
            raise
        if isinstance(reply, ErrorResult):
            raise self._exception(reply)
        result: _Result = reply.value
        return result

    def release(self, number: int) -> None:
        """Close an object or a call, unless its process has ended."""
        if number in self.numbers:
            self.numbers.remove(number)
            self.call(PluginService.close, number, seconds=CLOSING)

    def end(self) -> None:
        """Kill the process and all processes that it started."""
        if self._process is not None:
            self._finalizer()
            self._process = None
            self.numbers.clear()

    def close(self) -> None:
        """Wait until the process exits by itself, and kill it after a timeout."""
        if self._process is not None:
            self._process.wait_for_exit(CLOSING)
            self.end()

    def with_memory_limit(self, message: str) -> str:
        """Return an exception's message, with the memory limit appended to a MemoryError."""
        if self.limits.memory is not None and re.search(r"\bMemoryError\b", message):
            return f"{message} (its limit is {self.limits.memory >> 20} MB)"
        return message

    def _exception(self, result: ErrorResult) -> Exception:
        """Return the exception that an ErrorResult describes."""
        error: Exception | None = protocol.muniment_error(result, self.plugin.distribution)
        if error is None:
            error = WorkerError(self.with_memory_limit(result.message))
        error.add_note(result.traceback)
        return error


def _power_answer(powers: ModelPowers, call: PowerCall) -> Result[Any] | ErrorResult:
    """Return the result of a power, or its exception."""
    try:
        if call.outputs is not None:
            return Result(powers.embed(call.parameter, call.outputs))
        return Result(powers.score(call.parameter, call.texts, call.prompts))
    except Exception as error:
        return protocol.error_result(error)


class _WorkerProcess:
    """One worker process and its pipes."""

    def __init__(self, name: str) -> None:
        self.end_reason = "ended"
        self._remaining_lines = _MAX_LINES
        # The worker's ends of the pipes are always closed here, our own ends only on an error.
        with contextlib.ExitStack() as worker_ends, contextlib.ExitStack() as own_ends:
            calls, self._calls = os.pipe()
            self._replies, replies = os.pipe()
            # Closed by the kernel when this process ends, which the worker's watcher notices.
            lifeline, self._lifeline = os.pipe()
            output, output_writer = os.pipe()
            for descriptor in (calls, replies, lifeline, output_writer):
                worker_ends.callback(os.close, descriptor)
            for descriptor in (self._calls, self._replies, self._lifeline, output):
                own_ends.callback(os.close, descriptor)
            os.set_blocking(self._calls, False)
            inherited = (calls, replies, lifeline)
            self._process = subprocess.Popen(
                # -P: import nothing from the current folder. -u: do not buffer the output.
                [
                    sys.executable,
                    "-P",
                    "-u",
                    "-m",
                    "muniment.plugins.isolation.worker",
                    *map(str, inherited),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output_writer,
                stderr=output_writer,
                pass_fds=inherited,
                start_new_session=True,
                env={k: v for k, v in os.environ.items() if ENVIRONMENT.fullmatch(k)},
            )
            own_ends.pop_all()
        self._buffer = bytearray()
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._replies, select.POLLIN)
        self._writable.register(self._calls, select.POLLOUT)
        self._forwarder = threading.Thread(
            target=self._forward_output, args=(name, output), daemon=True
        )
        self._forwarder.start()

    def write_frame(self, frame: bytes, deadline: float | None) -> None:
        """Write a frame. Raise TimeoutError, or EOFError if the process ended."""
        self._remaining_lines = _MAX_LINES
        remaining = memoryview(frame)
        while remaining:
            try:
                remaining = remaining[os.write(self._calls, remaining) :]
            except BlockingIOError:
                self._wait(self._writable, deadline)
            except BrokenPipeError:
                self._raise_ended()

    def read_frame(self, deadline: float | None) -> bytes:
        """Return the body of the next frame.

        Raises TimeoutError, EOFError if the process ended, and ValueError for an invalid length.
        """
        buffer, header = self._buffer, protocol.HEADER
        while True:
            length = int.from_bytes(buffer[:header], "big") if len(buffer) >= header else None
            if length is not None and length > protocol.LONGEST:
                raise ValueError(f"a frame of {length:,} bytes")
            if length is not None and len(buffer) >= header + length:
                body = bytes(buffer[header : header + length])
                del buffer[: header + length]
                return body
            self._wait(self._readable, deadline)
            data = os.read(self._replies, 1 << 20)
            if not data:
                self._raise_ended()
            buffer += data

    def wait_for_exit(self, seconds: float) -> None:
        """Close the pipe of calls and wait up to `seconds` for the process to exit."""
        with contextlib.suppress(OSError):
            os.close(self._calls)
        self._calls = -1
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def end(self) -> None:
        """Kill the process and its process group. The watcher kills the group if this does not."""
        if self._process.poll() is None:  # the id of an ended process may be in use again
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for descriptor in (self._calls, self._replies, self._lifeline):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._forwarder.join(1)

    def _wait(self, poll: select.poll, deadline: float | None) -> None:
        """Wait until the pipe is ready. Raise TimeoutError, or EOFError if the process ended."""
        while True:
            seconds = _POLL_INTERVAL
            if deadline is not None:
                seconds = min(seconds, max(deadline - time.monotonic(), 0))
            if poll.poll(seconds * 1000):
                return
            if self._process.poll() is not None and not poll.poll(0):
                self._raise_ended()
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError

    def _raise_ended(self) -> NoReturn:
        """Set `end_reason` and raise EOFError."""
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            self.end_reason = "closed its pipes"
            raise EOFError from None
        self.end_reason = f"ended with exit code {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                self.end_reason = f"was ended by {signal.Signals(-code).name}"
        raise EOFError

    def _forward_output(self, name: str, output: int) -> None:
        """Write the process's standard output and error to standard error, line by line."""
        with open(output, "rb") as lines:
            while line := lines.readline(8192):
                self._remaining_lines -= 1
                text = escaped(line.decode(errors="replace").rstrip("\r\n"), "\t")
                if self._remaining_lines < 0:
                    text = "further output is not displayed"
                if self._remaining_lines >= -1:
                    with contextlib.suppress(OSError, ValueError):
                        sys.stderr.write(f"plugin {name}: {text}\n")
                        sys.stderr.flush()
