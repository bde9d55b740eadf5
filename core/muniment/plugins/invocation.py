"""Call generators and check all values that plugins return against the plugin contract."""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import (
    Callable,
    Collection,
    Generator as Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from muniment.errors import MunimentError, PluginError
from muniment.failures import explain, place_of_code, print_traceback
from muniment.hookspecs import Generator
from muniment.ledger.canonical import SAFE, encode_number, is_key
from muniment.plugins.objects import RegisteredObject
from muniment.plugins.quiet_output import quiet_stdout
from muniment.types.media_types import is_text_type
from muniment.types.outputs import FINISH_REASONS, Comparison, Item, Output
from muniment.types.replies import Chunk, Reply, Trace, Usage
from muniment.types.requests import Request
from muniment.types.scores import TokenScores
from muniment.types.verdicts import DECISIONS, Content, Reason, Verdict
from muniment.validation import escape_unencodable

_Argument = TypeVar("_Argument")
_END = object()
_MAX_ITEMS = 10_000  # of a list, each of which can have a recorded verdict of every filter


@dataclass(frozen=True, slots=True)
class MissingReply:
    """The reason why a request has no reply: the generator raised or broke its contract."""

    request_id: str
    reason: str


Answer: TypeAlias = Chunk | Reply | MissingReply


def run_generator(
    generator: Generator, registered: RegisteredObject, requests: Sequence[Request]
) -> Iterator[Answer]:
    """Yield chunks of the requests with `stream`, and one Reply or MissingReply per request.

    If the generator raises, replies that it already returned are kept, and the other requests
    are repeated one by one.
    """
    remaining = {request.id: request for request in requests}
    batch_failure = yield from invoke(generator, registered, remaining)
    no_reply = f"generator {registered.name} did not answer"
    for request in list(remaining.values()):
        # The caller may already have chunks of this request, so only the whole reply is useful.
        alone = {request.id: replace(request, stream=False)}
        reason = batch_failure
        if batch_failure is not None and len(requests) > 1:
            reason = yield from invoke(generator, registered, alone)
        if alone:
            yield MissingReply(request.id, reason or no_reply)


def environment_of(generator: Generator) -> dict[str, str | int]:
    """Return the generator's environment, or the fact `environment_failed` if it raised."""
    try:
        with quiet_stdout():
            facts = dict(generator.environment())
        return {_fact_name(name): _fact(value) for name, value in facts.items()}
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        print_traceback(error)
        return {"environment_failed": type(error).__name__}


def error_message(
    error: BaseException, registered: RegisteredObject, function: object = None
) -> str:
    """Return a sentence for the user that describes an exception of a generator.

    `function` is as in `explain`.
    """
    if isinstance(error, MunimentError):
        return escape_unencodable(str(error))
    return escape_unencodable(
        f"generator {registered.name} failed: {explain(error, registered.plugin.module, function)}"
    )


@contextlib.contextmanager
def calling(registered: RegisteredObject) -> Iterator[None]:
    """Run a block that calls a generator, with standard output redirected.

    An exception of the generator that is not meant for the user becomes a PluginError.
    """
    try:
        with quiet_stdout():
            yield
    except (MunimentError, KeyboardInterrupt):
        raise
    except BaseException as error:
        distribution = registered.plugin.distribution
        raise PluginError(distribution, error_message(error, registered)) from error


def invoke(
    generator: Generator, registered: RegisteredObject, remaining: dict[str, Request]
) -> Coroutine[Answer, None, str | None]:
    """Call `generate` once, yield its answers, and remove answered requests from `remaining`.

    Return the reason if the generator raised or broke its contract, and None otherwise. A worker
    process checks replies itself and sends a MissingReply for an invalid one.
    """
    requests = list(remaining.values())
    iterator: Iterator[object] = iter(())
    function = type(generator).generate
    try:
        iterator = _call(lambda: _answers(generator, requests))
        while True:
            answer = _call(next, iterator, _END)
            if answer is _END:
                return None
            if isinstance(answer, Output) and len(requests) == 1:
                answer = requests[0].reply(answer)
            if not isinstance(answer, Chunk | Reply | MissingReply):
                raise TypeError(f"it yielded {type(answer).__name__}; {_YIELD}")
            if answer.request_id not in remaining:
                raise ValueError("it answered a request twice, or one that it did not receive")
            if not isinstance(answer, Chunk):
                del remaining[answer.request_id]
                if isinstance(answer, Reply):
                    answer = _checked(answer, registered, function)
                yield answer
            elif remaining[answer.request_id].stream:
                answer.text.encode()  # raises if it contains a lone surrogate
                yield Chunk(answer.request_id, answer.text, _tokens(answer.tokens))
    except (KeyboardInterrupt, GeneratorExit):  # the second is raised where this function yields
        raise
    except BaseException as error:
        return error_message(error, registered, function)
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:  # an exception in close() must not discard the answers
            with quiet_stdout(), contextlib.suppress(Exception, SystemExit, GeneratorExit):
                close()


_YIELD = "yield request.reply(...) with a muniment.Text or another Output"


def _answers(generator: Generator, requests: list[Request]) -> Iterator[object]:
    answers: object = generator.generate(requests)
    if isinstance(answers, str | bytes) or not isinstance(answers, Iterable):
        raise TypeError(f"generate returned {type(answers).__name__}; {_YIELD}")
    return iter(answers)


def _call(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function of a plugin. A GeneratorExit that it raises becomes a RuntimeError."""
    try:
        with quiet_stdout():
            return function(*arguments)
    except GeneratorExit as error:
        raise RuntimeError("it raised GeneratorExit") from error


def _checked(reply: Reply, registered: RegisteredObject, function: object) -> Reply | MissingReply:
    """Return the reply with its parts in built-in types, or a MissingReply if it is invalid.

    The reason has the place of the `function` that replied.
    """
    try:
        if reply.failure is not None:
            return Reply(reply.request_id, failure=escape_unencodable(str(reply.failure)))
        outputs = tuple(reply.outputs)
        if not outputs:
            raise ValueError("a reply needs at least one output")
        for output in outputs:
            _check_output(output, registered.media_type)
        if reply.wanted is not None and (type(reply.wanted) is not int or reply.wanted < 1):
            raise ValueError(f"the number of wanted items is {reply.wanted!r}, not 1 or more")
        return Reply(
            reply.request_id,
            # The pipeline sets the other fields of an output.
            tuple(Output(item.media_type, item.data, item.finish_reason) for item in outputs),
            usage=None if reply.usage is None else _usage(reply.usage),
            trace=None if reply.trace is None else _trace(reply.trace),
            wanted=reply.wanted,
        )
    except Exception as error:
        place = place_of_code(function, registered.plugin.module)
        reason = f"generator {registered.name} broke the contract: {error}"
        reason += f" ({place})" if place else ""
        return MissingReply(reply.request_id, escape_unencodable(reason))


def _check_output(output: object, media_type: str) -> None:
    if not isinstance(output, Output) or not isinstance(output.data, bytes):
        use = "muniment.Text(text)" if is_text_type(media_type) else "muniment.Output(type, data)"
        raise TypeError(f"{type(output).__name__} is not an Output of bytes; use {use}")
    if output.media_type != media_type:
        raise ValueError(f"it answered with {output.media_type}, not {media_type}")
    if output.finish_reason not in FINISH_REASONS:
        raise ValueError(f"{output.finish_reason!r} is not a finish reason")
    if is_text_type(media_type):
        try:
            output.data.decode()
        except UnicodeDecodeError:
            raise ValueError("its text is not UTF-8; encode it as UTF-8") from None


def _usage(usage: Usage) -> Usage:
    counts = _whole(usage.prompt_tokens), _whole(usage.output_tokens)
    if min(counts) < 0 or max(counts) > SAFE:  # an entry cannot hold it
        raise ValueError("usage must be from 0 to 2^53")
    return Usage(*counts)


def _tokens(number: object) -> int | None:
    """Return the number of tokens of a chunk, or None if it is invalid. Only a display uses it."""
    if isinstance(number, int) and 0 <= number <= SAFE:
        return int(number)
    return None


def _trace(trace: Trace) -> Trace:
    token_ids = tuple(map(_whole, trace.token_ids))
    logprobs = tuple(map(float, trace.logprobs))
    margins = tuple(map(float, trace.margins))
    if not len(token_ids) == len(logprobs) == len(margins):
        raise ValueError("the sequences of a trace must be equally long")
    if any(abs(token_id) > SAFE for token_id in token_ids):
        raise ValueError("the token ids of a trace cannot exceed 2^53")
    if not all(map(math.isfinite, (*logprobs, *margins))):
        raise ValueError("the numbers of a trace must be finite")
    return Trace(token_ids, logprobs, margins)


def _fact_name(name: object) -> str:
    if not (isinstance(name, str) and name.isprintable() and 0 < len(name) < 256 and is_key(name)):
        raise TypeError
    return name


def _fact(value: object) -> str | int:
    if isinstance(value, str):
        value.encode()
        return value.replace("\0", "")
    return encode_number(_whole(value))


def _whole(value: object) -> int:
    """Return an integer of any library as an int. Raise TypeError for any other type."""
    return int(operator.index(value))  # type: ignore[arg-type]


def validate_verdict(verdict: object, content: Content) -> Verdict:
    """Return the verdict in built-in types. Raise an exception if it is invalid.

    A verdict that reports a failure is invalid too, because the filter did not check the content.
    Spans are offsets in characters of a text, or in bytes of any other content.
    """
    if not isinstance(verdict, Verdict):
        raise TypeError(f"check() returned {type(verdict).__name__}, not a Verdict")
    if verdict.failure is not None:
        raise RuntimeError(str(verdict.failure))
    if verdict.decision not in DECISIONS:
        raise ValueError(f"the decision {verdict.decision!r} is not one of {', '.join(DECISIONS)}")
    scores: list[tuple[object, object]] = list(verdict.categories.items())
    for category, score in scores:
        if not _is_text(category) or not isinstance(score, int | float):
            raise TypeError("categories must be scores by name")
        if not (math.isfinite(score) and 0 <= score <= 1):
            raise ValueError(f"the score {score} of {category} is not between 0 and 1")
    length = len(content.text) if content.is_text else len(content.data)
    reasons: tuple[object, ...] = tuple(verdict.reasons)
    for reason in reasons:
        if not isinstance(reason, Reason):
            raise TypeError("reasons must be muniment.Reason")
        if not (_is_text(reason.category) and _is_text(reason.message)):
            raise TypeError("the category and message of a reason must be text")
        start = 0 if reason.start is None else reason.start
        end = length if reason.end is None else reason.end
        if type(start) is not int or type(end) is not int or not 0 <= start <= end <= length:
            raise ValueError(f"the span {reason.start}-{reason.end} lies outside the content")
    categories = {category: float(score) for category, score in verdict.categories.items()}
    return Verdict(verdict.decision, categories, tuple(verdict.reasons))


def validate_items(items: object) -> tuple[Item, ...]:
    """Return the items of a list. Raise TypeError or ValueError if one is invalid."""
    if not isinstance(items, tuple | list):
        raise TypeError(f"items() returned {type(items).__name__}, not a tuple")
    if len(items) > _MAX_ITEMS:
        raise ValueError(
            f"the list has {len(items):,} items; generate at most {_MAX_ITEMS:,} candidates"
        )
    ids: set[str] = set()
    for item in items:
        if not (isinstance(item, Item) and _is_text(item.id) and _is_text(item.text)):
            raise TypeError("items() must return muniment.Item with an id and a text")
        if not item.id or item.id in ids:
            raise ValueError(f"the id {item.id!r} is empty or belongs to two items")
        ids.add(item.id)
    return tuple(items)


def validate_media(method: str, value: object) -> Any:
    """Return the result of a method of a media type in built-in types.

    Raises TypeError or ValueError if it is invalid.
    """
    match method:
        case "items":
            return validate_items(value)
        case "compare":
            return _comparison(value)
        case "preview" | "to_text" | "read_provenance" if value is None:
            return None
    expected = _MEDIA_RESULTS[method]
    if not isinstance(value, expected):
        raise TypeError(f"it returned {type(value).__name__}, not {expected.__name__}")
    if not value and method in ("export", "combine"):
        raise ValueError("it returned an empty file")
    if not value and method == "fingerprint":  # it would be that of every file of the type
        raise ValueError("it returned an empty fingerprint")
    return escape_unencodable(value) if isinstance(value, str) else value


_MEDIA_RESULTS: Mapping[str, type] = {
    **dict.fromkeys(("matches", "matches_file"), bool),
    **dict.fromkeys(("describe", "preview", "to_text", "read_provenance"), str),
    **dict.fromkeys(("export", "combine", "fingerprint", "select"), bytes),
}


def _comparison(value: object) -> Comparison:
    if not isinstance(value, Comparison):
        raise TypeError(f"it returned {type(value).__name__}, not muniment.Comparison")
    distance: object = value.distance
    if distance is not None:
        if isinstance(distance, bool) or not isinstance(distance, int | float):
            raise TypeError(f"its distance is {type(distance).__name__}, not a number")
        if not math.isfinite(distance):
            raise ValueError(f"its distance is {distance}")
        distance = float(distance)
    texts: tuple[object, ...] = value.unit, value.position
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("its unit and its position must be texts")
    return Comparison(distance, escape_unencodable(value.unit), escape_unencodable(value.position))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value == value.encode(errors="replace").decode()


def validate_scores(scores: object, texts: Sequence[str]) -> list[TokenScores]:
    """Return the scores of texts in built-in types. Raise TypeError or ValueError if invalid."""
    checked = [_token_scores(item, text) for item, text in _one_each(scores, texts)]
    return checked


def validate_vectors(vectors: object, outputs: Sequence[Output]) -> list[list[float]]:
    """Return the vectors of outputs as floats. Raise TypeError or ValueError if one is invalid."""
    checked = [_floats(vector) for vector, _ in _one_each(vectors, outputs)]
    if len({len(vector) for vector in checked}) > 1 or not all(checked):
        raise ValueError("the vectors must not be empty, and have equal lengths")
    return checked


def _one_each(results: object, arguments: Sequence[_Argument]) -> list[tuple[Any, _Argument]]:
    found = list(results)  # type: ignore[call-overload]
    if len(found) != len(arguments):
        raise ValueError(f"it returned {len(found)} results for {len(arguments)} arguments")
    return list(zip(found, arguments, strict=True))


def _token_scores(scores: object, text: str) -> TokenScores:
    if not isinstance(scores, TokenScores):
        raise TypeError(f"it returned {type(scores).__name__}, not TokenScores")
    ids, logprobs = [_whole(token) for token in scores.token_ids], _floats(scores.logprobs)
    offsets = [(_whole(start), _whole(end)) for start, end in scores.offsets]
    if not len(ids) == len(logprobs) == len(offsets):
        raise ValueError("the token ids, log-probabilities and offsets have different lengths")
    if any(not start <= end <= len(text) for start, end in offsets):
        raise ValueError("an offset is outside of the text")
    return TokenScores(tuple(ids), tuple(logprobs), tuple(offsets))


def _floats(numbers: object) -> list[float]:
    floats = [float(number) for number in numbers]  # type: ignore[attr-defined]
    if not all(map(math.isfinite, floats)):
        raise ValueError("a number is not finite")
    return floats


def validate_group_values(
    evaluated: Mapping[str, Mapping[str, float]], measures: Collection[str], ids: Collection[str]
) -> dict[str, dict[str, float]]:
    """Return an evaluator's values as floats, by the id of a generation and the name of a measure.

    Raise TypeError or ValueError if one is invalid.
    """
    groups = dict(evaluated)
    if unknown := groups.keys() - set(ids):
        raise ValueError(f"{min(map(repr, unknown))} is not the id of a generation of the group")
    return {id: validate_values(values, measures) for id, values in groups.items()}


def validate_values(evaluated: Mapping[str, float], measures: Collection[str]) -> dict[str, float]:
    """Return an evaluator's values as floats, by the name of a measure.

    Raise TypeError or ValueError if one is invalid.
    """
    values = dict(evaluated)
    for name, value in values.items():
        if name not in measures:
            raise ValueError(f"{name!r} is not among its measures")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} is {type(value).__name__}, not a number")
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value}")
    return {name: float(value) for name, value in values.items()}
