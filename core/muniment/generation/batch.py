"""Batch files: one request a line as JSON, read so that a bad line spoils nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from muniment.generation.requests import Draft
from muniment.validation import storable

FIELDS = ("prompt", "system", "generator", "model", "seed", "parameters", "tags")


def read(lines: Iterable[bytes], defaults: Draft | None = None) -> Iterator[Draft]:
    """Yield a draft for every line that is not blank, with its number from 1.

    A line that is no request yields a draft whose `invalid` says why; its prompt is the line.
    `defaults` gives the generator, model, parameters and tags that a line leaves away.
    """
    base = defaults or Draft("")
    for number, raw in enumerate(lines, 1):
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if raw.strip():
            yield _draft(number, raw, base)


def _draft(number: int, raw: bytes, base: Draft) -> Draft:
    try:
        fields = _fields(raw)
    except ValueError as error:
        text = raw.decode(errors="backslashreplace").rstrip("\r\n")
        return Draft(text, generator=base.generator, line=number, invalid=f"line {number}: {error}")
    return Draft(
        prompt=fields["prompt"],
        generator=fields.get("generator") or base.generator,
        model=fields.get("model") or base.model,
        system=fields.get("system"),
        seed=fields.get("seed"),
        parameters={**base.parameters, **fields.get("parameters", {})},
        tags=(*base.tags, *fields.get("tags", ())),
        line=number,
    )


def _fields(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"not valid UTF-8 (at byte {error.start + 1})") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON ({error})") from None
    if not isinstance(body, dict):
        raise ValueError('not a JSON object, e.g. {"prompt": "…"}')
    unknown = [name for name in body if name not in FIELDS]
    if unknown:
        raise ValueError(f"unknown field {storable(unknown[0])!r}; known: {', '.join(FIELDS)}")
    if not isinstance(body.get("prompt"), str):
        raise ValueError("the field 'prompt' is missing or no text")
    for name in ("system", "generator", "model"):
        if not isinstance(body.get(name), str | None):
            raise ValueError(f"the field {name!r} must be text")
    if not isinstance(body.get("seed"), str | int | None):
        raise ValueError("the field 'seed' must be a whole number")
    if not isinstance(body.get("parameters", {}), dict):
        raise ValueError("the field 'parameters' must be an object")
    tags = body.get("tags", [])
    if not isinstance(tags, list) or any(not isinstance(tag, str) for tag in tags):
        raise ValueError("the field 'tags' must be a list of texts")
    return body
