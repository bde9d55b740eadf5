"""Recognition of the programs that wrote the texts of a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from . import a1111, comfyui, fooocus, invokeai, novelai
from .facts import MAX_TEXT, Fact, Text, object_of


class Reading(NamedTuple):
    """The facts in the texts of a file, and the texts that no parser recognises."""

    facts: list[Fact]
    others: list[Text]


def read_texts(texts: Sequence[Text]) -> Reading:
    """Return the facts in the texts of a file."""
    facts: list[Fact] = []
    others: list[Text] = []
    steps = comfyui.Steps()
    by_key = {text.key: text.text for text in texts}
    is_novelai = novelai.recognises(by_key)
    if is_novelai:
        facts += novelai.parse(by_key)
    for text in texts:
        if is_novelai and text.key in novelai.KEYS:
            continue
        parsed = list(_parse(text, steps)) if len(text.text) <= MAX_TEXT else []
        facts += parsed
        if not any(fact.value for fact in parsed):
            others.append(text)
    if steps.exceeded:
        facts.append(Fact(comfyui.SOURCE, "graph", "too large, read in part"))
    return Reading(list(dict.fromkeys(facts)), others)  # nodes repeat the values of others


def _parse(text: Text, steps: comfyui.Steps) -> Iterator[Fact]:
    """Yield the facts in one text, or nothing if it is not recognised."""
    key, content = text.key, text.text
    if key.lower() == "dream":
        yield from invokeai.parse_dream(content)
    # ComfyUI writes `prompt:{...}` and `workflow:{...}` into EXIF tags of WebP files.
    start, colon, rest = content.partition(":")
    if colon and start in ("prompt", "workflow"):
        key, content = start, rest
    value = object_of(content)
    if value is None:
        if a1111.recognises(content):
            yield from a1111.parse(content)
    elif key == "invokeai_metadata":
        yield from invokeai.parse_metadata(value)
    elif key == "sd-metadata":
        yield from invokeai.parse_old_metadata(value)
    elif key == "workflow":
        yield from comfyui.parse_workflow(value)
    elif comfyui.is_prompt(value):
        yield from comfyui.parse_prompt(value, steps)
    elif fooocus.recognises(value):
        yield from fooocus.parse(value)
