"""The methods of a worker process that the core can call.

The annotations of the public methods are the types of the protocol. Both sides decode by them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from muniment.hookspecs import (
    Generator,
    GroupEvaluator,
    ModelPowers,
    ModelProvider,
    implemented_methods,
    powers_of,
)
from muniment.parameters import Parameters
from muniment.plugins.declarations import Kind, options_attribute
from muniment.plugins.discovery import Plugin
from muniment.plugins.invocation import (
    MissingReply,
    environment_of,
    invoke,
    validate_group_values,
    validate_media,
    validate_scores,
    validate_values,
    validate_vectors,
    validate_verdict,
)
from muniment.plugins.isolation import protocol
from muniment.plugins.objects import RegisteredObject
from muniment.plugins.registry import load_objects
from muniment.types.generations import Generation
from muniment.types.inputs import InputSpec
from muniment.types.models import Model, PackagedModel
from muniment.types.outputs import Comparison, Item, Output
from muniment.types.provenance import Provenance
from muniment.types.replies import Chunk, Reply
from muniment.types.requests import Request, Resolution
from muniment.types.scores import Measure, TokenScores
from muniment.types.verdicts import Content, Verdict

# The attributes that the core reads of a class, and those that it reads of an object.
_OF_CLASSES: dict[Kind, tuple[str, ...]] = {
    "generator": ("determinism", "uses_model", "model_command", "model_files", "prompt"),
    "filter": ("version", "media_types", "categories"),
    "evaluator": ("version", "media_types", "measures", "default"),
    "media_type": (
        "version",
        "media_types",
        "suffixes",
        "lossy_suffixes",
        "plain_suffixes",
        "altering_options",
    ),
}
_OF_OBJECTS: dict[Kind, tuple[str, ...]] = {
    "generator": ("determinism", "uses_model", "model_command"),
    "filter": ("media_types",),
    "evaluator": ("media_types",),
    "media_type": (),
}


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The base class of results that have only the declared fields."""


class Attributes(_Strict, frozen=True):
    """The attributes of a class or an object. Those that its kind does not have are None."""

    determinism: str | None = None
    prompt: str | None = None
    uses_model: bool | None = None
    model_command: str | None = None
    model_files: tuple[str, ...] | None = None
    version: str | None = None
    media_types: tuple[str, ...] | None = None
    categories: tuple[str, ...] | None = None
    measures: tuple[Measure, ...] | None = None
    default: bool | None = None
    suffixes: tuple[str, ...] | None = None
    lossy_suffixes: tuple[str, ...] | None = None
    plain_suffixes: tuple[str, ...] | None = None
    altering_options: tuple[str, ...] | None = None
    implemented: frozenset[str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes that exist, by name."""
        attributes = msgspec.structs.asdict(self).items()
        return {name: value for name, value in attributes if value is not None}


class Registration(_Strict, frozen=True):
    """An object that the plugin registered. `parameters` are its fields as JSON."""

    kind: Kind
    name: str
    media_type: str
    parameters: str
    prompt: str = "required"
    inputs: tuple[InputSpec, ...] = ()
    media_types: tuple[str, ...] = ()


class Declaration(_Strict, frozen=True):
    """The declarations of a class. `parameters` are the fields of its parameters as JSON.

    `resolves` is whether a generator has a method `resolve` of its own. `powers` are the optional
    methods `score` and `embed` that it has. `reads_groups` is whether an evaluator reads groups.
    """

    attributes: Attributes
    parameters: str
    provides_models: bool
    resolves: bool = False
    powers: tuple[str, ...] = ()
    reads_groups: bool = False


class Stamp(_Strict, frozen=True):
    """The provenance of a generation, with its parameters as JSON."""

    facts: Provenance
    parameters: str

    @classmethod
    def of(cls, provenance: Provenance) -> Stamp:
        """Return the stamp of a provenance."""
        facts = replace(
            provenance,
            parameters={},
            versions=dict(provenance.versions),
            models=dict(provenance.models),
        )
        return cls(facts, protocol.values_json(provenance.parameters))

    def provenance(self) -> Provenance:
        """Return the provenance."""
        return replace(self.facts, parameters=protocol.values(self.parameters))


class NextResult(_Strict, frozen=True):
    """The next answer of a generator, or its end if there is none of the three.

    `error` is the reason if the generator ended because it raised or broke its contract.
    """

    chunk: Chunk | None = None
    reply: Reply | None = None
    missing: MissingReply | None = None
    error: str | None = None


class ResolveResult(_Strict, frozen=True):
    """The values, as JSON, and the inputs that a generator adds to a request."""

    parameters: str
    inputs: dict[str, bytes] = {}


class PluginService:
    """One plugin and the objects that were created of its classes.

    The core assigns the numbers of objects and of calls to generators. `send_progress` is called
    with a task and a fraction from 0 to 1. `powers` are those of the models in the core.
    """

    def __init__(self, send_progress: Callable[[str, float], None], powers: ModelPowers) -> None:
        self._send_progress = send_progress
        self._powers = powers
        self.module = ""  # of the plugin
        self._registered: dict[tuple[Kind, str], RegisteredObject] = {}
        # The objects, and the iterators of the calls to generators, by number.
        self.objects: dict[int, tuple[RegisteredObject, Any]] = {}

    def start(self, plugin: Plugin, path: list[str], memory: int | None) -> list[Registration]:
        """Import the plugin with `sys.path` of the core, and return the registered objects.

        `memory` limits the address space in bytes, on Linux only.
        """
        sys.path[:] = path
        self.module = plugin.module
        if memory is not None and sys.platform == "linux":
            import resource

            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        objects = load_objects(plugin)
        self._registered = {(item.kind, item.name): item for item in objects}
        return [
            Registration(
                item.kind,
                item.name,
                item.media_type,
                protocol.fields_json(item.parameters),
                item.prompt,
                item.inputs,
                item.media_types,
            )
            for item in objects
        ]

    def describe(self, kind: Kind, name: str) -> Declaration:
        """Import a registered class and return its declarations."""
        found = self._registered[kind, name].load_class()
        attributes = _attributes(found, _OF_CLASSES[kind])
        if kind == "media_type":
            attributes = msgspec.structs.replace(attributes, implemented=implemented_methods(found))
        return Declaration(
            attributes,
            protocol.fields_json(getattr(found, options_attribute(kind), Parameters)),
            issubclass(found, ModelProvider),
            kind == "generator" and found.resolve is not Generator.resolve,
            powers_of(found) if kind == "generator" else (),
            issubclass(found, GroupEvaluator),
        )

    def create(
        self, number: int, kind: Kind, name: str, parameters: str, models: dict[str, Model]
    ) -> Attributes:
        """Create an object of a class and return its attributes.

        A filter has parameters, and an evaluator has parameters and their models.
        """
        registered = self._registered[kind, name]
        found = registered.load_class()
        arguments: list[Any] = []
        if kind in ("filter", "evaluator"):
            arguments.append(found.Parameters(**protocol.values(parameters)))
        if kind == "evaluator":
            arguments.append(models)
        created = found(*arguments)
        if kind == "evaluator":
            created.powers = self._powers
        self.objects[number] = registered, created
        return _attributes(created, _OF_OBJECTS[kind])

    def load(self, number: int, model: Model, cache: str | None) -> None:
        """Load a generator's model, after its cache folder was set if there is one."""
        if cache is not None:
            self._object(number).use_cache(Path(cache))
        self._object(number).load(model)

    def resolve(self, number: int, request: Request) -> ResolveResult:
        """Return the values and inputs that a generator's `resolve` adds.

        The parameters of the request are a JSON text.
        """
        registered, generator = self.objects[number]
        resolution = generator.resolve(_with_parameters(request, registered), request.model)
        if not isinstance(resolution, Resolution):
            raise TypeError(f"resolve() returned {type(resolution).__name__}, not a Resolution")
        parameters = protocol.values_json(resolution.parameters)
        return ResolveResult(parameters=parameters, inputs=dict(resolution.inputs))

    def retest(self, number: int) -> None:
        """Repeat the tests whose results came from a generator's cache."""
        self._object(number).retest()

    def environment(self, number: int) -> dict[str, str | int]:
        """Return a generator's environment."""
        return environment_of(self._object(number))

    def generate(self, number: int, call: int, requests: list[Request]) -> None:
        """Begin a call to a generator. The parameters of the requests are JSON texts."""
        registered, generator = self.objects[number]
        remaining = {request.id: _with_parameters(request, registered) for request in requests}
        self.objects[call] = registered, invoke(generator, registered, remaining)

    def next(self, call: int) -> NextResult:
        """Run a call to a generator until its next answer or its end, which closes the call."""
        try:
            answer = next(self._object(call))
        except StopIteration as end:
            del self.objects[call]
            return NextResult(error=end.value)
        if isinstance(answer, Chunk):
            return NextResult(chunk=answer)
        if isinstance(answer, Reply):
            return NextResult(reply=answer)
        return NextResult(missing=answer)

    def score(self, number: int, requests: list[Request], texts: list[str]) -> list[TokenScores]:
        """Return a generator's scores of texts. The parameters of the requests are JSON texts."""
        registered, generator = self.objects[number]
        requests = [_with_parameters(request, registered) for request in requests]
        return validate_scores(generator.score(requests, texts), texts)

    def embed(self, number: int, outputs: list[Output]) -> list[list[float]]:
        """Return a generator's vectors of outputs."""
        return validate_vectors(self._object(number).embed(outputs), outputs)

    def check(self, number: int, content: Content) -> Verdict:
        """Return a filter's verdict."""
        return validate_verdict(self._object(number).check(content), content)

    def evaluate(self, number: int, generation: Generation, parameters: str) -> dict[str, float]:
        """Return an evaluator's values. The parameters of the generation are separate, as JSON."""
        registered, evaluator = self.objects[number]
        generation = replace(generation, parameters=protocol.values(parameters))
        measures = {measure.name for measure in registered.load_class().measures}
        return validate_values(evaluator.evaluate(generation), measures)

    def evaluate_group(
        self,
        number: int,
        generations: list[Generation],
        parameters: list[str],
        references: dict[str, list[str]],
    ) -> dict[str, dict[str, float]]:
        """Return an evaluator's values of a group, with the parameters as in `evaluate`."""
        registered, evaluator = self.objects[number]
        group = [
            replace(generation, parameters=protocol.values(text))
            for generation, text in zip(generations, parameters, strict=True)
        ]
        measures = {measure.name for measure in registered.load_class().measures}
        ids = [generation.id for generation in group]
        return validate_group_values(evaluator.evaluate_group(group, references), measures, ids)

    def matches(self, number: int, data: bytes) -> bool:
        """Return whether a media type recognises bytes."""
        return bool(self._media(number, "matches", data))

    def matches_file(self, number: int, data: bytes) -> bool:
        """Return whether a media type recognises a file."""
        return bool(self._media(number, "matches_file", data))

    def describe_output(self, number: int, data: bytes) -> str:
        """Return a media type's description of an output."""
        return str(self._media(number, "describe", data))

    def preview(self, number: int, data: bytes, columns: int) -> str | None:
        """Return a media type's preview of an output."""
        preview: str | None = self._media(number, "preview", data, columns)
        return preview

    def to_text(self, number: int, data: bytes) -> str | None:
        """Return a media type's lines of an output for a pipe."""
        text: str | None = self._media(number, "to_text", data)
        return text

    def compare(self, number: int, recorded: bytes, again: bytes) -> Comparison:
        """Return a media type's comparison of two outputs."""
        comparison: Comparison = self._media(number, "compare", recorded, again)
        return comparison

    def export(self, number: int, data: bytes, stamp: Stamp, suffix: str, options: str) -> bytes:
        """Return the file of an output. The options are JSON."""
        arguments = stamp.provenance(), suffix, self._options(number, options)
        return bytes(self._media(number, "export", data, *arguments))

    def combine(
        self, number: int, outputs: list[bytes], stamps: list[Stamp], suffix: str, options: str
    ) -> bytes:
        """Return one file of several outputs. The options are JSON."""
        provenances = [stamp.provenance() for stamp in stamps]
        arguments = provenances, suffix, self._options(number, options)
        return bytes(self._media(number, "combine", outputs, *arguments))

    def read_provenance(self, number: int, data: bytes) -> str | None:
        """Return the JSON of the provenance in a file."""
        text: str | None = self._media(number, "read_provenance", data)
        return text

    def fingerprint(self, number: int, data: bytes) -> bytes:
        """Return a media type's fingerprint of an output."""
        return bytes(self._media(number, "fingerprint", data))

    def items(self, number: int, data: bytes) -> tuple[Item, ...]:
        """Return the items of an output that is a list."""
        items: tuple[Item, ...] = self._media(number, "items", data)
        return items

    def select(self, number: int, data: bytes, positions: list[int]) -> bytes:
        """Return a list with some of its items."""
        return bytes(self._media(number, "select", data, positions))

    def packaged_models(self, number: int) -> list[PackagedModel] | None:
        """Return the models that installed packages contain, or None for an invalid result."""
        packaged = self._object(number).packaged_models()
        is_valid = isinstance(packaged, Sequence) and all(
            isinstance(model, PackagedModel) for model in packaged
        )
        return list(packaged) if is_valid else None

    def find_model(self, number: int, source: str) -> str | None:
        """Return the folder of a model, or None for an invalid result."""
        folder = self._object(number).find_model(source)
        return os.fspath(folder) if isinstance(folder, str | os.PathLike) else None

    def add_model(self, number: int, source: str, into: str) -> str:
        """Put a model into an empty folder, and return the facts to record as JSON.

        The core checks the facts.
        """

        def progress(task: str, fraction: float) -> None:
            self._send_progress(str(task), float(fraction))

        facts = self._object(number).add_model(source, Path(into), progress)
        return json.dumps(facts, default=_plain)

    def close(self, number: int) -> None:
        """Close an object or a call to a generator."""
        _, closed = self.objects.pop(number)
        if hasattr(closed, "close"):
            closed.close()

    def _media(self, number: int, method: str, *arguments: object) -> Any:
        return validate_media(method, getattr(self._object(number), method)(*arguments))

    def _options(self, number: int, options: str) -> Any:
        return self.objects[number][0].load_class().Export(**protocol.values(options))

    def _object(self, number: int) -> Any:
        return self.objects[number][1]


def _with_parameters(request: Request, registered: RegisteredObject) -> Request:
    """Return a request with parameters in place of their JSON text."""
    values = protocol.values(request.parameters)
    return replace(request, parameters=registered.parameters(**values))


def _attributes(target: object, names: Iterable[str]) -> Attributes:
    values = {name: getattr(target, name) for name in names}
    for name in values.keys() & {"uses_model", "default"}:
        values[name] = bool(values[name])
    return Attributes(**values)


METHODS: dict[str, Callable[..., Any]] = {
    name: method for name, method in vars(PluginService).items() if not name.startswith("_")
}


def _plain(value: object) -> object:
    """Return a mapping as a dict, and another object as False, which no fact about a model is."""
    return dict(value) if isinstance(value, Mapping) else False
