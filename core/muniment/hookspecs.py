"""The contract between Muniment and a plugin.

A plugin is a module named by an entry point of the group `muniment.v1`. It implements any of
the hooks below and registers classes there. The core creates the objects. Registering must not
import heavy modules. To import a module on first use, register `"module:Class"` with its name
instead of a class. A generator also needs its media type, parameters and inputs there.

    generators ── registered ─→ listed by name, media type and parameters (nothing imported)
                               └─ first request ─→ Class() ─→ resolve(request, model)
                                                           ─→ load(model) ─→ generate(requests) …
    filters ──── named by a policy ─→ Class(parameters) ─→ check(content) …
    evaluators ─ named or default ──→ Class(parameters, models) ─→ evaluate(generation) …
                                      (`powers` scores and embeds with those models)
                          … of groups ─→ evaluate_group(generations, references) …
    media types ─ a file is shown, compared or exported ─→ Class() ─→ describe(data) …
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import pluggy

from muniment.errors import UsageError
from muniment.parameters import Parameters as _NoParameters
from muniment.types.generations import Generation
from muniment.types.inputs import InputSpec
from muniment.types.models import Model, PackagedModel
from muniment.types.outputs import Comparison, Item, Output
from muniment.types.provenance import Provenance
from muniment.types.replies import Chunk, Reply
from muniment.types.requests import Request, Resolution
from muniment.types.scores import Measure, TokenScores
from muniment.types.verdicts import Content, Verdict

hookspec = pluggy.HookspecMarker("muniment")
hookimpl = pluggy.HookimplMarker("muniment")


class Register(Protocol):
    """The argument of a hook, to be called once for each class that the plugin registers.

    Example:
        >>> def muniment_generators(register: muniment.Register) -> None:
        ...     register("my_plugin.generator:Shuffle", name="shuffle", media_type="text/plain")
    """

    def __call__(
        self,
        target: type | str,
        /,
        *,
        name: str | None = None,
        media_type: str | None = None,
        media_types: Sequence[str] | None = None,
        parameters: type[_NoParameters] | None = None,
        inputs: Sequence[InputSpec] | None = None,
        prompt: Literal["required", "optional"] | None = None,
    ) -> None:
        """Register a class, or `"module:Class"` with the fields that list it.

        `media_type` is that of a generator's outputs, `media_types` are those of a `MediaType`.
        `prompt` is that of a generator.
        """


@hookspec
def muniment_generators(register: Register) -> None:
    """Register generators. Called once, when generators are first listed or used."""


@hookspec
def muniment_filters(register: Register) -> None:
    """Register filters. Called once, when a policy that names filters is first loaded."""


@hookspec
def muniment_evaluators(register: Register) -> None:
    """Register evaluators. Called once, when evaluators are first listed or used."""


@hookspec
def muniment_media_types(register: Register) -> None:
    """Register media types. Called once, when an output that is not text is shown or exported."""


class Generator(ABC):
    """The base class of generators, with `name`, `media_type` and `generate` to be defined.

    `determinism` is a claim that replay checks. `exact` means that the same request gives the
    same bytes in the same environment, independent of the other requests in its batch. `inputs`
    are the files that a request may have besides the prompt.

    With `prompt = "optional"`, a request may have no prompt, and `Request.prompt` is then empty. A
    model that needs a prompt nevertheless is the reason for a UsageError of `resolve`. Otherwise a
    prompt that is empty or only white space is refused before it is recorded.

    `model_command` makes or adds a first model. The error for a home without one names it.
    `model_files` are names of files that the folder of each model has. When another generator
    with `model_files` refuses such a folder, the error names this one.

    Example:
        >>> class Shuffle(muniment.Generator):
        ...     name, media_type, determinism = "shuffle", "text/plain", "exact"
        ...     uses_model = True
        ...     def load(self, model):
        ...         self.folder = model.path
        ...     def use_cache(self, folder):
        ...         self.cache = folder
        ...     def resolve(self, request, model):
        ...         return muniment.Resolution()
        ...     def retest(self):
        ...         self.tested = True
        ...     def generate(self, requests):
        ...         for request in requests:
        ...             words = request.prompt.split()
        ...             request.random().shuffle(words)
        ...             yield request.reply(muniment.Text(" ".join(words)))
        ...     def environment(self):
        ...         return {"threads": 1}
        ...     def close(self):
        ...         del self.folder
        >>> request = muniment.Request(id="01M8", prompt="Once", seed=7, parameters=None)
        >>> [reply.outputs[0].text for reply in Shuffle().generate([request])]
        ['Once']
    """

    name: ClassVar[str]
    media_type: ClassVar[str]
    prompt: ClassVar[Literal["required", "optional"]] = "required"
    determinism: ClassVar[Literal["exact", "best-effort"]] = "best-effort"
    uses_model: ClassVar[bool] = False
    model_command: ClassVar[str] = "muniment models add PATH_OR_ID"
    model_files: ClassVar[tuple[str, ...]] = ()
    inputs: ClassVar[tuple[InputSpec, ...]] = ()
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

    def resolve(self, request: Request, model: Model | None) -> Resolution:
        """Return the defaults of a request that depend on its model, before it is recorded.

        Parameters that have their declared default, such as None, can be set. A default that the
        caller gave is kept, unless it is None. `request` has the parameters, the prompt and the
        model files of parameters. A UsageError or a ModelError refuses the request, for example
        because the model needs a prompt. Do not load the model here: read a small file of it. A
        replay does not call this, and uses the recorded values.
        """
        return Resolution()

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
    """The optional methods of a generator that `uses_model` by which models are added.

    Example:
        >>> class Adds:
        ...     def packaged_models(self):
        ...         return [muniment.PackagedModel("tiny", "tiny", "Apache-2.0.")]
        ...     def add_model(self, source, into, progress):
        ...         (into / "weights.safetensors").write_bytes(b"")
        ...         return {"name": source, "roles": {}, "terms": ""}
        ...     def find_model(self, source):
        ...         raise muniment.ModelError(source, f"there is no model {source}")
        >>> isinstance(Adds(), muniment.ModelProvider)
        True
    """

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
        `name` (a proposal), `roles` (role → file), `terms` (a sentence shown once), and `is_part`
        (True for an adapter, which is never the default model). Raises ModelError.
        """

    def find_model(self, source: str) -> Path:
        """Return the local folder of a model that was never added, by its hub id.

        Raises ModelError when the model cannot be found.
        """


@runtime_checkable
class TextScorer(Protocol):
    """The optional method of a generator of texts that measures how probable a text is.

    Example:
        >>> class Scores:
        ...     def score(self, requests, texts):
        ...         return [muniment.TokenScores([7], [-0.5], [(0, 5)]) for text in texts]
        >>> isinstance(Scores(), muniment.TextScorer)
        True
    """

    def score(self, requests: Sequence[Request], texts: Sequence[str]) -> Sequence[TokenScores]:
        """Return the probabilities of the tokens of each text, as an answer to its request.

        There is one request for each text. The model is loaded. A result does not depend on the
        other texts of the call. Raise UsageError for a text that the model cannot read.
        """


@runtime_checkable
class Embedder(Protocol):
    """The optional method of a generator that represents outputs as vectors.

    Example:
        >>> class Embeds:
        ...     def embed(self, outputs):
        ...         return [[1.0, 0.0] for output in outputs]
        >>> isinstance(Embeds(), muniment.Embedder)
        True
    """

    def embed(self, outputs: Sequence[Output]) -> Sequence[Sequence[float]]:
        """Return a vector of finite numbers for each output, all of one length.

        Similar outputs have a small angle between their vectors. The model is loaded. A vector
        does not depend on the other outputs of the call. Raise UsageError for an output that cannot
        be read.
        """


def powers_of(generator: type[Generator] | Generator) -> tuple[str, ...]:
    """Return the names of the optional methods `score` and `embed` that a generator has."""
    return tuple(name for name in ("score", "embed") if callable(getattr(generator, name, None)))


class ModelPowers(Protocol):
    """The powers of generators, with the models that the parameters of an evaluator name.

    `parameter` is the name of a parameter that is declared with `model=True`. The model is loaded
    when it is first used, by the generator that it was added for. The methods raise UsageError
    without such a model or generator, ModelError or PluginError.

    Example:
        >>> class Surprise(muniment.Evaluator):
        ...     name, measures = "surprise", (muniment.Measure("logprob"),)
        ...     def evaluate(self, generation):
        ...         powers: muniment.ModelPowers = self.powers
        ...         (scores,) = powers.score("model", [generation.text])
        ...         (vector,) = powers.embed("model", generation.outputs)
        ...         return {"logprob": sum(scores.logprobs) / len(vector)}
    """

    def score(
        self, parameter: str, texts: Sequence[str], prompts: Sequence[str] | None = None
    ) -> Sequence[TokenScores]:
        """Return the probabilities of the tokens of each text, as an answer to its prompt.

        There is one prompt for each text, and all are empty by default.
        """

    def embed(self, parameter: str, outputs: Sequence[Output]) -> Sequence[Sequence[float]]:
        """Return a vector of finite numbers for each output, all of one length."""


class _NoPowers:
    """The powers of an evaluator that no session created."""

    def score(
        self, parameter: str, texts: Sequence[str], prompts: Sequence[str] | None = None
    ) -> Sequence[TokenScores]:
        raise UsageError("only the evaluators of a session have powers; set `powers` in a test")

    def embed(self, parameter: str, outputs: Sequence[Output]) -> Sequence[Sequence[float]]:
        raise UsageError("only the evaluators of a session have powers; set `powers` in a test")


class Filter(ABC):
    """The base class of filters, with `name` and `check` to be defined.

    An instance serves one rule of a policy and gets the rule's parameters. A ParameterError
    from `__init__` rejects the policy. A filter blocks when it raises, returns anything but a
    verdict, or exceeds the time limit of its rule.

    `media_types` are the types it can read. `text/plain` includes every kind of text, and other
    types that are text (see `Content.is_text`). `categories` are the categories of its verdicts.
    Undeclared categories, such as words from a policy, are stored as erasable payloads. An instance
    can have its own `categories`, for which thresholds of its rule can be given.

    Example:
        >>> class Secrets(muniment.Filter):
        ...     name, version = "secrets", "1"
        ...     media_types, categories = ("text/plain",), ("secret",)
        ...     def check(self, content):
        ...         return content.block("secret") if "secret" in content.text else content.allow()
        >>> Secrets(None).check(muniment.Content("prompt", "text/plain", b"a secret")).decision
        'block'
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
    scores, never the generation. An instance serves one set of parameters. `models` has the models
    of the parameters that are declared with `model=True`, by the name of the parameter. Load them
    in `evaluate` when they are first needed.

    Example:
        >>> class Words(muniment.Evaluator):
        ...     name, version, measures = "words", "1", (muniment.Measure("words", "words"),)
        ...     def evaluate(self, generation):
        ...         return {"words": len(generation.text.split())}
        >>> Words().evaluate(done)
        {'words': 5}
    """

    name: ClassVar[str]
    version: ClassVar[str] = ""  # the distribution's version where empty
    media_types: ClassVar[tuple[str, ...]] = ("text/plain",)
    measures: ClassVar[tuple[Measure, ...]]
    default: ClassVar[bool] = False
    Parameters: ClassVar[type[_NoParameters]] = _NoParameters
    powers: ModelPowers = _NoPowers()
    """Scores texts and embeds outputs with these models. It is set before the first `evaluate`."""

    def __init__(self, parameters: Any = None, models: Mapping[str, Model] | None = None) -> None:
        self.parameters: Any = self.Parameters() if parameters is None else parameters
        self.models = models or {}

    @abstractmethod
    def evaluate(self, generation: Generation) -> Mapping[str, float]:
        """Return a finite number for each measure that applies, by its name.

        The generation has its prompt, inputs, outputs, trace and verdicts. Omit a measure that
        does not apply, for example to an empty text or without a trace.
        """


class GroupEvaluator(Evaluator):
    """The base class of evaluators that compare generations, or read references.

    Define `name`, `measures` and `evaluate_group`. It is registered as an evaluator, but measures
    only recorded generations (`muniment evaluate`), because a new one has no siblings.

    Example:
        >>> class Distinct(muniment.GroupEvaluator):
        ...     name, version, measures = "distinct", "1", (muniment.Measure("texts", "texts"),)
        ...     def evaluate_group(self, generations, references):
        ...         texts = {generation.text for generation in generations}
        ...         return {generation.id: {"texts": len(texts)} for generation in generations}
        >>> Distinct().evaluate_group([done], {})[done.id]
        {'texts': 1}
        >>> Distinct.evaluate is muniment.GroupEvaluator.evaluate
        True
    """

    @abstractmethod
    def evaluate_group(
        self, generations: Sequence[Generation], references: Mapping[str, Sequence[str]]
    ) -> Mapping[str, Mapping[str, float]]:
        """Return a finite number for each measure that applies, by the id of a generation.

        The generations have the same item and setting of an experiment, or else the same run,
        prompt and parameters. They are completed, and have outputs that the evaluator reads.
        `references` has the texts to compare with by the id of a generation. The order of the
        generations has no meaning. Omit a measure that does not apply, for example to a single
        generation or without references.
        """

    def evaluate(self, generation: Generation) -> Mapping[str, float]:
        """Return the values of a generation that is alone and has no references."""
        return self.evaluate_group([generation], {}).get(generation.id, {})


class MediaType:
    """The base class of media types, which describe, compare and export outputs of their types.

    `media_types` are the types that it handles, which are other than `text/*`. Two plugins may
    not register one type. `suffixes` are the endings of the files that `export` can write. The
    first one is the default. `lossy_suffixes` are those of formats that change the content, such as
    `.jpg` the pixels, so that their files do not have the fingerprint. `altering_options` are the
    options of `Export` that do so when they differ from their default, such as a scale.
    `plain_suffixes` are those of text and JSON files that are written as recorded. Every
    method is optional: where one is missing or raises, bytes are compared, nothing is previewed,
    and only `--bare` writes a file. Raise MunimentError with a sentence for damaged data, which is
    then reported as it is. Recorded outputs contain no provenance, and exported files do.

    Example:
        >>> class Shades(muniment.MediaType):
        ...     name, media_types, suffixes = "shades", ("image/x-shades",), (".shades",)
        ...     def matches(self, data):
        ...         return data.startswith(b"S")
        ...     def matches_file(self, data):
        ...         return self.matches(data)
        ...     def describe(self, data):
        ...         return f"{len(data) - 1} shades"
        ...     def compare(self, recorded, again):
        ...         return muniment.Comparison(abs(len(recorded) - len(again)), "shades")
        ...     def preview(self, data, columns):
        ...         return "#" * min(columns, len(data) - 1)
        ...     def to_text(self, data):
        ...         return None
        ...     def export(self, data, provenance, suffix, options):
        ...         return data + b"|" + provenance.id.encode()
        ...     def combine(self, parts, suffix, options):
        ...         return b"".join(data for data, provenance in parts)
        ...     def read_provenance(self, data):
        ...         return None
        ...     def fingerprint(self, data):
        ...         return data.partition(b"|")[0]
        ...     def items(self, data):
        ...         return tuple(muniment.Item(str(shade), str(shade)) for shade in data[1:])
        ...     def select(self, data, positions):
        ...         return b"S" + bytes(data[1 + position] for position in positions)
        >>> Shades().describe(Shades().select(b"Sabc", [0, 2]))
        '2 shades'
    """

    name: ClassVar[str]
    version: ClassVar[str] = ""  # the distribution's version where empty
    media_types: ClassVar[tuple[str, ...]]
    suffixes: ClassVar[tuple[str, ...]] = ()
    lossy_suffixes: ClassVar[tuple[str, ...]] = ()
    plain_suffixes: ClassVar[tuple[str, ...]] = ()
    altering_options: ClassVar[tuple[str, ...]] = ()
    Export: ClassVar[type[_NoParameters]] = _NoParameters
    """The options of files, which become options of commands and are not recorded."""

    def matches(self, data: bytes) -> bool:
        """Return whether bytes are of one of these types, by their content."""
        raise NotImplementedError

    def matches_file(self, data: bytes) -> bool:
        """Return whether bytes are a file of a format that `export` writes, by their content.

        Without this method, they are one if `matches` returns true.
        """
        raise NotImplementedError

    def describe(self, data: bytes) -> str:
        """Return a short description, such as `PNG, 28 x 28, 1.2 kB`."""
        raise NotImplementedError

    def compare(self, recorded: bytes, again: bytes) -> Comparison:
        """Return how far two different outputs lie apart. The core alone decides equality."""
        raise NotImplementedError

    def preview(self, data: bytes, columns: int) -> str | None:
        """Return lines for a terminal of this width, or None. Only colour codes are displayed."""
        raise NotImplementedError

    def to_text(self, data: bytes) -> str | None:
        """Return the lines that a pipe gets in place of JSON, without a limit of width, or None.

        Write a record on each line, with values separated by tabs and without headers.
        """
        raise NotImplementedError

    def export(self, data: bytes, provenance: Provenance, suffix: str, options: Any) -> bytes:
        """Return a file of the format that `suffix` names, which contains the provenance.

        `suffix` is one of `suffixes`, without `plain_suffixes`, and `options` is an instance of
        `Export`. Write what `muniment.provenance.to_json` returns, which `read_provenance` returns
        again. Only the id is needed in a format that has no room for the rest. The core signs the
        file afterwards. Raise ParameterError for an option that the format does not have.

        No file is written if the bytes are empty or those of the output. The same applies if
        `read_provenance` returns another id, or `fingerprint` another content and neither
        `suffix` nor an option is declared to change it.
        """
        raise NotImplementedError

    def combine(
        self,
        outputs: Sequence[bytes],
        provenances: Sequence[Provenance],
        suffix: str,
        options: Any,
    ) -> bytes:
        """Return one file that shows several outputs and contains their provenances.

        No file is written if the bytes are empty or those of one of the outputs.
        """
        raise NotImplementedError

    def read_provenance(self, data: bytes) -> str | None:
        """Return the JSON of the provenance in an exported file, or None if there is none.

        It is the text that `muniment.provenance.to_json` returned. The core checks it, since anyone
        can change a file.
        """
        raise NotImplementedError

    def fingerprint(self, data: bytes) -> bytes:
        """Return what remains of the content when a program saves it again, such as its pixels.

        An exported file has the fingerprint of the recorded output, unless its suffix is in
        `lossy_suffixes` or one of `altering_options` is used. It is not empty. Its SHA-256 is
        recorded. If a later version returns something else, `audit find` does not find earlier
        outputs by it.
        """
        raise NotImplementedError

    def items(self, data: bytes) -> tuple[Item, ...]:
        """Return the items of an output that is a list, in its order."""
        raise NotImplementedError

    def select(self, data: bytes, positions: Sequence[int]) -> bytes:
        """Return a list with only the items at these positions, from 0, in this order.

        The same data and positions give the same bytes, because the record commits to them. A
        later version that returns other bytes is an error wherever the selection is read again.
        """
        raise NotImplementedError


def implemented_methods(media_type: type[MediaType]) -> frozenset[str]:
    """Return the names of the optional methods that a class of a media type implements."""
    isolated: frozenset[str] | None = getattr(media_type, "implemented", None)
    if isolated is not None:  # a proxy has all methods
        return isolated
    return frozenset(
        name
        for name, method in vars(MediaType).items()
        if callable(method)
        and not name.startswith("_")
        and name != "Export"
        and getattr(media_type, name) is not method
    )
