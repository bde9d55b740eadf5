"""Parameters as AUTOMATIC1111's web UI writes them, which many other programs do, too.

The text has a prompt, a line that begins with `Negative prompt:`, and a last line such as
`Steps: 20, Sampler: Euler a, Seed: 1`. A prompt can contain such lines itself, so the result is
no more than the reading of that program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from .facts import MAX_LINE, Fact, common_name

SOURCE = "A1111"

_NEGATIVE = "Negative prompt:"
_MIN_SETTINGS = 3  # the web UI takes a last line with fewer for a part of the prompt
# Bounded repetitions, since the time of unbounded ones grows with the square of the line.
_SETTING = re.compile(r'(\w[\w /-]{1,60}):\s*+("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def parse(text: str) -> Iterator[Fact]:
    """Yield the prompt, the negative prompt and the settings of a text."""
    *lines, last = text.strip().split("\n")
    settings = _settings(last)
    if len(settings) < _MIN_SETTINGS:
        lines, settings = [*lines, last], []
    position = next((n for n, line in enumerate(lines) if _is_negative(line)), len(lines))
    yield Fact(SOURCE, "prompt", "\n".join(lines[:position]).strip())
    negative = "\n".join(lines[position:]).strip().removeprefix(_NEGATIVE)
    yield Fact(SOURCE, "negative prompt", negative.strip())
    for name, value in settings:
        yield Fact(SOURCE, common_name(name), _unquoted(value.strip()))


def recognises(text: str) -> bool:
    """Return whether a text has a last line of settings, with the seed or the number of steps."""
    settings = _settings(text.strip().rpartition("\n")[2])
    return len(settings) >= _MIN_SETTINGS and not {"Steps", "Seed"}.isdisjoint(dict(settings))


def _settings(line: str) -> list[tuple[str, str]]:
    return _SETTING.findall(line) if len(line) <= MAX_LINE else []


def _is_negative(line: str) -> bool:
    return line.strip().startswith(_NEGATIVE)


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value
