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
from collections.abc import Sequence
from typing import Any, BinaryIO

import msgspec

from muniment.errors import MunimentError
from muniment.plugins.isolation import protocol
from muniment.plugins.isolation.protocol import ErrorResult, PowerCall, Progress, Result
from muniment.plugins.isolation.service import METHODS, PluginService
from muniment.plugins.quiet_output import quiet_stdout
from muniment.types.outputs import Output
from muniment.types.scores import TokenScores


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
        _Server(calls, replies).run()


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


class _Server:
    """Replies to the calls of the core, and calls the powers of models there for evaluators."""

    def __init__(self, calls: BinaryIO, replies: BinaryIO) -> None:
        self._calls, self._replies = calls, replies
        self._service = PluginService(self._send_progress, self)

    def run(self) -> None:
        """Reply to calls until the pipe is closed, and then close all objects."""
        while (body := self._read()) is not None:
            self._reply(body)
        for number in reversed(list(self._service.objects)):
            with contextlib.suppress(BaseException):
                self._service.close(number)

    def score(
        self, parameter: str, texts: Sequence[str], prompts: Sequence[str] | None = None
    ) -> Sequence[TokenScores]:
        """Return the scores that the core has of texts."""
        call = PowerCall(parameter, list(texts), None if prompts is None else list(prompts))
        scores: list[TokenScores] = self._call_power(call, protocol.scores_decoder)
        return scores

    def embed(self, parameter: str, outputs: Sequence[Output]) -> Sequence[Sequence[float]]:
        """Return the vectors that the core has of outputs."""
        call = PowerCall(parameter, outputs=list(outputs))
        vectors: list[list[float]] = self._call_power(call, protocol.vectors_decoder)
        return vectors

    def _call_power(self, call: PowerCall, decoder: msgspec.msgpack.Decoder[Any]) -> Any:
        self._send(protocol.frame(call))
        while (body := self._read()) is not None:
            answer = decoder.decode(body)
            if isinstance(answer, Result):
                return answer.value
            if isinstance(answer, ErrorResult):
                raise protocol.muniment_error(answer, "") or MunimentError(answer.message)
            self._reply(body)
        raise EOFError("the core has ended")

    def _reply(self, body: bytes) -> None:
        """Run a call and send its result or exception."""
        try:
            name, arguments = protocol.decode_call(body, METHODS)
            frame = protocol.frame(Result(METHODS[name](self._service, *arguments)))
        except BaseException as error:
            frame = protocol.frame(protocol.error_result(error, self._service.module))
        self._send(frame)

    def _send_progress(self, task: str, fraction: float) -> None:
        self._send(protocol.frame(Progress(task, fraction)))

    def _send(self, frame: bytes) -> None:
        self._replies.write(frame)
        self._replies.flush()

    def _read(self) -> bytes | None:
        """Return the body of the next frame, or None at the end of the pipe."""
        header = self._calls.read(protocol.HEADER)
        length = int.from_bytes(header, "big")
        body = self._calls.read(length)
        return body if len(header) == protocol.HEADER and len(body) == length else None


if __name__ == "__main__":
    main(sys.argv[1:])
