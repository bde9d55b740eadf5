"""What the core and a worker process tell each other, and how it is framed.

Two pipes of their own, one each way; never standard output, never pickle. A frame is the length of
its body in four bytes, big-endian, and the body: one message in MessagePack, told by its `type`.

The core asks, the worker answers, in strict turn. Every question has exactly one answer, the one
named here, or `Raised` (but `AddModel`, which `Progressed` may precede):

    Start ─→ Registered        the first question: import the plugin, tell what it registers
    Describe ─→ Described      what the class behind an offer declares
    Make ─→ Made               make an object; the core gives it a number
    Load ─→ Done               make a generator's model ready
    Facts ─→ Told              what a generator's bytes depend on
    Generate ─→ Done           begin to answer requests; the core gives the call a number
    Next ─→ Gave               run until the next piece or reply, or the end
    Stop ─→ Done               close a call that nobody wants the rest of
    Check ─→ Judged            a filter's verdict
    Evaluate ─→ Measured       an evaluator's numbers
    ListPackaged ─→ Packaged   the models that come with installed packages
    FindModel ─→ Found         where a model lies
    AddModel ─→ Added          put a model into a folder
    Close ─→ Done              let go of an object

The worker ends when its pipe is closed. Parameters travel as JSON: a whole number may have more
digits than MessagePack holds.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, TypeAlias

import msgspec

from muniment.parameters import Field, Parameters
from muniment.plugins.registry import Kind, Plugin
from muniment.types import (
    Chunk,
    Content,
    Generation,
    Measure,
    Model,
    PackagedModel,
    Reply,
    Verdict,
)

HEADER = 4  # bytes of a frame's length
LONGEST = 2**30  # bytes of a frame's body: what claims to be longer is no answer


class _Message(msgspec.Struct, frozen=True, tag_field="type", tag=True, omit_defaults=True):
    """What every message is."""


# ---- questions ------------------------------------------------------------------------------


class Start(_Message, frozen=True):
    """Import the plugin and register what it offers; `path` is Python's path of the core."""

    plugin: Plugin
    path: list[str]
    memory: int | None  # bytes of address space


class Describe(_Message, frozen=True):
    """Load the class of an offer."""

    kind: Kind
    name: str


class Make(_Message, frozen=True):
    """Make an object of an offer's class; a filter gets parameters."""

    object: int
    kind: Kind
    name: str
    parameters: str = "{}"


class Load(_Message, frozen=True):
    """Make a model ready."""

    object: int
    model: Model


class Facts(_Message, frozen=True):
    """Ask for the facts of the environment."""

    object: int


class WireRequest(msgspec.Struct, frozen=True):
    """One request, with its parameters as JSON."""

    id: str
    prompt: str
    seed: int
    parameters: str
    system: str | None
    model: Model | None
    stream: bool


class Generate(_Message, frozen=True):
    """Begin to answer requests."""

    object: int
    call: int
    requests: list[WireRequest]


class Next(_Message, frozen=True):
    """Go on with a call."""

    call: int


class Stop(_Message, frozen=True):
    """Close a call."""

    call: int


class Check(_Message, frozen=True):
    """Ask a filter."""

    object: int
    content: Content


class Evaluate(_Message, frozen=True):
    """Ask an evaluator; the generation's parameters are given apart, as JSON."""

    object: int
    generation: Generation
    parameters: str


class ListPackaged(_Message, frozen=True):
    """List the models that come with installed packages."""

    object: int


class FindModel(_Message, frozen=True):
    """Ask where a model lies."""

    object: int
    source: str


class AddModel(_Message, frozen=True):
    """Put a model into an empty folder."""

    object: int
    source: str
    into: str


class Close(_Message, frozen=True):
    """Let go of an object."""

    object: int


Question: TypeAlias = (
    Start
    | Describe
    | Make
    | Load
    | Facts
    | Generate
    | Next
    | Stop
    | Check
    | Evaluate
    | ListPackaged
    | FindModel
    | AddModel
    | Close
)


# ---- answers --------------------------------------------------------------------------------


class Registration(msgspec.Struct, frozen=True):
    """One object that the plugin registered; `parameters` are its fields as JSON."""

    kind: Kind
    name: str
    media_type: str
    parameters: str


class Registered(_Message, frozen=True):
    """What the plugin registered."""

    objects: list[Registration]


class Described(_Message, frozen=True):
    """What a class declares; each kind has its own part of it."""

    parameters: str
    determinism: str = "best-effort"
    uses_model: bool = False
    takes_models: bool = False
    version: str = ""
    media_types: list[str] = []
    categories: list[str] = []
    measures: list[Measure] = []
    default: bool = False


class MakeResult(_Message, frozen=True):
    """An object was made; what it says of itself may differ from what its class declares."""

    determinism: str = "best-effort"
    uses_model: bool = False
    media_types: list[str] = []


class Done(_Message, frozen=True):
    """It was done."""


class FactsResult(_Message, frozen=True):
    """The facts of the environment."""

    facts: dict[str, str | int]


class NextResult(_Message, frozen=True):
    """A piece, a reply, or why the request of that id has none; or, with none of them, the end.

    `broke` says why a call that is over broke off, if it did.
    """

    chunk: Chunk | None = None
    reply: Reply | None = None
    unanswered: tuple[str, str] | None = None
    over: bool = False
    error: str | None = None


class VerdictResult(_Message, frozen=True):
    """A verdict."""

    verdict: Verdict


class EvaluateResult(_Message, frozen=True):
    """Numbers by the names of measures."""

    values: dict[str, float]


class Packaged(_Message, frozen=True):
    """The models that come with installed packages."""

    models: list[PackagedModel]


class Found(_Message, frozen=True):
    """The folder of a model."""

    path: str


class Progressed(_Message, frozen=True):
    """How far long work is, from 0 to 1."""

    what: str
    fraction: float


class Added(_Message, frozen=True):
    """A model was put where it was wanted; `facts` is a JSON object."""

    facts: str


class ErrorResult(_Message, frozen=True):
    """An exception: `kind` is the name of Muniment's own error, or empty for any other.

    `message` is the error's sentence, or the description of any other exception; `about` is the
    parameter or model that an error is about.
    """

    kind: str
    message: str
    about: str = ""
    traceback: str = ""


Answer: TypeAlias = (
    Registered
    | Described
    | MakeResult
    | Done
    | FactsResult
    | NextResult
    | VerdictResult
    | EvaluateResult
    | Packaged
    | Found
    | Progressed
    | Added
    | ErrorResult
)

_encoder = msgspec.msgpack.Encoder()
_questions: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def framed(message: Question | Answer) -> bytes:
    """Return a message as a frame; raises ValueError, or what cannot be encoded raises."""
    body = _encoder.encode(message)
    if len(body) > LONGEST:
        raise ValueError(f"{len(body):,} bytes are more than a frame holds")
    return len(body).to_bytes(HEADER, "big") + body


def question(body: bytes) -> Question:
    """Read the body of a frame from the core."""
    return _questions.decode(body)


def answer(body: bytes) -> Answer:
    """Read the body of a frame from a worker; raises ValueError for anything but an answer."""
    return _answers.decode(body)


# ---- parameters -----------------------------------------------------------------------------


def fields_json(declared: type[Parameters]) -> str:
    """Return the fields of a parameter class as JSON."""
    return json.dumps([asdict(field) for field in declared.fields().values()])


def parameters_class(fields: str) -> type[Parameters]:
    """Return a class with fields that came as JSON; raises TypeError or ValueError."""
    found = {}
    for item in json.loads(fields):
        if isinstance(item["default"], list):
            item["default"] = tuple(item["default"])
        field = Field(**{**item, "choices": tuple(item["choices"])})
        found[field.name] = field
    return type("Parameters", (Parameters,), {"_fields": found})


def values_json(parameters: Any) -> str:
    """Return the values of parameters as JSON; raises ValueError for what JSON cannot say."""
    return json.dumps(dict(parameters), allow_nan=False)


def values(text: str) -> dict[str, Any]:
    """Return values that came as JSON; a list becomes a tuple, as parameters hold it."""
    found = json.loads(text).items()
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found}
