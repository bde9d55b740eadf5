"""The text `parameters` of a picture, in the format of AUTOMATIC1111's web UI.

Other programs show it and copy from it. The prompt comes first, then `Negative prompt:`, then a
last line of names and values. The format has no escapes in a prompt. So a line of the prompt that
a reader would take for the next part has a wide colon, and control characters become U+FFFD. The
JSON of Muniment beside it, or at its end, has the exact prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import muniment

JSON_NAME = "muniment"
"""The name in the last line whose value is the JSON of Muniment."""

_NAMES = {
    "steps": "Steps",
    "scheduler": "Sampler",
    "guidance": "CFG scale",
    "strength": "Denoising strength",
}
_ELSEWHERE = ("negative_prompt", "width", "height")
# Readers look for these at the start of a line, or anywhere.
_MARKERS = re.compile(
    r"\b(Negative prompt|Steps|Sampler|CFG scale|Seed|Size|Model|Model hash|Denoising strength"
    rf"|Version|Template|Negative Template|{JSON_NAME})(\s*):",
    re.IGNORECASE,
)
_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029]")
# Control characters except for the line end, and characters that reverse the order of others.
_CONTROLS = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def infotext(provenance: muniment.Provenance, size: tuple[int, int], facts: str = "") -> str:
    """Return the text for a picture of a size in pixels, with `facts` as its last value."""
    lines = [_prompt(provenance.prompt)]
    if negative := _prompt(str(provenance.parameters.get("negative_prompt") or "")):
        lines.append(f"Negative prompt: {negative}")
    values = list(_values(provenance, size))
    if facts:
        values.append((JSON_NAME, json.dumps(facts)))
    lines.append(", ".join(f"{name}: {value}" for name, value in values))
    return "\n".join(line for line in lines if line)


def facts_of(text: str) -> str | None:
    """Return the last value of a text that `infotext` wrote with `facts`, or None."""
    last_line = text.rstrip().rpartition("\n")[2]
    # Quotation marks inside of the value have a backslash before them.
    _, name, value_and_mark = last_line.rpartition(f'{JSON_NAME}: "')
    if not name:
        return None
    try:
        value = json.loads(f'"{value_and_mark}')
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _values(provenance: muniment.Provenance, size: tuple[int, int]) -> Iterator[tuple[str, str]]:
    parameters = {
        name: value
        for name, value in provenance.parameters.items()
        if name not in _ELSEWHERE and value not in (None, "", ())
    }
    for name, shown in _NAMES.items():
        if name in parameters:
            yield shown, _quoted(parameters.pop(name))
    yield "Seed", str(provenance.seed)
    yield "Size", f"{size[0]}x{size[1]}"
    if provenance.model:
        yield "Model", _quoted(provenance.model)
    for name, value in sorted(parameters.items()):
        yield name, _quoted(value)
    version = provenance.versions.get("muniment", "")
    yield "Version", f"muniment {version}".rstrip()


def _prompt(text: str) -> str:
    plain = _CONTROLS.sub("\ufffd", _LINE_ENDS.sub("\n", text)).strip()
    return _MARKERS.sub("\\1\\2\N{FULLWIDTH COLON}", plain)


def _quoted(value: object) -> str:
    text = ", ".join(value) if isinstance(value, tuple | list) else str(value)
    text = _CONTROLS.sub("\ufffd", _LINE_ENDS.sub("\n", text))
    return json.dumps(text, ensure_ascii=False) if re.search('[,:"\n]', text) else text
