"""Batch files: one request a line as JSON, read so that a bad line spoils nothing but itself."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from muniment.errors import UsageError
from muniment.generation import seeds
from muniment.generation.requests import GenerationSpec, requested_value
from muniment.plugins.registry import Plugins
from muniment.store import Store
from muniment.types import Generation
from muniment.validation import escape_unencodable

FIELDS = ("prompt", "system", "generator", "model", "seed", "parameters", "tags")


def read(
    lines: Iterable[bytes], defaults: GenerationSpec | None = None
) -> Iterator[GenerationSpec]:
    """Yield a draft for every line that is not blank, with its number from 1.

    A line that is no request yields a draft whose `invalid` says why; its prompt is the line.
    `defaults` gives the generator, model, parameters and tags that a line leaves away.
    """
    base = defaults or GenerationSpec("")
    for number, raw in enumerate(lines, 1):
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if raw.strip():
            yield _spec(number, raw, base)


def _spec(number: int, raw: bytes, base: GenerationSpec) -> GenerationSpec:
    try:
        fields = _fields(raw)
    except ValueError as error:
        text = raw.decode(errors="backslashreplace").rstrip("\r\n")
        return GenerationSpec(
            text, generator=base.generator, line=number, invalid=f"line {number}: {error}"
        )
    return GenerationSpec(
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
        raise ValueError(
            f"unknown field {escape_unencodable(unknown[0])!r}; known: {', '.join(FIELDS)}"
        )
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


def unanswered(
    specs: Iterable[GenerationSpec], run_id: str, store: Store, plugins: Plugins
) -> Iterator[GenerationSpec]:
    """Yield the drafts of a batch that the run has no answer for yet.

    A draft whose generation was interrupted keeps the seed that was recorded. Raises UsageError if
    a line is not the one that was recorded, or if the run is still in progress.
    """
    known = {line.number: line.generation for line in store.lines(run_id)}
    if not known:
        raise UsageError(f"run {run_id} is no batch: it has no lines to go on with")
    for spec in specs:
        if spec.line not in known:
            yield spec
            continue
        recorded = known[spec.line]
        if changed := _changed(recorded, spec, plugins):
            raise UsageError(
                f"line {spec.line} is not the line that run {run_id} recorded "
                f"(its {changed} differs); give the file and options of the run's beginning"
            )
        if recorded.status == "started":
            raise UsageError(f"run {run_id} is still under way; wait for it to end")
        if recorded.status == "interrupted":
            seed = recorded.seed if spec.seed is None else spec.seed
            yield replace(spec, seed=seed)


def _changed(recorded: Generation, spec: GenerationSpec, plugins: Plugins) -> str | None:
    """Name what shows that a recorded generation was not made from the draft of its line."""
    system = None if spec.system is None else escape_unencodable(spec.system)
    if escape_unencodable(spec.prompt) != recorded.prompt:
        return "prompt"
    if system != recorded.system:
        return "system prompt"
    if spec.invalid is not None:
        return None
    if not _same_seed(recorded, spec):
        return "seed"
    if tuple(map(escape_unencodable, spec.tags)) != recorded.tags:
        return "list of tags"
    if spec.model and (not recorded.model or recorded.model.name != escape_unencodable(spec.model)):
        return "model"
    if not recorded.plugins:  # it could not be resolved: everything is kept as it was asked
        asked_for = {
            escape_unencodable(name): requested_value(value)
            for name, value in spec.parameters.items()
        }
        if escape_unencodable(spec.generator) != recorded.generator:
            return "generator"
        return None if asked_for == recorded.parameters else "parameters"
    return _changed_request(recorded, spec, plugins)


def _changed_request(recorded: Generation, spec: GenerationSpec, plugins: Plugins) -> str | None:
    """Name what a draft asks of a generator that was not what the record says was done."""
    try:
        registered = plugins.find("generator", recorded.generator)
    except UsageError:  # gone since: nothing says how its parameters are read
        return None
    if spec.generator not in (registered.name, registered.media_type.partition("/")[0]):
        return "generator"
    fields = registered.parameters.fields()
    for name, value in spec.parameters.items():
        if name not in recorded.parameters:
            return f"parameter {escape_unencodable(name)}"
        with contextlib.suppress(KeyError, UsageError):
            value = fields[name].parse(value)
        if value != recorded.parameters[name]:
            return f"parameter {name}"
    return None


def _same_seed(recorded: Generation, spec: GenerationSpec) -> bool:
    """Say whether a draft has the recorded seed; one that is no seed was recorded as another."""
    try:
        return spec.seed is None or seeds.parse(spec.seed) == recorded.seed
    except UsageError:
        return True
