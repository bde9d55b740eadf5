"""Proxies in the core for the objects of an isolated plugin."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar, TypeVarTuple

from muniment.errors import PluginError
from muniment.failures import WorkerError, explain
from muniment.hookspecs import Evaluator, Generator, GroupEvaluator, MediaType, ModelPowers
from muniment.plugins.declarations import Kind, check_class, options_attribute
from muniment.plugins.invocation import MissingReply
from muniment.plugins.isolation import protocol
from muniment.plugins.isolation.process import LOADING, STARTING, Worker
from muniment.plugins.isolation.service import PluginService, Registration, Stamp
from muniment.plugins.objects import InterruptibleFilter, RegisteredObject, registered_object
from muniment.types.generations import Generation
from muniment.types.models import Model
from muniment.types.outputs import Comparison, Item, Output
from muniment.types.provenance import Provenance
from muniment.types.replies import Chunk, Reply
from muniment.types.requests import Request, Resolution
from muniment.types.scores import TokenScores
from muniment.types.verdicts import Content, Verdict

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


@dataclass(frozen=True, slots=True)
class IsolatedRegisteredObject(RegisteredObject):
    """An object that an isolated plugin registered. Its class is a proxy."""

    proxy_class: Callable[[], type] = field(kw_only=True, compare=False, repr=False)

    def load_class(self) -> Any:
        """Return the proxy class, with the attributes that the class in the worker declares.

        Raises PluginError if the worker cannot import that class.
        """
        return self.proxy_class()


def proxy_object(worker: Worker, registration: Registration) -> RegisteredObject:
    """Return an object that the plugin of a worker registered. Raise TypeError if it is invalid."""
    plain = registered_object(
        registration.kind,
        worker.plugin,
        "worker:proxy",
        registration.name,
        registration.media_type or None,
        protocol.parameters_class(registration.parameters),
        media_types=registration.media_types,
        inputs=registration.inputs,
        prompt=registration.prompt if registration.kind == "generator" else None,
    )
    return IsolatedRegisteredObject(
        plain.kind,
        plain.name,
        plain.plugin,
        plain.target,
        plain.media_type,
        plain.parameters,
        media_types=plain.media_types,
        inputs=plain.inputs,
        prompt=plain.prompt,
        proxy_class=functools.cache(lambda: _proxy_class(plain, worker)),
    )


def _proxy_class(registered: RegisteredObject, worker: Worker) -> type:
    kind, name = registered.kind, registered.name
    try:
        worker.ensure_started()
        declaration = worker.call(PluginService.describe, kind, name, seconds=LOADING)
        attributes = {
            **declaration.attributes.to_dict(),
            "name": name,
            "media_type": registered.media_type,
            "inputs": registered.inputs,
            options_attribute(kind): protocol.parameters_class(declaration.parameters),
            "registered": registered,
            "worker": worker,
        }
        if kind == "generator" and not declaration.resolves:
            attributes["resolve"] = Generator.resolve  # so that no call is sent
        base = _BASES[kind]
        if declaration.provides_models:
            base = IsolatedModelProvider
        elif declaration.reads_groups:
            base = IsolatedGroupEvaluator
        powers = [_POWERS[power] for power in declaration.powers]
        proxy = type(base.__name__, (*powers, base), attributes)
        check_class(kind, proxy)
    except (WorkerError, TypeError) as error:
        distribution = registered.plugin.distribution
        raise PluginError(
            distribution, f"{kind} {name!r} of {distribution} cannot be loaded: {explain(error)}"
        ) from error
    return proxy


class _Proxy:
    """The object in the worker, which is created again after the worker was started again."""

    registered: ClassVar[RegisteredObject]
    worker: ClassVar[Worker]

    def __init__(self, parameters: Any = (), models: Mapping[str, Model] | None = None) -> None:
        self._parameters_json = protocol.values_json(parameters)
        self._models = dict(models or {})
        self._number = 0
        self._model: Model | None = None
        self._cache: str | None = None
        self.ready()

    def ready(self) -> None:
        """Start the process and create the object if they do not exist."""
        worker, registered = self.worker, self.registered
        if self._number in worker.numbers:
            return
        worker.ensure_started()
        number = worker.new_number()
        attributes = worker.call(
            PluginService.create,
            number,
            registered.kind,
            registered.name,
            self._parameters_json,
            self._models,
            seconds=LOADING,
        )
        # The attributes of an object may differ from those of its class.
        vars(self).update(attributes.to_dict())
        if self._model is not None:
            worker.call(PluginService.load, number, self._model, self._cache, seconds=LOADING)
        self._number = number

    def _call(
        self,
        method: Callable[[PluginService, int, *_Arguments], _Result],
        *arguments: *_Arguments,
        seconds: float,
        powers: ModelPowers | None = None,
    ) -> _Result:
        """Call a method of the object in the worker."""
        self.ready()
        return self.worker.call(method, self._number, *arguments, seconds=seconds, powers=powers)


class IsolatedGenerator(_Proxy, Generator):
    """A generator in a worker process."""

    def use_cache(self, folder: Path) -> None:
        """Set the folder for results that later processes may use."""
        self._cache = str(folder)

    def load(self, model: Model) -> None:
        """Load the model."""
        self._call(PluginService.load, model, self._cache, seconds=LOADING)
        self._model = model

    def resolve(self, request: Request, model: Model | None) -> Resolution:
        """Return the values that the generator in the worker adds to a request."""
        # Each proxy class of a generator without this method gets that of the base class.
        seconds = self.worker.limits.answer
        result = self._call(PluginService.resolve, request, seconds=seconds)
        return Resolution(protocol.values(result.parameters), result.inputs)

    def retest(self) -> None:
        """Repeat the tests whose results came from the cache."""
        self._call(PluginService.retest, seconds=LOADING)

    def generate(self, requests: Sequence[Request]) -> Iterator[Chunk | Reply | MissingReply]:  # type: ignore[override]
        """Yield the worker's answers. The time limit applies from one reply to the next.

        The worker runs only while this waits for it, like a generator in this process.
        """
        worker, limit = self.worker, self.worker.limits.answer
        self.ready()
        number, call = self._number, worker.new_number()
        worker.call(PluginService.generate, number, call, list(requests), seconds=STARTING)
        remaining = limit
        try:
            while True:
                if call not in worker.numbers:
                    raise WorkerError("its worker process ended while it was answering")
                start = time.monotonic()
                result = worker.call(PluginService.next, call, seconds=remaining, limit=limit)
                remaining = max(0.0, remaining - (time.monotonic() - start))
                answer = result.chunk or result.reply or result.missing
                if answer is None:
                    worker.numbers.discard(call)
                    if result.error is None:
                        return
                    reason = worker.with_memory_limit(result.error)
                    raise PluginError(worker.plugin.distribution, reason)
                if not isinstance(answer, Chunk):
                    remaining = limit
                yield answer
        finally:
            worker.release(call)

    def environment(self) -> Mapping[str, str | int]:
        """Return the facts, with the process if the bytes may depend on more than the facts."""
        facts = self._call(PluginService.environment, seconds=STARTING)
        return facts if self.determinism == "exact" else {**facts, "process": "worker"}

    def close(self) -> None:
        """Release the resources of the object."""
        self.worker.release(self._number)


class IsolatedModelProvider(IsolatedGenerator):
    """A generator in a worker process to which models can be added."""

    def packaged_models(self) -> Any:
        """Return the models that come with installed packages. The caller checks them."""
        return self._call(PluginService.packaged_models, seconds=LOADING)

    def find_model(self, source: str) -> Any:
        """Return the local folder of a model that was never added. The caller checks it."""
        return self._call(PluginService.find_model, source, seconds=LOADING)

    def add_model(self, source: str, into: Path, progress: Callable[[str, float], None]) -> Any:
        """Put a model into a folder, without a time limit. The caller checks the facts."""
        self.ready()
        arguments = self._number, source, str(into)
        facts = self.worker.call(
            PluginService.add_model, *arguments, seconds=None, progress=progress
        )
        return json.loads(facts)


class IsolatedScorer(_Proxy):
    """The part of a generator in a worker process that scores texts."""

    def score(self, requests: Sequence[Request], texts: Sequence[str]) -> Sequence[TokenScores]:
        """Return the scores of the texts."""
        arguments = list(requests), list(texts)
        return self._call(PluginService.score, *arguments, seconds=self.worker.limits.answer)


class IsolatedEmbedder(_Proxy):
    """The part of a generator in a worker process that represents outputs as vectors."""

    def embed(self, outputs: Sequence[Output]) -> Sequence[Sequence[float]]:
        """Return the vectors of the outputs."""
        seconds = self.worker.limits.answer
        return self._call(PluginService.embed, list(outputs), seconds=seconds)


class IsolatedFilter(_Proxy, InterruptibleFilter):
    """A filter in a worker process."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters)
        self.parameters = parameters
        self.time_limit = self.worker.limits.answer

    def check(self, content: Content) -> Verdict:
        """Return the verdict. The process is killed at the time limit."""
        seconds = min(self.time_limit, self.worker.limits.answer)
        return self._call(PluginService.check, content, seconds=seconds)


class IsolatedEvaluator(_Proxy, Evaluator):
    """An evaluator in a worker process."""

    def evaluate(self, generation: Generation) -> Mapping[str, float]:
        """Return the values."""
        return self._call(
            PluginService.evaluate,
            replace(generation, parameters={}),
            protocol.values_json(generation.parameters),
            seconds=self.worker.limits.answer,
            powers=self.powers,
        )


class IsolatedGroupEvaluator(IsolatedEvaluator, GroupEvaluator):
    """An evaluator of groups in a worker process."""

    def evaluate_group(
        self, generations: Sequence[Generation], references: Mapping[str, Sequence[str]]
    ) -> Mapping[str, Mapping[str, float]]:
        """Return the values of a group."""
        return self._call(
            PluginService.evaluate_group,
            [replace(generation, parameters={}) for generation in generations],
            [protocol.values_json(generation.parameters) for generation in generations],
            {id: list(texts) for id, texts in references.items()},
            seconds=self.worker.limits.answer,
            powers=self.powers,
        )


class IsolatedMediaType(_Proxy, MediaType):
    """A media type in a worker process, which is killed at the time limit of each call."""

    def matches(self, data: bytes) -> bool:
        """Return whether bytes are of one of these types."""
        return self._limited(PluginService.matches, data)

    def matches_file(self, data: bytes) -> bool:
        """Return whether bytes are a file that `export` can write."""
        return self._limited(PluginService.matches_file, data)

    def describe(self, data: bytes) -> str:
        """Return a short description."""
        return self._limited(PluginService.describe_output, data)

    def compare(self, recorded: bytes, again: bytes) -> Comparison:
        """Return how far two outputs lie apart."""
        return self._limited(PluginService.compare, recorded, again)

    def preview(self, data: bytes, columns: int) -> str | None:
        """Return lines for a terminal."""
        return self._limited(PluginService.preview, data, columns)

    def to_text(self, data: bytes) -> str | None:
        """Return lines for a pipe."""
        return self._limited(PluginService.to_text, data)

    def export(self, data: bytes, provenance: Provenance, suffix: str, options: Any) -> bytes:
        """Return a file with the provenance."""
        values = protocol.values_json(options)
        return self._limited(PluginService.export, data, Stamp.of(provenance), suffix, values)

    def combine(
        self,
        outputs: Sequence[bytes],
        provenances: Sequence[Provenance],
        suffix: str,
        options: Any,
    ) -> bytes:
        """Return one file that shows several outputs."""
        stamps, values = list(map(Stamp.of, provenances)), protocol.values_json(options)
        return self._limited(PluginService.combine, list(outputs), stamps, suffix, values)

    def read_provenance(self, data: bytes) -> str | None:
        """Return the JSON of the provenance in a file."""
        return self._limited(PluginService.read_provenance, data)

    def fingerprint(self, data: bytes) -> bytes:
        """Return what remains of the content when a program saves it again."""
        return self._limited(PluginService.fingerprint, data)

    def items(self, data: bytes) -> tuple[Item, ...]:
        """Return the items of a list."""
        return self._limited(PluginService.items, data)

    def select(self, data: bytes, positions: Sequence[int]) -> bytes:
        """Return a list with only some items."""
        return self._limited(PluginService.select, data, list(positions))

    def _limited(
        self,
        method: Callable[[PluginService, int, *_Arguments], _Result],
        *arguments: *_Arguments,
    ) -> _Result:
        return self._call(method, *arguments, seconds=self.worker.limits.answer)


_BASES: Mapping[Kind, type] = {
    "generator": IsolatedGenerator,
    "filter": IsolatedFilter,
    "evaluator": IsolatedEvaluator,
    "media_type": IsolatedMediaType,
}
_POWERS: Mapping[str, type] = {"score": IsolatedScorer, "embed": IsolatedEmbedder}
