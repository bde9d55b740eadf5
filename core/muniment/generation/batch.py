"""Batch files with one JSON request in each line. An invalid line does not affect other lines."""

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


def read_specs(
    lines: Iterable[bytes], defaults: GenerationSpec | None = None
) -> Iterator[GenerationSpec]:
    """Yield a spec for each non-blank line, with its line number counted from 1.

    An invalid line yields a spec with the line as its prompt and the reason in `invalid`.
    `defaults` provides the generator, model, parameters and tags that a line omits.
    """
    base = defaults or GenerationSpec("")
    for number, line in enumerate(lines, 1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")  # UTF-8 byte order mark
        if line.strip():
            yield _spec(number, line, base)


def _spec(number: int, line: bytes, base: GenerationSpec) -> GenerationSpec:
    try:
        fields = _fields(line)
    except ValueError as error:
        text = line.decode(errors="backslashreplace").rstrip("\r\n")
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


def _fields(line: bytes) -> dict[str, Any]:
    """Return the JSON object of a line. Raise ValueError with the reason if it is invalid."""
    try:
        body = json.loads(line.decode())
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
        raise ValueError("the field 'prompt' is missing or not text")
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


def unfinished_specs(
    specs: Iterable[GenerationSpec], run_id: str, store: Store, plugins: Plugins
) -> Iterator[GenerationSpec]:
    """Yield the specs of a batch that have no outcome in the run yet.

    A spec whose generation was interrupted gets the recorded seed. Raises UsageError if a line
    differs from the recorded one, or if the run is still in progress.
    """
    generations = {line.number: line.generation for line in store.lines(run_id)}
    if not generations:
        raise UsageError(f"run {run_id} is not a batch; use the id of a batch run")
    for spec in specs:
        if spec.line not in generations:
            yield spec
            continue
        recorded = generations[spec.line]
        if changed := _changed(recorded, spec, plugins):
            raise UsageError(
                f"line {spec.line} differs from the recorded line of run {run_id} "
                f"in its {changed}; use the file and options that the run was started with"
            )
        if recorded.status == "started":
            raise UsageError(f"run {run_id} is still running; wait until it ends")
        if recorded.status == "interrupted":
            seed = recorded.seed if spec.seed is None else spec.seed
            yield replace(spec, seed=seed)


def _changed(recorded: Generation, spec: GenerationSpec, plugins: Plugins) -> str | None:
    """Return the name of the first field in which a spec differs from the recorded generation.

    Return None if the generation can have been made from the spec.
    """
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
    if not recorded.plugins:  # it could not be resolved, so the record has the values as requested
        requested = {
            escape_unencodable(name): requested_value(value)
            for name, value in spec.parameters.items()
        }
        if escape_unencodable(spec.generator) != recorded.generator:
            return "generator"
        return None if requested == recorded.parameters else "parameters"
    return _changed_request(recorded, spec, plugins)


def _changed_request(recorded: Generation, spec: GenerationSpec, plugins: Plugins) -> str | None:
    """Return the name of a generator or parameter that differs from the record, or None."""
    try:
        registered = plugins.find("generator", recorded.generator)
    except UsageError:  # not installed any more, so its parameters cannot be parsed
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
    """Return whether a spec has no seed or the recorded one."""
    try:
        return spec.seed is None or seeds.parse_seed(spec.seed) == recorded.seed
    except UsageError:  # a random seed was recorded in place of an invalid one
        return True
