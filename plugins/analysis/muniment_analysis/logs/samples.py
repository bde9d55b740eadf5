"""The measured outputs of a log, and the values that tools write."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Measurement(NamedTuple):
    """A value of an output.

    `item` is the id within the task. `replicate` counts the outputs of an item from 1. `value` is
    None if the tool wrote none that is a number.
    """

    item: str
    replicate: int
    measure: str
    value: float | None


@dataclass(frozen=True)
class Log:
    """The measurements of one file.

    Attributes:
        model: The name of the model, or an empty text if the log has none.
        task: The name of the task.
        measurements: The values, in the order of the file.
        failed: The number of samples that ended with an error and have no value.
        is_complete: Whether the tool had finished the log.
    """

    model: str
    task: str
    measurements: tuple[Measurement, ...]
    failed: int = 0
    is_complete: bool = True


def number(value: object, words: Mapping[str, float]) -> float | None:
    """Return a value as a finite number, or None.

    A logical value is 0 or 1. A text is a number, or one of `words` in lower case.
    """
    if isinstance(value, str):
        text = value.strip().lower()
        if text in words:
            return words[text]
        value = float(text) if _NUMBER.fullmatch(text) else None
    if not isinstance(value, bool | int | float):
        return None
    try:
        result = float(value)
    except OverflowError:  # an integer above about 1e308
        return None
    return result if math.isfinite(result) else None


def identifier(value: Any) -> str | None:
    """Return the id of an item as a text, or None if it is neither a text nor an integer."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value)
