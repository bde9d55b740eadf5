"""What stands in the core for the objects of an isolated plugin, and asks its worker."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from muniment.errors import PluginError
from muniment.hookspecs import Evaluator, Generator
from muniment.plugins.invocation import MissingReply
from muniment.plugins.isolation import protocol
from muniment.plugins.isolation.process import CLOSING, LOADING, STARTING, Worker
from muniment.plugins.registry import (
    InterruptibleFilter,
    Kind,
    RegisteredObject,
    WorkerError,
    check_class,
    registered_object,
)
from muniment.types import (
    Chunk,
    Content,
    Generation,
    Model,
    PackagedModel,
    Reply,
    Request,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class IsolatedOffer(RegisteredObject):
    """What an isolated plugin registered; its class is a proxy's, made when first asked for."""

    proxy: Callable[[], type] = field(kw_only=True, compare=False, repr=False)

    def load_class(self) -> Any:
        """Return the proxy, with what the class in the worker declares.

        Raises PluginError when the class cannot be had there.
        """
        return self.proxy()


def proxy_objects(worker: Worker) -> list[RegisteredObject]:
    """Have the worker import its plugin, and return what that registers.

    Raises WorkerError, and TypeError for what no plugin may register.
    """
    return [_registered_object(worker, item) for item in worker.start()]


def _registered_object(worker: Worker, item: protocol.Registration) -> RegisteredObject:
    parameters = protocol.parameters_class(item.parameters)
    media_type = item.media_type or None
    plain = registered_object(
        item.kind, worker.plugin, "worker:proxy", item.name, media_type, parameters
    )
    return IsolatedOffer(
        plain.kind,
        plain.name,
        plain.plugin,
        plain.target,
        plain.media_type,
        plain.parameters,
        proxy=functools.cache(lambda: _declared(plain, worker)),
    )


def _declared(registered: RegisteredObject, worker: Worker) -> type:
    """Return the proxy class of an offer."""
    who = f"{registered.kind} {registered.name!r} of {registered.plugin.distribution}"
    try:
        if not worker.running:
            worker.start()
        question = protocol.Describe(registered.kind, registered.name)
        told = worker.ask(question, protocol.Described, LOADING)
        declares: dict[str, Any] = {
            "name": registered.name,
            "registered": registered,
            "worker": worker,
        }
        base: type = _BASES[registered.kind]
        if registered.kind == "generator":
            declares |= {
                "media_type": registered.media_type,
                "determinism": told.determinism,
                "uses_model": told.uses_model,
                "Parameters": registered.parameters,
            }
            if told.takes_models:
                base = IsolatedModelTaker
        else:
            declares |= {"version": told.version, "media_types": tuple(told.media_types)}
        if registered.kind == "filter":
            declares["categories"] = tuple(told.categories)
            declares["Parameters"] = protocol.parameters_class(told.parameters)
        elif registered.kind == "evaluator":
            declares |= {"measures": tuple(told.measures), "default": told.default}
        found = type(base.__name__, (base,), declares)
        check_class(registered.kind, found)
    except (WorkerError, TypeError) as error:
        raise PluginError(
            registered.plugin.distribution, f"{who} cannot be loaded: {error}"
        ) from error
    return found


class _RemoteObject:
    """An object in a worker; it is made again when the worker was started anew."""

    def __init__(self, registered: RegisteredObject, worker: Worker, parameters: Any = ()) -> None:
        self._registered = registered
        self._worker = worker
        self._parameters = protocol.values_json(parameters)
        self._number = 0
        self._incarnation = 0
        self._model: Model | None = None
        self.ready()

    def ready(self) -> int:
        """Return the object's number, after making it again where that is needed."""
        if not self._worker.running:
            self._worker.start()
        if self._incarnation != self._worker.incarnation:
            self._number = self._worker.number()
            registered = self._registered
            question = protocol.Make(
                self._number, registered.kind, registered.name, self._parameters
            )
            self.made = self._worker.ask(question, protocol.MakeResult, LOADING)
            if self._model is not None:
                self._worker.ask(protocol.Load(self._number, self._model), protocol.Done, LOADING)
            self._incarnation = self._worker.incarnation
        return self._number

    def load(self, model: Model) -> None:
        number = self.ready()
        self._worker.ask(protocol.Load(number, model), protocol.Done, LOADING)
        self._model = model

    def close(self) -> None:
        if self._worker.running and self._incarnation == self._worker.incarnation:
            self._worker.ask(protocol.Close(self._number), protocol.Done, CLOSING)


class IsolatedGenerator(Generator):
    """A generator in a worker process."""

    registered: ClassVar[RegisteredObject]
    worker: ClassVar[Worker]

    def __init__(self) -> None:
        self._remote = _RemoteObject(self.registered, self.worker)
        made = self._remote.made  # an object may say other things of itself than its class
        vars(self).update(determinism=made.determinism, uses_model=made.uses_model)

    def load(self, model: Model) -> None:
        """Have the model made ready."""
        self._remote.load(model)

    def generate(self, requests: Sequence[Request]) -> Iterator[Chunk | Reply | MissingReply]:  # type: ignore[override]
        """Yield what the worker answers; its time is counted from one reply to the next.

        The worker runs only while this waits for it, as a generator in this process would.
        """
        worker, limit = self.worker, self.worker.limits.answer
        number, call = self._remote.ready(), worker.number()
        incarnation = worker.incarnation
        question = protocol.Generate(number, call, [_asked(request) for request in requests])
        worker.ask(question, protocol.Done, STARTING)
        left, over = limit, False
        try:
            while True:
                if worker.incarnation != incarnation:
                    raise WorkerError("its worker process ended while it was answering")
                since, over = time.monotonic(), True  # a call that raises is over
                gave = worker.ask(protocol.Next(call), protocol.NextResult, left, limit=limit)
                over = gave.over
                left = max(0.0, left - (time.monotonic() - since))
                if gave.chunk is not None:
                    yield gave.chunk
                elif gave.reply is not None:
                    left = limit
                    yield gave.reply
                elif gave.unanswered is not None:
                    left = limit
                    yield MissingReply(*gave.unanswered)
                elif gave.error is not None:
                    reason = worker.with_memory_limit(gave.error)
                    raise PluginError(worker.plugin.distribution, reason)
                else:
                    return
        finally:
            if not over and worker.running and worker.incarnation == incarnation:
                worker.ask(protocol.Stop(call), protocol.Done, CLOSING)

    def environment(self) -> Mapping[str, str | int]:
        """Return the facts; where the bytes may depend on more than those, the process is one."""
        told = self.worker.ask(
            protocol.Facts(self._remote.ready()), protocol.FactsResult, STARTING
        ).facts
        return told if self.determinism == "exact" else {**told, "process": "worker"}

    def close(self) -> None:
        """Have the object let go of what it holds."""
        self._remote.close()


class IsolatedModelTaker(IsolatedGenerator):
    """A generator in a worker process to which models can be added."""

    def packaged_models(self) -> Sequence[PackagedModel]:
        """Return the models that come with installed packages."""
        question = protocol.ListPackaged(self._remote.ready())
        return self.worker.ask(question, protocol.Packaged, LOADING).models

    def find_model(self, source: str) -> Path:
        """Return the local folder of a model that was never added."""
        question = protocol.FindModel(self._remote.ready(), source)
        return Path(self.worker.ask(question, protocol.Found, LOADING).path)

    def add_model(
        self, source: str, into: Path, progress: Callable[[str, float], None]
    ) -> Mapping[str, Any]:
        """Have a model put into a folder, however long that takes."""
        question = protocol.AddModel(self._remote.ready(), source, str(into))
        added = self.worker.ask(question, protocol.Added, None, progress=progress)
        return dict(json.loads(added.facts))


class IsolatedFilter(InterruptibleFilter):
    """A filter in a worker process."""

    registered: ClassVar[RegisteredObject]
    worker: ClassVar[Worker]

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters)
        self.time_limit = self.worker.limits.answer
        self._remote = _RemoteObject(self.registered, self.worker, parameters)
        vars(self).update(media_types=tuple(self._remote.made.media_types))

    def ready(self) -> None:
        """Start the process anew if it was ended."""
        self._remote.ready()

    def check(self, content: Content) -> Verdict:
        """Return the verdict; at its time limit the process is ended."""
        question = protocol.Check(self._remote.ready(), content)
        limit = min(self.time_limit, self.worker.limits.answer)
        return self.worker.ask(question, protocol.VerdictResult, limit).verdict


class IsolatedEvaluator(Evaluator):
    """An evaluator in a worker process."""

    registered: ClassVar[RegisteredObject]
    worker: ClassVar[Worker]

    def __init__(self) -> None:
        self._remote = _RemoteObject(self.registered, self.worker)
        vars(self).update(media_types=tuple(self._remote.made.media_types))

    def evaluate(self, generation: Generation) -> Mapping[str, float]:
        """Return the numbers."""
        question = protocol.Evaluate(
            self._remote.ready(),
            replace(generation, parameters={}),
            protocol.values_json(generation.parameters),
        )
        limit = self.worker.limits.answer
        return self.worker.ask(question, protocol.EvaluateResult, limit).values


_BASES: Mapping[Kind, type] = {
    "generator": IsolatedGenerator,
    "filter": IsolatedFilter,
    "evaluator": IsolatedEvaluator,
}


def _asked(request: Request) -> protocol.WireRequest:
    return protocol.WireRequest(
        request.id,
        request.prompt,
        request.seed,
        protocol.values_json(request.parameters),
        request.system,
        request.model,
        request.stream,
    )
