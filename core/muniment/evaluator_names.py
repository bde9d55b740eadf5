"""Parse the names of evaluators.

An evaluator is named `NAME` or `NAME(key=value, other="text")`. A value is a word, or a text or a
list of texts as in JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from muniment.errors import UsageError
from muniment.names import normal_name
from muniment.representation import showing

_NAME = r"[^\s,()=\"]+"
_VALUE = r"[^\s,()=\"\[\]]+"


@dataclass(frozen=True, slots=True)
class EvaluatorSpec:
    """An evaluator as a caller names it.

    Example:
        >>> muniment.EvaluatorSpec("similarity", {"scale": 2}).name
        'similarity'
    """

    name: str
    parameters: Mapping[str, object]

    __repr__ = showing()


def parse_evaluators(text: str) -> list[EvaluatorSpec]:
    """Return the evaluators in a text, which are separated by commas. Raise UsageError.

    Example:
        >>> [spec.parameters for spec in muniment.parse_evaluators("similarity(scale=2), words")]
        [{'scale': '2'}, {}]
    """
    reader = _Reader(text)
    specs: list[EvaluatorSpec] = []
    while reader.remaining:
        if reader.accept(",") is not None:
            continue
        name = normal_name(reader.expect(_NAME))
        parameters = reader.read_parameters() if reader.accept(r"\(") is not None else {}
        specs.append(EvaluatorSpec(name, parameters))
        if reader.remaining:
            reader.expect(",")
    return specs


class _Reader:
    """Reads a text from left to right, and skips spaces."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.remaining = text.strip()

    def accept(self, pattern: str) -> str | None:
        """Return the text that matches a pattern here and move past it, or return None."""
        match = re.match(pattern, self.remaining)
        if match is None:
            return None
        self.remaining = self.remaining[match.end() :].lstrip()
        return match[0]

    def expect(self, pattern: str) -> str:
        """Return the text that matches a pattern here. Raise UsageError if none does."""
        accepted = self.accept(pattern)
        if accepted is None:
            raise UsageError(
                f"{self._text!r} does not name evaluators; write NAME or "
                'NAME(key=value, other="text")'
            )
        return accepted

    def read_parameters(self) -> dict[str, object]:
        """Return the parameters up to the closing parenthesis."""
        parameters: dict[str, object] = {}
        while self.accept(r"\)") is None:
            if parameters:
                self.expect(",")
            name = self.expect(_NAME).replace("-", "_")
            self.expect("=")
            if name in parameters:
                raise UsageError(f"{self._text!r} sets {name} twice; remove one")
            parameters[name] = self._read_value()
        return parameters

    def _read_value(self) -> object:
        if not self.remaining.startswith(('"', "[")):
            word = self.expect(_VALUE)
            return None if word == "null" else word
        try:
            value, end = json.JSONDecoder().raw_decode(self.remaining)
        except (ValueError, RecursionError):
            self.expect(r"(?!)")
        self.remaining = self.remaining[end:].lstrip()
        return value
