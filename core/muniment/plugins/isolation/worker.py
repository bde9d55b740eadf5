"""The program of a worker process: it imports one plugin and answers the core's questions.

    python -m muniment.plugins.isolation.worker QUESTIONS ANSWERS LIFELINE

The arguments are file descriptors. LIFELINE is a pipe whose other end only the core holds: a
watcher process waits for its end, and then kills the whole process group. A thread could not: the
plugin may hold the interpreter's lock for ever, or have started processes of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Generator as Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from muniment.errors import MunimentError, UsageError
from muniment.plugins.invocation import (
    MissingReply,
    environment_of,
    invoke,
    validate_values,
    validate_verdict,
)
from muniment.plugins.isolation import protocol
from muniment.plugins.isolation.protocol import Answer, NextResult, Question
from muniment.plugins.registry import Kind, RegisteredObject, describe, load_objects, quiet_stdout
from muniment.types import Chunk, Request
from muniment.validation import escape_unencodable

_TAKES_MODELS = ("packaged_models", "add_model", "find_model")  # see hookspecs.ModelProvider


def main(arguments: list[str]) -> None:
    """Serve until the pipe of questions is closed."""
    reading, writing, lifeline = map(int, arguments)
    for descriptor in (reading, writing, lifeline):
        os.set_inheritable(descriptor, False)
    _watch(lifeline, closed=(reading, writing))
    os.register_at_fork(after_in_child=lambda: _close(reading, writing))
    _limit("RLIMIT_CORE", 0)  # a core file would hold prompts
    with (
        open(reading, "rb") as questions,
        open(writing, "wb") as answers,
        quiet_stdout(),  # it is quiet already: this spares each call the trouble
    ):
        server = _Server(answers)
        while (body := _read(questions)) is not None:
            server.answer(protocol.question(body))
        server.close()


def _watch(lifeline: int, closed: tuple[int, ...]) -> None:
    """Start the watcher; it holds nothing open but the lifeline."""
    if os.fork():
        os.close(lifeline)
        return
    try:
        _close(0, 1, 2, *closed)
        os.read(lifeline, 1)
    finally:
        os.killpg(0, signal.SIGKILL)
        os._exit(1)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _limit(name: str, amount: int) -> None:
    import resource

    resource.setrlimit(getattr(resource, name), (amount, amount))


def _read(questions: BinaryIO) -> bytes | None:
    header = questions.read(protocol.HEADER)
    length = int.from_bytes(header, "big")
    body = questions.read(length)
    return body if len(header) == protocol.HEADER and len(body) == length else None


class _Server:
    """The plugin's offers, the objects made of them, and the calls under way."""

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._registered: list[RegisteredObject] = []
        self._objects: dict[int, tuple[RegisteredObject, Any]] = {}
        self._calls: dict[int, Coroutine[Answer, None, None]] = {}

    def answer(self, question: Question) -> None:
        """Answer one question; whatever is raised is an answer too."""
        try:
            frame = protocol.framed(self._answered(question))
        except BaseException as error:
            frame = protocol.framed(_raised(error))
        self._send(frame)

    def close(self) -> None:
        """Close all objects; nobody hears what they say at their end."""
        for _, made in self._objects.values():
            with contextlib.suppress(BaseException):
                made.close()

    def _send(self, frame: bytes) -> None:
        self._answers.write(frame)
        self._answers.flush()

    def _answered(self, question: Question) -> Answer:
        match question:
            case protocol.Start():
                return self._start(question)
            case protocol.Describe():
                return _described(self._registered_object(question.kind, question.name))
            case protocol.Make():
                return self._make(question)
            case protocol.Load():
                self._object(question.object).load(question.model)
            case protocol.Facts():
                return protocol.FactsResult(environment_of(self._object(question.object)))
            case protocol.Generate():
                self._calls[question.call] = self._generate(question)
            case protocol.Next():
                return self._next(question.call)
            case protocol.Stop():
                self._calls.pop(question.call).close()
            case protocol.Check():
                content = question.content
                verdict = self._object(question.object).check(content)
                return protocol.VerdictResult(validate_verdict(verdict, content))
            case protocol.Evaluate():
                return self._evaluate(question)
            case protocol.ListPackaged():
                return protocol.Packaged(list(self._object(question.object).packaged_models()))
            case protocol.FindModel():
                path = self._object(question.object).find_model(question.source)
                return protocol.Found(str(Path(path)))
            case protocol.AddModel():
                return self._add_model(question)
            case protocol.Close():
                _, made = self._objects.pop(question.object)
                if hasattr(made, "close"):
                    made.close()
        return protocol.Done()

    def _start(self, question: protocol.Start) -> Answer:
        sys.path[:] = question.path
        if question.memory is not None and sys.platform == "linux":
            _limit("RLIMIT_AS", question.memory)
        self._registered = load_objects(question.plugin)
        return protocol.Registered(
            [
                protocol.Registration(
                    registered.kind,
                    registered.name,
                    registered.media_type,
                    protocol.fields_json(registered.parameters),
                )
                for registered in self._registered
            ]
        )

    def _make(self, question: protocol.Make) -> Answer:
        registered = self._registered_object(question.kind, question.name)
        given = protocol.values(question.parameters)
        found = registered.load_class()
        made = found(found.Parameters(**given)) if question.kind == "filter" else found()
        self._objects[question.object] = registered, made
        if question.kind == "generator":
            return protocol.MakeResult(
                determinism=made.determinism, uses_model=bool(made.uses_model)
            )
        return protocol.MakeResult(media_types=list(made.media_types))

    def _generate(self, question: protocol.Generate) -> Coroutine[Answer, None, None]:
        registered, generator = self._objects[question.object]
        requests = [
            Request(
                id=item.id,
                prompt=item.prompt,
                seed=item.seed,
                parameters=registered.parameters(**protocol.values(item.parameters)),
                system=item.system,
                model=item.model,
                stream=item.stream,
            )
            for item in question.requests
        ]
        answers = invoke(generator, registered, {request.id: request for request in requests})
        reason = None
        try:
            while True:
                answer = next(answers)
                if isinstance(answer, Chunk):
                    yield NextResult(chunk=answer)
                elif isinstance(answer, MissingReply):
                    yield NextResult(unanswered=(answer.request_id, answer.reason))
                else:
                    yield NextResult(reply=answer)
        except StopIteration as end:
            reason = end.value
        finally:
            answers.close()
        del self._calls[question.call]
        yield NextResult(over=True, error=reason)

    def _next(self, call: int) -> Answer:
        try:
            return next(self._calls[call])
        except BaseException:
            del self._calls[call]
            raise

    def _evaluate(self, question: protocol.Evaluate) -> Answer:
        registered, evaluator = self._objects[question.object]
        parameters = protocol.values(question.parameters)
        generation = replace(question.generation, parameters=parameters)
        found = evaluator.evaluate(generation)
        return protocol.EvaluateResult(validate_values(found, registered.load_class().measures))

    def _add_model(self, question: protocol.AddModel) -> Answer:
        def progress(what: str, fraction: float) -> None:
            self._send(protocol.framed(protocol.Progressed(str(what), float(fraction))))

        generator = self._object(question.object)
        found = generator.add_model(question.source, Path(question.into), progress)
        return protocol.Added(json.dumps(dict(found), default=str))

    def _object(self, number: int) -> Any:
        return self._objects[number][1]

    def _registered_object(self, kind: Kind, name: str) -> RegisteredObject:
        return next(item for item in self._registered if (item.kind, item.name) == (kind, name))


def _described(registered: RegisteredObject) -> Answer:
    found = registered.load_class()
    if registered.kind == "generator":
        takes_models = all(hasattr(found, power) for power in _TAKES_MODELS)
        return protocol.Described(
            protocol.fields_json(registered.parameters),
            determinism=found.determinism,
            uses_model=bool(found.uses_model),
            takes_models=takes_models,
        )
    described = {"version": found.version, "media_types": list(found.media_types)}
    if registered.kind == "filter":
        fields = protocol.fields_json(found.Parameters)
        return protocol.Described(fields, categories=list(found.categories), **described)
    return protocol.Described(
        "[]", measures=list(found.measures), default=bool(found.default), **described
    )


def _raised(error: BaseException) -> Answer:
    trace = escape_unencodable(traceback.format_exc())
    if not isinstance(error, MunimentError):
        return protocol.ErrorResult("", escape_unencodable(describe(error)), traceback=trace)
    kinds = ("ParameterError", "ModelError", "PluginError")
    kind = type(error).__name__ if type(error).__name__ in kinds else "MunimentError"
    if kind == "MunimentError" and isinstance(error, UsageError):
        kind = "UsageError"
    about = getattr(error, "name", None) or getattr(error, "model", None) or ""
    return protocol.ErrorResult(
        kind, escape_unencodable(str(error)), escape_unencodable(str(about)), trace
    )


if __name__ == "__main__":
    main(sys.argv[1:])
