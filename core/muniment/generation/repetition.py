"""Make the spec of a recorded request, so that it can be generated again with changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from muniment.errors import UsageError, VerificationError
from muniment.generation.requests import GenerationSpec
from muniment.models.registry import Models
from muniment.types import Generation, Model


def spec_like(generation: Generation, models: Models, changes: Mapping[str, Any]) -> GenerationSpec:
    """Return the spec of a recorded request with changes, and with its source as a parent.

    `changes` has fields of GenerationSpec. Parameters, inputs, tags and parents are added to those
    of the request. Its parents are not repeated, nor the values and inputs that were left to
    `resolve`, because they depend on its prompt and model. For another generator neither are its
    parameters, model and inputs. Raises UsageError if a text that it needs was erased, or if the
    name of a model now belongs to another one. Raises VerificationError if a text was altered.
    """
    unknown = changes.keys() - {field.name for field in fields(GenerationSpec)}
    if unknown:
        raise UsageError(f"a request has no {', '.join(sorted(unknown))} to change")
    is_same = changes.get("generator", generation.generator) == generation.generator
    inputs = {
        item.name: item.data
        for item in generation.inputs
        if is_same and item.name not in generation.resolved_inputs
    }
    needed = {"request"} if "prompt" in changes else {"request", "prompt"}
    if inputs.keys() - changes.get("inputs", {}).keys():
        needed.add("input")
    _check_texts(generation, needed)
    parameters: dict[str, object] = {}
    model = None
    if is_same:
        resolved, given = generation.resolved_parameters, changes.get("parameters", {})
        parameters |= {
            name: value for name, value in generation.parameters.items() if name not in resolved
        }
        for name, recorded in generation.models.items():
            if name in parameters and name not in given:
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


def _check_texts(generation: Generation, needed: set[str]) -> None:
    """Raise UsageError if a text that the new request needs was erased.

    Raises VerificationError if one was altered.
    """
    if erased := sorted(needed.intersection(generation.erased)):
        raise UsageError(
            f"the {erased[0]} of generation {generation.id} was erased, so that it cannot be "
            "repeated; use another generation"
        )
    if altered := sorted(needed.intersection(generation.altered)):
        raise VerificationError(
            f"the {altered[0]} of generation {generation.id} was changed after it was recorded, so "
            "that it cannot be repeated; run `muniment audit verify --payloads` to find all changes"
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
