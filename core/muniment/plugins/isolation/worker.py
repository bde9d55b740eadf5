"""The program of a worker process, which imports one plugin and replies to the core's calls.

    python -m muniment.plugins.isolation.worker CALLS REPLIES LIFELINE

The arguments are file descriptors. LIFELINE is a pipe whose other end only the core has open. A
watcher process waits until that end is closed, and then kills the process group. A thread cannot
do this, because a plugin may keep the interpreter's lock or start processes of its own.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import traceback
from typing import BinaryIO

from muniment.errors import ModelError, MunimentError, ParameterError, PluginError, UsageError
from muniment.plugins.isolation import protocol
from muniment.plugins.isolation.protocol import ErrorResult, Progress, Result
from muniment.plugins.isolation.service import METHODS, PluginService
from muniment.plugins.registry import describe, place_of, quiet_stdout
from muniment.validation import escape_unencodable

_ERRORS = (ParameterError, UsageError, ModelError, PluginError, MunimentError)  # subclasses first


def main(arguments: list[str]) -> None:
    """Reply to calls until the pipe of calls is closed."""
    reading, writing, lifeline = map(int, arguments)
    for descriptor in (reading, writing, lifeline):
        os.set_inheritable(descriptor, False)
    _start_watcher(lifeline, (reading, writing))
    os.register_at_fork(after_in_child=lambda: _close(reading, writing))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would contain prompts
    with (
        open(reading, "rb") as calls,
        open(writing, "wb") as replies,
        quiet_stdout(),  # entered once here, so that each call enters it at no cost
    ):
        _serve(calls, replies)


def _start_watcher(lifeline: int, other_pipes: tuple[int, ...]) -> None:
    """Start the watcher, which has only the lifeline open."""
    if os.fork():
        os.close(lifeline)
        return
    try:
        _close(0, 1, 2, *other_pipes)
        os.read(lifeline, 1)
    finally:
        os.killpg(0, signal.SIGKILL)
        os._exit(1)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _serve(calls: BinaryIO, replies: BinaryIO) -> None:
    def send(frame: bytes) -> None:
        replies.write(frame)
        replies.flush()

    service = PluginService(lambda task, fraction: send(protocol.frame(Progress(task, fraction))))
    while (body := _read(calls)) is not None:
        try:
            name, arguments = protocol.decode_call(body, METHODS)
            frame = protocol.frame(Result(METHODS[name](service, *arguments)))
        except BaseException as error:
            frame = protocol.frame(_error_result(error))
        send(frame)
    for number in reversed(list(service.objects)):
        with contextlib.suppress(BaseException):
            service.close(number)


def _read(calls: BinaryIO) -> bytes | None:
    """Return the body of the next frame, or None at the end of the pipe."""
    header = calls.read(protocol.HEADER)
    length = int.from_bytes(header, "big")
    body = calls.read(length)
    return body if len(header) == protocol.HEADER and len(body) == length else None


def _error_result(error: BaseException) -> ErrorResult:
    kind = next((cls.__name__ for cls in _ERRORS if isinstance(error, cls)), "")
    message = str(error) if kind else describe(error)
    about = getattr(error, "name", None) or getattr(error, "model", None) or ""
    return ErrorResult(
        kind,
        escape_unencodable(message),
        escape_unencodable(str(about)),
        escape_unencodable(place_of(error)),
        escape_unencodable(traceback.format_exc()),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
