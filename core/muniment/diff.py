"""Differences between two generations, in their requests, environments and outputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby, zip_longest
from operator import itemgetter
from typing import Any, Literal, TypeAlias

from muniment.names import versioned
from muniment.representation import showing
from muniment.types.generations import Generation
from muniment.types.inputs import Input
from muniment.types.outputs import Comparison, Output
from muniment.types.replays import compared_facts

_Pair: TypeAlias = tuple[str, Output | Input | None, Output | Input | None]
"""Two contents to compare, after their name, with None for one that is missing."""

Change: TypeAlias = tuple[Literal["same", "removed", "added"], str]

# A word with the spaces after it, or one character of a script without spaces or of anything else.
_WORD = r"[^\W_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u3400-\u9fff\uac00-\ud7af]+\s*"
_TOKENS = re.compile(rf"{_WORD}|\s+|(?s:.)\s*")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_MAX_PAIRS = 4_000_000  # pairs of tokens; longer texts are compared by lines


@dataclass(frozen=True, slots=True)
class Difference:
    """A field in which two generations differ, with None where one does not have it."""

    name: str
    a: Any
    b: Any

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class OutputDifference(Difference):
    """Two outputs that differ and are not text, with their types, sizes and digests.

    `comparison` is None unless a media type compared them.
    """

    comparison: Comparison | None = None

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class TextDifference:
    """A text that differs, in parts that are the same, removed or added.

    `name` is `prompt`, `system`, `input` with a name, `output`, or `output` with a number if there
    are several.
    """

    name: str
    changes: tuple[Change, ...]

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class Differences:
    """All differences between two generations.

    `unavailable` has the kinds of payloads that cannot be compared, because they were erased or
    altered in one of the generations. Each side is `erased`, `altered` or `recorded`.
    """

    unavailable: tuple[Difference, ...]
    fields: tuple[Difference, ...]
    parameters: tuple[Difference, ...]
    environment: tuple[Difference, ...]
    texts: tuple[TextDifference, ...]
    inputs: tuple[Difference, ...]
    outputs: tuple[OutputDifference, ...]

    __repr__ = showing("fields", "parameters", "environment", "texts", "inputs", "outputs")

    def __bool__(self) -> bool:
        """Return whether there are any differences."""
        others = (*self.unavailable, *self.inputs, *self.outputs)
        return any((self.fields, self.parameters, self.environment, self.texts, others))


def differences(
    a: Generation,
    b: Generation,
    compare: Callable[[Output, Output], Comparison | None] = lambda first, second: None,
) -> Differences:
    """Return the differences between two generations.

    Texts are compared by words, or by characters in scripts without spaces. Inputs and outputs of
    other media types are compared by their digests. `compare` measures how far two outputs lie
    apart. Outputs of JSON that it can compare, such as lists, are not compared as texts.
    """
    unavailable = {kind for g in (a, b) for kind in (*g.erased, *g.altered)}
    texts = []
    if "request" not in unavailable:
        texts.append(("system", a.system or "", b.system or ""))
    if "prompt" not in unavailable:
        texts.append(("prompt", a.prompt, b.prompt))
    inputs = () if "input" in unavailable else _pairs_of_inputs(a, b)
    outputs = () if "output" in unavailable else tuple(_pairs_of_outputs(a, b))
    comparisons = {name: _comparison(first, second, compare) for name, first, second in outputs}
    input_texts, other_inputs = _contents(inputs, {})
    output_texts, other_outputs = _contents(outputs, comparisons)
    texts += [*input_texts, *output_texts]
    return Differences(
        unavailable=tuple(
            Difference(kind, _state(a, kind), _state(b, kind)) for kind in sorted(unavailable)
        ),
        fields=_mappings(_fields(a), _fields(b)),
        parameters=_mappings(a.parameters, b.parameters),
        environment=_mappings(compared_facts(a.environment), compared_facts(b.environment)),
        texts=tuple(
            TextDifference(name, tuple(changes(first, second)))
            for name, first, second in texts
            if first != second
        ),
        inputs=tuple(
            Difference(name, _digest(first), _digest(second))
            for name, first, second in other_inputs
        ),
        outputs=tuple(
            OutputDifference(name, _digest(first), _digest(second), comparisons[name])
            for name, first, second in other_outputs
        ),
    )


def _state(generation: Generation, kind: str) -> str:
    """Return whether the payloads of a kind are `erased`, `altered` or `recorded`."""
    if kind in generation.erased:
        return "erased"
    return "altered" if kind in generation.altered else "recorded"


def _pairs_of_inputs(a: Generation, b: Generation) -> Iterator[_Pair]:
    first, second = ({item.name: item for item in g.inputs} for g in (a, b))
    for name in sorted(first.keys() | second.keys()):
        yield f"input {name}", first.get(name), second.get(name)


def _pairs_of_outputs(a: Generation, b: Generation) -> Iterator[_Pair]:
    count = max(len(a.outputs), len(b.outputs))
    for number, (first, second) in enumerate(zip_longest(a.outputs, b.outputs), 1):
        yield f"output {number}" if count > 1 else "output", first, second


def _contents(
    pairs: Iterable[_Pair], comparisons: Mapping[str, Comparison | None]
) -> tuple[list[tuple[str, str, str]], list[_Pair]]:
    """Return the pairs of texts, each with its name, and the other pairs that differ.

    A pair that a media type compared is none of texts.
    """
    texts: list[tuple[str, str, str]] = []
    others: list[_Pair] = []
    for name, first, second in pairs:
        one, other = _text(first), _text(second)
        if one is not None and other is not None and comparisons.get(name) is None:
            texts.append((name, one, other))
        elif _digest(first) != _digest(second):
            others.append((name, first, second))
    return texts, others


def _comparison(
    first: Output | Input | None,
    second: Output | Input | None,
    compare: Callable[[Output, Output], Comparison | None],
) -> Comparison | None:
    """Return how far two outputs lie apart, or None if they are equal, texts, missing or erased."""
    if not isinstance(first, Output) or not isinstance(second, Output):
        return None
    if first.media_type.startswith("text/") or not first.data or not second.data:
        return None
    return compare(first, second) if first.data != second.data else None


def changes(a: str, b: str) -> Iterator[Change]:
    """Yield the changes from text `a` to text `b`.

    Texts that are very long and very different are compared by lines.
    """
    first, second = _TOKENS.findall(a), _TOKENS.findall(b)
    head = _common_length(first, second)
    tail = _common_length(first[head:][::-1], second[head:][::-1])
    middle = first[head : len(first) - tail], second[head : len(second) - tail]
    if len(middle[0]) * len(middle[1]) > _MAX_PAIRS:
        middle = _LINES.findall("".join(middle[0])), _LINES.findall("".join(middle[1]))
    parts: list[Change] = [("same", "".join(first[:head]))]
    matcher = SequenceMatcher(None, *middle, autojunk=False)
    for kind, i, j, k, m in matcher.get_opcodes():
        if kind == "equal":
            parts.append(("same", "".join(middle[0][i:j])))
        else:
            parts.append(("removed", "".join(middle[0][i:j])))
            parts.append(("added", "".join(middle[1][k:m])))
    parts.append(("same", "".join(first[len(first) - tail :])))
    for kind, group in groupby((part for part in parts if part[1]), key=itemgetter(0)):
        yield kind, "".join(text for _, text in group)


def _common_length(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the number of equal tokens at the beginning of two lists."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((number for number, (x, y) in pairs if x != y), min(len(a), len(b)))


def _fields(generation: Generation) -> dict[str, Any]:
    model, models = generation.model, sorted(generation.models.items())
    return {
        "status": generation.status,
        "decision": generation.decision,
        "generator": generation.generator,
        "model": model and model.name,
        "model_digest": model and model.digest,
        "models": [f"{name} = {item.name} {item.digest}" for name, item in models],
        "seed": str(generation.seed),
        "policy": generation.policy,
        "policy_digest": generation.policy_digest,
        "plugins": sorted(
            f"{versioned(plugin.distribution, plugin.version)} {plugin.digest}"
            for plugin in generation.plugins
        ),
        "failure": generation.failure and generation.failure.message,
    }


def _mappings(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Difference, ...]:
    return tuple(
        Difference(name, a.get(name), b.get(name))
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name) or (name in a) != (name in b)
    )


def _text(content: Output | Input | None) -> str | None:
    """Return the text of a content, or None if it has none. A missing content is an empty text."""
    return content.text if content is not None else ""


def _digest(content: Output | Input | None) -> dict[str, Any] | None:
    if content is None:
        return None
    return {
        "media_type": content.media_type,
        "bytes": len(content.data),
        "sha256": content.sha256,
    }
