"""The contract between Muniment and a plugin.

A plugin is a module named by an entry point of the group `muniment.v1`. It implements any of
the hooks below and registers classes there. The core creates the objects. Registering must not
import heavy modules. To import a module on first use, register `"module:Class"` with its name
(and, for a generator, its media type and parameters) instead of a class.

    generators ── registered ─→ listed by name, media type and parameters (nothing imported)
                               └─ first request ─→ Class() ─→ load(model) ─→ generate(requests) …
    filters ──── named by a policy ─→ Class(parameters) ─→ check(content) …
    evaluators ─ named or default ──→ Class() ─→ evaluate(generation) …
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import pluggy

from muniment.parameters import Parameters as _NoParameters
from muniment.types import (
    Chunk,
    Content,
    Generation,
    Measure,
    Model,
    Output,
    PackagedModel,
    Reply,
    Request,
    Verdict,
)

hookspec = pluggy.HookspecMarker("muniment")
hookimpl = pluggy.HookimplMarker("muniment")


class Register(Protocol):
    """The argument of a hook, to be called once for each class that the plugin registers."""

    def __call__(
        self,
        target: type | str,
        /,
        *,
        name: str | None = None,
        media_type: str | None = None,
        parameters: type[_NoParameters] | None = None,
    ) -> None:
        """Register a class, or `"module:Class"` with the fields that list it."""


@hookspec
def muniment_generators(register: Register) -> None:
    """Register generators. Called once, when generators are first listed or used."""


@hookspec
def muniment_filters(register: Register) -> None:
    """Register filters. Called once, when a policy that names filters is first loaded."""


@hookspec
def muniment_evaluators(register: Register) -> None:
    """Register evaluators. Called once, when evaluators are first listed or used."""


class Generator(ABC):
    """The base class of generators, with `name`, `media_type` and `generate` to be defined.

    `determinism` is a claim that replay checks. `exact` means that the same request gives the
    same bytes in the same environment, independent of the other requests in its batch.
    """

    name: ClassVar[str]
    media_type: ClassVar[str]
    determinism: ClassVar[Literal["exact", "best-effort"]] = "best-effort"
    uses_model: ClassVar[bool] = False
    Parameters: ClassVar[type[_NoParameters]] = _NoParameters

    def load(self, model: Model) -> None:
        """Load the model. Called once per object, only when `uses_model` is true.

        Raises ModelError when the files cannot be used.
        """

    def use_cache(self, folder: Path) -> None:
        """Accept a folder for results that later processes may use. Called before `load`.

        The folder belongs to the current code of the plugin. It may not exist yet, and may be
        deleted at any time. Other programs can write to it, so its contents must be verified.
        """

    def retest(self) -> None:
        """Repeat the tests whose results `load` took from the cache.

        Called after `load`, for a replay and for `muniment models verify`.
        """

    @abstractmethod
    def generate(self, requests: Sequence[Request]) -> Iterable[Reply | Chunk | Output]:
        """Reply to each request by `yield request.reply(...)`, in any order.

        All requests of a call have the same model. Each has its own parameters and seed.
        `request.chunk(...)` streams text, and the reply's text must begin with the chunks.
        `request.fail(reason)` fails one request. A bare output is accepted only for a single
        request. When this raises, replies already yielded are kept, and the remaining requests
        are generated one by one.
        """

    def environment(self) -> Mapping[str, str | int]:
        """Return other facts that the bytes depend on, such as library versions and threads.

        They are never erased, so they must not contain paths, prompts or names of persons. A fact
        whose name begins with `note.` is recorded but not compared by a replay. Use such a name
        for a fact that cannot affect the bytes.
        """
        return {}

    def close(self) -> None:
        """Release the resources of the object."""


@runtime_checkable
class ModelProvider(Protocol):
    """The optional methods of a generator that `uses_model` by which models are added."""

    def packaged_models(self) -> Sequence[PackagedModel]:
        """Return the models that come with installed packages, the default one first.

        A packaged model is added when a request first needs it. Use no network. Return an empty
        sequence when no such package is installed.
        """

    def add_model(
        self, source: str, into: Path, progress: Callable[[str, float], None]
    ) -> Mapping[str, Any]:
        """Put the model of `source` (a path, a hub id, a name of your own) into a folder.

        `into` is empty. It becomes the model's folder when this returns, and is deleted when this
        raises. Call `progress(step, fraction)` during long work. Return facts to record:
        `name` (a proposal), `roles` (role → file), `terms` (a sentence shown once).
        Raises ModelError.
        """

    def find_model(self, source: str) -> Path:
        """Return the local folder of a model that was never added, by its hub id.

        Raises ModelError when the model cannot be found.
        """


class Filter(ABC):
    """The base class of filters, with `name` and `check` to be defined.

    An instance serves one rule of a policy and gets the rule's parameters. A ParameterError
    from `__init__` rejects the policy. A filter blocks when it raises, returns anything but a
    verdict, or exceeds the time limit of its rule.

    `media_types` are the types it can read. `text/plain` includes every kind of text, and other
    types that are text (see `Content.is_text`). `categories` are the categories of its verdicts.
    Undeclared categories, such as words from a policy, are stored as erasable payloads. An instance
    can have its own `categories`, for which thresholds of its rule can be given.
    """

    name: ClassVar[str]
    version: ClassVar[str] = ""  # the distribution's version where empty
    media_types: ClassVar[tuple[str, ...]] = ("text/plain",)
    categories: tuple[str, ...] = ()  # of all instances, unless an instance has its own
    Parameters: ClassVar[type[_NoParameters]] = _NoParameters

    def __init__(self, parameters: Any) -> None:
        self.parameters = parameters

    @abstractmethod
    def check(self, content: Content) -> Verdict:
        """Return `content.allow()`, `content.flag(...)` or `content.block(...)`."""


class Evaluator(ABC):
    """The base class of evaluators, with `name`, `measures` and `evaluate` to be defined.

    `default` evaluators run when the caller names none. An evaluator that raises fails its own
    scores, never the generation.
    """

    name: ClassVar[str]
    version: ClassVar[str] = ""  # the distribution's version where empty
    media_types: ClassVar[tuple[str, ...]] = ("text/plain",)
    measures: ClassVar[tuple[Measure, ...]]
    default: ClassVar[bool] = False

    @abstractmethod
    def evaluate(self, generation: Generation) -> Mapping[str, float]:
        """Return a finite number for each measure that applies, by its name.

        The generation has its prompt, outputs, trace and verdicts. Omit a measure that does not
        apply, for example to an empty text or without a trace.
        """
