"""Differences between two generations, in their requests, environments and outputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby, zip_longest
from operator import itemgetter
from typing import Any, Literal, TypeAlias

from muniment.types import Comparison, Generation, Output, compared_facts

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


@dataclass(frozen=True, slots=True)
class OutputDifference(Difference):
    """Two outputs that differ and are not text, with their types, sizes and digests.

    `comparison` is None unless a media type compared them.
    """

    comparison: Comparison | None = None


@dataclass(frozen=True, slots=True)
class TextDifference:
    """A text that differs, in parts that are the same, removed or added.

    `name` is `prompt`, `system`, `output`, or `output` with a number if there are several.
    """

    name: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Differences:
    """All differences between two generations."""

    fields: tuple[Difference, ...]
    parameters: tuple[Difference, ...]
    environment: tuple[Difference, ...]
    texts: tuple[TextDifference, ...]
    outputs: tuple[OutputDifference, ...]

    def __bool__(self) -> bool:
        """Return whether there are any differences."""
        return any((self.fields, self.parameters, self.environment, self.texts, self.outputs))


def differences(
    a: Generation,
    b: Generation,
    compare: Callable[[Output, Output], Comparison | None] = lambda first, second: None,
) -> Differences:
    """Return the differences between two generations.

    Texts are compared by words, or by characters in scripts without spaces. Outputs of other
    media types are compared by their digests. `compare` measures how far two of them lie apart.
    """
    texts = [("system", a.system or "", b.system or ""), ("prompt", a.prompt, b.prompt)]
    outputs: list[OutputDifference] = []
    count = max(len(a.outputs), len(b.outputs))
    for number, (first, second) in enumerate(zip_longest(a.outputs, b.outputs), 1):
        name = f"output {number}" if count > 1 else "output"
        one, other = _text(first), _text(second)
        if one is not None and other is not None:
            texts.append((name, one, other))
        elif _digest(first) != _digest(second):
            both = first and second and first.data and second.data  # neither was erased
            comparison = compare(first, second) if first and second and both else None
            outputs.append(OutputDifference(name, _digest(first), _digest(second), comparison))
    return Differences(
        fields=_mappings(_fields(a), _fields(b)),
        parameters=_mappings(a.parameters, b.parameters),
        environment=_mappings(compared_facts(a.environment), compared_facts(b.environment)),
        texts=tuple(
            TextDifference(name, tuple(changes(first, second)))
            for name, first, second in texts
            if first != second
        ),
        outputs=tuple(outputs),
    )


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
    model = generation.model
    return {
        "status": generation.status,
        "decision": generation.decision,
        "generator": generation.generator,
        "model": model and model.name,
        "model_digest": model and model.digest,
        "seed": str(generation.seed),
        "policy": generation.policy,
        "plugins": sorted(
            f"{plugin.distribution} {plugin.version} {plugin.digest}"
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


def _text(output: Output | None) -> str | None:
    """Return the text of an output, or None if it has none. A missing output is an empty text."""
    return output.text if output is not None else ""


def _digest(output: Output | None) -> dict[str, Any] | None:
    if output is None:
        return None
    return {
        "media_type": output.media_type,
        "bytes": len(output.data),
        "sha256": output.sha256,
    }
