"""Differences between two generations: of what was asked, of where it ran, and of what came out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal, TypeAlias

from muniment.types import Generation, Output

Change: TypeAlias = tuple[Literal["same", "removed", "added"], str]

# A word with what follows it; a character where no spaces are written; or one of anything else.
_WORD = r"[^\W_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u3400-\u9fff\uac00-\ud7af]+\s*"
_TOKENS = re.compile(rf"{_WORD}|\s+|(?s:.)\s*")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_MOST = 4_000_000  # pairs of tokens that are compared; beyond, lines are


@dataclass(frozen=True, slots=True)
class Difference:
    """Something two generations differ in; what one of them does not have is None there."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class TextDifference:
    """How a text became another: parts that are the same, removed or added, in order.

    `name` is `prompt`, `system`, or `output` with its number where there are several.
    """

    name: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Differences:
    """All that two generations differ in; what they have in common is not told."""

    fields: tuple[Difference, ...]
    parameters: tuple[Difference, ...]
    environment: tuple[Difference, ...]
    texts: tuple[TextDifference, ...]
    outputs: tuple[Difference, ...]

    def __bool__(self) -> bool:
        """Whether there are any."""
        return any((self.fields, self.parameters, self.environment, self.texts, self.outputs))


def differences(a: Generation, b: Generation) -> Differences:
    """Return what two generations differ in.

    Texts are compared by words, or by characters where no spaces are written; outputs of other
    media types by their digests.
    """
    texts = [("system", a.system or "", b.system or ""), ("prompt", a.prompt, b.prompt)]
    outputs: list[Difference] = []
    count = max(len(a.outputs), len(b.outputs))
    for number in range(count):
        name = f"output {number + 1}" if count > 1 else "output"
        first, second = _nth(a.outputs, number), _nth(b.outputs, number)
        if {_readable(first), _readable(second)} <= {True, None}:
            texts.append((name, _text(first), _text(second)))
        elif first != second:
            outputs.append(Difference(name, _facts(first), _facts(second)))
    return Differences(
        fields=_mappings(_fields(a), _fields(b)),
        parameters=_mappings(a.parameters, b.parameters),
        environment=_mappings(a.environment, b.environment),
        texts=tuple(
            TextDifference(name, tuple(changes(first, second)))
            for name, first, second in texts
            if first != second
        ),
        outputs=tuple(outputs),
    )


def changes(a: str, b: str) -> Iterator[Change]:
    """Yield how text `a` became `b`; texts that are very long and very different go by lines."""
    first, second = _TOKENS.findall(a), _TOKENS.findall(b)
    head = _shared(first, second)
    tail = _shared(first[head:][::-1], second[head:][::-1])
    middle = first[head : len(first) - tail], second[head : len(second) - tail]
    if len(middle[0]) * len(middle[1]) > _MOST:
        middle = _LINES.findall("".join(middle[0])), _LINES.findall("".join(middle[1]))
    pieces: list[Change] = [("same", "".join(first[:head]))]
    matcher = SequenceMatcher(None, *middle, autojunk=False)
    for kind, i, j, k, m in matcher.get_opcodes():
        if kind == "equal":
            pieces.append(("same", "".join(middle[0][i:j])))
        else:
            pieces.append(("removed", "".join(middle[0][i:j])))
            pieces.append(("added", "".join(middle[1][k:m])))
    pieces.append(("same", "".join(first[len(first) - tail :])))
    yield from _merged(pieces)


def _merged(pieces: Sequence[Change]) -> Iterator[Change]:
    held: Change | None = None
    for piece in pieces:
        if not piece[1]:
            continue
        if held is not None and held[0] == piece[0]:
            held = (held[0], held[1] + piece[1])
            continue
        if held is not None:
            yield held
        held = piece
    if held is not None:
        yield held


def _shared(a: Sequence[str], b: Sequence[str]) -> int:
    """Return how many tokens two lists have in common at their beginning."""
    for number, (one, other) in enumerate(zip(a, b, strict=False)):
        if one != other:
            return number
    return min(len(a), len(b))


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


def _nth(outputs: Sequence[Output], number: int) -> Output | None:
    return outputs[number] if number < len(outputs) else None


def _text(output: Output | None) -> str:
    return (output.text or "") if output is not None else ""


def _readable(output: Output | None) -> bool | None:
    return None if output is None else output.text is not None


def _facts(output: Output | None) -> dict[str, Any] | None:
    if output is None:
        return None
    return {
        "media_type": output.media_type,
        "bytes": len(output.data),
        "sha256": output.sha256,
    }
