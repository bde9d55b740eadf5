"""Make the spec of a recorded request, so that it can be generated again with changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from muniment.errors import UsageError
from muniment.generation.requests import GenerationSpec
from muniment.models.registry import Models
from muniment.types import Generation, Model


def spec_like(generation: Generation, models: Models, changes: Mapping[str, Any]) -> GenerationSpec:
    """Return the spec of a recorded request with changes, and with its source as a parent.

    `changes` has fields of GenerationSpec. Parameters, inputs, tags and parents are added to those
    of the request. Its parents are not repeated, and for another generator neither are its
    parameters, model and inputs. Raises UsageError if a text that it needs was erased or altered,
    or if the name of a model now belongs to another one.
    """
    _check_texts(generation, changes)
    unknown = changes.keys() - {field.name for field in fields(GenerationSpec)}
    if unknown:
        raise UsageError(f"a request has no {', '.join(sorted(unknown))} to change")
    parameters: dict[str, object] = {}
    inputs: dict[str, bytes] = {}
    model = None
    if changes.get("generator", generation.generator) == generation.generator:
        parameters |= generation.parameters
        inputs |= {item.name: item.data for item in generation.inputs}
        given = changes.get("parameters", {})
        for name, recorded in generation.models.items():
            if name not in given:
                parameters[name] = _reference(recorded, models)
        if generation.model is not None and "model" not in changes:
            model = _reference(generation.model, models)
    recorded_fields = {
        "prompt": generation.prompt,
        "generator": generation.generator,
        "model": model,
        "system": generation.system,
        "seed": generation.seed,
    }
    added = {
        "parameters": {**parameters, **changes.get("parameters", {})},
        "inputs": {**inputs, **changes.get("inputs", {})},
        "tags": (*generation.tags, *changes.get("tags", ())),
        "parents": (generation.id, *changes.get("parents", ())),
    }
    return GenerationSpec(**{**recorded_fields, **changes, **added})


def _check_texts(generation: Generation, changes: Mapping[str, Any]) -> None:
    """Raise UsageError if a text that the new request needs is gone or was altered."""
    needed = {"request"}
    if "prompt" not in changes:
        needed.add("prompt")
    if {item.name for item in generation.inputs} - changes.get("inputs", {}).keys():
        needed.add("input")
    for state, kinds in (("erased", generation.erased), ("altered", generation.altered)):
        if lost := sorted(needed.intersection(kinds)):
            raise UsageError(
                f"the {lost[0]} of generation {generation.id} was {state}, so that it cannot be "
                "repeated; use another generation"
            )


def _reference(recorded: Model, models: Models) -> str:
    """Return the name of a recorded model now, which may have been added again by another name."""
    added = models.added(on_error=lambda error: None)
    for model in added:
        if model.digest == recorded.digest:
            return model.name
    if any(model.name == recorded.name for model in added):
        raise UsageError(
            f"model {recorded.name} is not the recorded one any more, whose digest is "
            f"{recorded.digest}; add that one, or choose a model"
        )
    return recorded.name
