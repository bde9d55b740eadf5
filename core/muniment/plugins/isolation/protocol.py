"""Encode the calls that the core sends to a worker process, and the replies of the worker.

A call consists of the name of a method of `PluginService` and its arguments. The core waits for
the reply before it sends the next call. The reply is the result of the method or an exception. A
long call may send its progress before its reply. An evaluator may call a power of a model in the
core, which is a PowerCall before the reply. The core answers it with a result or an exception. If
the generator with this power is in the same worker, the core calls it before it answers.

Both sides decode strictly by the annotations of the method. The worker decodes the arguments, and
the core decodes the result. Parameters are JSON texts inside a message, because an integer of
MessagePack has at most 64 bits.

Messages pass through two dedicated pipes, never through standard output, and never as pickles. A
frame is the length of its body in four bytes (big-endian), and the body in MessagePack.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Any, Generic, TypeVar, get_type_hints

import msgspec

from muniment.errors import ModelError, MunimentError, ParameterError, PluginError, UsageError
from muniment.failures import describe
from muniment.parameters import Field, Parameters
from muniment.types.outputs import Output
from muniment.types.scores import TokenScores
from muniment.validation import escape_unencodable

HEADER = 4  # bytes of a frame's length
LONGEST = 2**30  # maximum bytes of a frame's body

_Value = TypeVar("_Value")

_ERRORS = {  # subclasses first
    error.__name__: error
    for error in (ParameterError, UsageError, ModelError, PluginError, MunimentError)
}


class Result(msgspec.Struct, Generic[_Value], frozen=True, tag=True, forbid_unknown_fields=True):
    """The result of a call."""

    value: _Value


class ErrorResult(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """The exception that a call raised.

    `kind` is the class of a MunimentError, and empty for any other exception. `message` is the
    error's sentence or the description of the exception. `about` is the parameter or model that
    the error concerns.
    """

    kind: str
    message: str
    about: str
    traceback: str


class Progress(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """The progress of a long call, with a fraction from 0 to 1."""

    task: str
    fraction: float


class PowerCall(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """A use of a power with the model that a parameter of an evaluator names.

    `outputs` are to be embedded. If it is None, `texts` are to be scored.
    """

    parameter: str
    texts: list[str] = []
    prompts: list[str] | None = None
    outputs: list[Output] | None = None


def _encode_parameters(value: object) -> str:
    if not isinstance(value, Parameters):
        raise TypeError(f"a message cannot contain {type(value).__name__}")
    return values_json(value)


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_parameters)
_call_decoder = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw])


def frame(message: object) -> bytes:
    """Return a reply, or the name and arguments of a method to call, as a frame.

    Raises ValueError if it is too long.
    """
    body = _encoder.encode(message)
    if len(body) > LONGEST:
        raise ValueError(f"{len(body):,} bytes are more than a frame holds")
    return len(body).to_bytes(HEADER, "big") + body


def decode_call(body: bytes, methods: dict[str, Callable[..., Any]]) -> tuple[str, tuple[Any, ...]]:
    """Return the method's name and the arguments of a call to one of the methods.

    Raises KeyError for another method, and ValueError for arguments of another type.
    """
    name, arguments = _call_decoder.decode(body)
    return name, _arguments_decoder(methods[name]).decode(arguments)


@cache
def _arguments_decoder(method: Callable[..., Any]) -> msgspec.msgpack.Decoder[tuple[Any, ...]]:
    hints = get_type_hints(method)
    del hints["return"]
    return msgspec.msgpack.Decoder(tuple[*hints.values()])  # type: ignore[misc]


@cache
def reply_decoder(method: Callable[..., Any]) -> msgspec.msgpack.Decoder[Any]:
    """Return the decoder of the replies to calls of a method.

    It returns a Result, an ErrorResult, a Progress or a PowerCall. It raises ValueError for
    anything else.
    """
    result = get_type_hints(method)["return"]
    return msgspec.msgpack.Decoder(Result[result] | ErrorResult | Progress | PowerCall)  # type: ignore[valid-type]


scores_decoder = msgspec.msgpack.Decoder(
    Result[list[TokenScores]] | ErrorResult | tuple[str, msgspec.Raw]
)
vectors_decoder = msgspec.msgpack.Decoder(
    Result[list[list[float]]] | ErrorResult | tuple[str, msgspec.Raw]
)
"""The decoders of the answers to a PowerCall. A tuple is a call that comes before the answer."""


def error_result(error: BaseException, module: str = "") -> ErrorResult:
    """Return the description of an exception of a plugin, inside an `except` block."""
    kind = next((name for name, cls in _ERRORS.items() if isinstance(error, cls)), "")
    message = str(error) if kind else describe(error, module)
    about = getattr(error, "name", None) or getattr(error, "model", None) or ""
    return ErrorResult(
        kind,
        escape_unencodable(message),
        escape_unencodable(str(about)),
        escape_unencodable(traceback.format_exc()),
    )


def muniment_error(result: ErrorResult, distribution: str) -> MunimentError | None:
    """Return the error that a plugin or the core described, or None for any other exception."""
    match result.kind:
        case "ParameterError":
            return ParameterError(result.about, result.message)
        case "ModelError":
            return ModelError(result.about, result.message)
        case "PluginError":
            return PluginError(distribution, result.message)
        case "UsageError":
            return UsageError(result.message)
        case "MunimentError":
            return MunimentError(result.message)
    return None


def fields_json(declared: type[Parameters]) -> str:
    """Return the fields of a parameter class as JSON."""
    return json.dumps([asdict(field) for field in declared.fields().values()])


def parameters_class(fields: str) -> type[Parameters]:
    """Return a parameter class with the fields in a JSON text. Raise TypeError or ValueError."""
    declared = {}
    for item in json.loads(fields):
        if isinstance(item["default"], list):
            item["default"] = tuple(item["default"])
        texts = {name: tuple(item[name]) for name in ("choices", "suffixes")}
        field = Field(**{**item, **texts})
        declared[field.name] = field
    return type("Parameters", (Parameters,), {"_fields": declared})


def values_json(parameters: Any) -> str:
    """Return the values of parameters as JSON. Raise ValueError for NaN or an infinity."""
    return json.dumps(dict(parameters), allow_nan=False)


def values(text: str) -> dict[str, Any]:
    """Return the values of parameters in a JSON text. A list becomes a tuple."""
    items = json.loads(text).items()
    return {name: tuple(value) if isinstance(value, list) else value for name, value in items}
