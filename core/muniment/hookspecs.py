"""The contract between Muniment and a plugin: what a plugin author reads first.

A plugin is a module named by an entry point of the group `muniment.v1`. It implements any of
the hooks below and registers classes there; the core makes the objects. Registering must be
light: give a class, or `"module:Class"` with its name (and, for a generator, its media type and
parameters), and the module is imported when the object is first used.

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
    """What a hook is given: call it once for every object the plugin offers."""

    def __call__(
        self,
        target: type | str,
        /,
        *,
        name: str | None = None,
        media_type: str | None = None,
        parameters: type[_NoParameters] | None = None,
    ) -> None:
        """Register a class, or `"module:Class"` with what is needed to list it."""


@hookspec
def muniment_generators(register: Register) -> None:
    """Register generators; called once, when generators are first listed or asked for."""


@hookspec
def muniment_filters(register: Register) -> None:
    """Register filters; called once, when a policy that names filters is first resolved."""


@hookspec
def muniment_evaluators(register: Register) -> None:
    """Register evaluators; called once, when evaluators are first listed or asked for."""


class Generator(ABC):
    """Makes outputs from requests. Subclass it; `name`, `media_type` and `generate` are needed.

    `determinism` is a claim that replay holds you to: `exact` says that the same request gives
    the same bytes in the same environment, whatever else runs beside it in a batch.
    """

    name: ClassVar[str]
    media_type: ClassVar[str]
    determinism: ClassVar[Literal["exact", "best-effort"]] = "best-effort"
    uses_model: ClassVar[bool] = False
    Parameters: ClassVar[type[_NoParameters]] = _NoParameters

    def load(self, model: Model) -> None:
        """Make the model ready; called once per object, only where `uses_model` is true.

        Raises ModelError when the files cannot be used.
        """

    @abstractmethod
    def generate(self, requests: Sequence[Request]) -> Iterable[Reply | Chunk | Output]:
        """Answer each request by `yield request.reply(...)`, in any order.

        All requests of a call have the same model; parameters and seeds are each one's own. With
        `request.chunk(...)` text can be given as it comes, and the whole text must then begin with
        what its pieces said. `request.fail(reason)` answers that
        one request cannot be met. A bare output is understood only when there is one request.
        When this raises, what was answered stands and the rest is asked for one by one.
        """

    def environment(self) -> Mapping[str, str | int]:
        """Return what else the bytes depend on: library versions, threads, number format.

        These facts are kept for ever; no path, prompt or name of a person may be among them.
        """
        return {}

    def close(self) -> None:
        """Let go of what the object holds."""


@runtime_checkable
class ModelProvider(Protocol):
    """The optional methods of a generator that `uses_model` by which models are added."""

    def packaged_models(self) -> Sequence[PackagedModel]:
        """Return the models that come with installed packages, the default one first.

        One of them is added when a request means it and it is not in the home yet. Use no
        network, and return an empty sequence when no such package is installed.
        """

    def add_model(
        self, source: str, into: Path, progress: Callable[[str, float], None]
    ) -> Mapping[str, Any]:
        """Put the model of `source` (a path, a hub id, a name of your own) into a folder.

        `into` is empty and becomes the model's folder when this returns. An exception leaves
        nothing behind. Call `progress(what, fraction)` on long work. Return facts worth keeping:
        `name` (a proposal), `roles` (role → file), `terms` (a sentence shown once).
        Raises ModelError.
        """

    def find_model(self, source: str) -> Path:
        """Return the local folder of a model that was never added, by hub id.

        Raises ModelError when there is none.
        """


class Filter(ABC):
    """Judges prompts and outputs. Subclass it; `name` and `check` are needed.

    An instance serves one entry of a policy and gets that entry's parameters; a ParameterError
    from `__init__` refuses the policy. A filter that raises, answers anything but a verdict, or
    answers later than the policy's limit blocks: nothing passes unjudged.

    `media_types` are what it can read; `text/plain` stands for every kind of text, and for whatever
    else is one (see `Content.is_text`). `categories` are the categories its verdicts may name;
    those not declared here (an author's own words from a policy, say) are kept apart, where they
    can be erased.
    """

    name: ClassVar[str]
    version: ClassVar[str] = ""  # the distribution's version where empty
    media_types: ClassVar[tuple[str, ...]] = ("text/plain",)
    categories: ClassVar[tuple[str, ...]] = ()
    Parameters: ClassVar[type[_NoParameters]] = _NoParameters

    def __init__(self, parameters: Any) -> None:
        self.parameters = parameters

    @abstractmethod
    def check(self, content: Content) -> Verdict:
        """Return `content.allow()`, `content.flag(...)` or `content.block(...)`."""


class Evaluator(ABC):
    """Measures generations. Subclass it; `name`, `measures` and `evaluate` are needed.

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

        The generation has its prompt, outputs, trace and verdicts; a measure that cannot be taken
        (of an empty text, without a trace) is left out.
        """
