"""Metadata of InvokeAI: the present JSON object and the two forms before it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .facts import MAX_LINE, Fact, common_name, facts_of, value_text

SOURCE = "InvokeAI"

# Options of the command line of InvokeAI 1 and 2.
_OPTIONS = {
    "s": "steps",
    "S": "seed",
    "W": "width",
    "H": "height",
    "C": "guidance",
    "A": "sampler",
    "f": "strength",
}
_DREAM = re.compile(r'\s*"((?:\\.|[^\\"])*)"(.*)', re.DOTALL)
_OPTION = re.compile(r"-(\w)\s*+(\S+)")


def parse_metadata(metadata: Mapping[str, Any]) -> Iterator[Fact]:
    """Yield the facts of `invokeai_metadata`."""
    values = dict(metadata)
    model = values.get("model")
    if isinstance(model, dict):
        values["model"] = model.get("name") or model.get("model_name")
        values["model hash"] = model.get("hash")
    yield from facts_of(SOURCE, values)


def parse_old_metadata(metadata: Mapping[str, Any]) -> Iterator[Fact]:
    """Yield the facts of `sd-metadata`, in which the image is an object of its own."""
    image = metadata.get("image")
    values = {name: value for name, value in metadata.items() if name != "image"}
    if isinstance(image, dict):
        prompt = image.get("prompt")
        if isinstance(prompt, list):  # parts of a prompt with weights
            parts = [part.get("prompt") for part in prompt if isinstance(part, dict)]
            prompt = " ".join(part for part in parts if isinstance(part, str))
        values = {**image, "prompt": prompt, **values}
    yield from facts_of(SOURCE, values)


def parse_dream(text: str) -> Iterator[Fact]:
    """Yield the facts of `Dream`, a command line such as `"a cat" -s 50 -S 7`."""
    match = _DREAM.fullmatch(text) if len(text) <= MAX_LINE else None
    if match is None:
        yield Fact(SOURCE, "dream", text)
        return
    yield Fact(SOURCE, "prompt", re.sub(r"\\(.)", r"\1", match[1]))
    for option, value in _OPTION.findall(match[2]):
        yield Fact(SOURCE, common_name(_OPTIONS.get(option, option)), value_text(value))
