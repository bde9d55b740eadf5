"""Batch files: one request a line as JSON, read so that a bad line spoils nothing but itself."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from muniment.errors import UsageError
from muniment.generation import seeds
from muniment.generation.requests import Draft, asked
from muniment.plugins.registry import Plugins
from muniment.store import Store
from muniment.types import Generation
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


def unanswered(
    drafts: Iterable[Draft], run_id: str, store: Store, plugins: Plugins
) -> Iterator[Draft]:
    """Yield the drafts of a batch that the run has no answer for yet.

    A draft whose generation was interrupted keeps the seed that was recorded. Raises UsageError if
    a line is not the one that was recorded, or if the run is still in progress.
    """
    known = {line.number: line.generation for line in store.lines(run_id)}
    if not known:
        raise UsageError(f"run {run_id} is no batch: it has no lines to go on with")
    for draft in drafts:
        if draft.line not in known:
            yield draft
            continue
        recorded = known[draft.line]
        if changed := _changed(recorded, draft, plugins):
            raise UsageError(
                f"line {draft.line} is not the line that run {run_id} recorded "
                f"(its {changed} differs); give the file and options of the run's beginning"
            )
        if recorded.status == "started":
            raise UsageError(f"run {run_id} is still under way; wait for it to end")
        if recorded.status == "interrupted":
            seed = recorded.seed if draft.seed is None else draft.seed
            yield replace(draft, seed=seed)


def _changed(recorded: Generation, draft: Draft, plugins: Plugins) -> str | None:
    """Name what shows that a recorded generation was not made from the draft of its line."""
    system = None if draft.system is None else storable(draft.system)
    if storable(draft.prompt) != recorded.prompt:
        return "prompt"
    if system != recorded.system:
        return "system prompt"
    if draft.invalid is not None:
        return None
    if not _same_seed(recorded, draft):
        return "seed"
    if tuple(map(storable, draft.tags)) != recorded.tags:
        return "list of tags"
    if draft.model and (not recorded.model or recorded.model.name != storable(draft.model)):
        return "model"
    if not recorded.plugins:  # it could not be resolved: everything is kept as it was asked
        asked_for = {storable(name): asked(value) for name, value in draft.parameters.items()}
        if storable(draft.generator) != recorded.generator:
            return "generator"
        return None if asked_for == recorded.parameters else "parameters"
    return _changed_request(recorded, draft, plugins)


def _changed_request(recorded: Generation, draft: Draft, plugins: Plugins) -> str | None:
    """Name what a draft asks of a generator that was not what the record says was done."""
    try:
        offer = plugins.find("generator", recorded.generator)
    except UsageError:  # gone since: nothing says how its parameters are read
        return None
    if draft.generator not in (offer.name, offer.media_type.partition("/")[0]):
        return "generator"
    fields = offer.parameters.fields()
    for name, value in draft.parameters.items():
        if name not in recorded.parameters:
            return f"parameter {storable(name)}"
        with contextlib.suppress(KeyError, UsageError):
            value = fields[name].parse(value)
        if value != recorded.parameters[name]:
            return f"parameter {name}"
    return None


def _same_seed(recorded: Generation, draft: Draft) -> bool:
    """Say whether a draft has the recorded seed; one that is no seed was recorded as another."""
    try:
        return draft.seed is None or seeds.parse(draft.seed) == recorded.seed
    except UsageError:
        return True
