"""Make the spec of a recorded request, so that it can be generated again with changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from muniment.errors import UsageError, VerificationError
from muniment.generation.specs import GenerationSpec
from muniment.models.provided import is_hub_id_form
from muniment.models.registry import Models
from muniment.plugins.objects import RegisteredObject, checked_values
from muniment.types.generations import Generation
from muniment.types.models import Model
from muniment.types.provenance import Provenance


def spec_like(generation: Generation, models: Models, changes: Mapping[str, Any]) -> GenerationSpec:
    """Return the spec of a recorded request with changes, and with its source as a parent.

    `changes` has fields of GenerationSpec. Parameters, inputs, tags and parents are added to those
    of the request. Its parents are not repeated, nor the values and inputs that were left to
    `resolve`, because they depend on its prompt and model. For another generator neither are its
    parameters, model and inputs. Raises UsageError if a text that it needs was erased, or if the
    name of a model now belongs to another one. Raises VerificationError if a text was altered.
    """
    _check_changes(changes)
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


def spec_of_file(
    provenance: Provenance,
    registered: RegisteredObject,
    models: Models,
    add_packaged: Callable[[str, RegisteredObject], None],
    changes: Mapping[str, Any],
) -> GenerationSpec:
    """Return the spec of a request that a file of another store contains, with changes.

    It has no parent, because the recorded request is not in this store. A file contains no system
    prompt and no inputs. `registered` is the generator to use. For another one than that of the
    file, parameters and model are left out. A model is found by its digest, after `add_packaged`
    has added it if it is a packaged one. Anyone can change a file, so no path in it is used.
    Raises UsageError if the file contains no prompt and the generator needs one, or if a model of
    that digest is not here.
    """
    _check_changes(changes)
    if not provenance.prompt and "prompt" not in changes and registered.prompt == "required":
        raise UsageError(
            f"the file of generation {provenance.id} contains no prompt, as a private file; add one"
        )
    parameters: dict[str, object] = {}
    model = None
    if registered.name == provenance.generator:
        given = changes.get("parameters", {})
        parameters = _parameters_of_file(provenance, registered, models, given)
        if provenance.model_digest and "model" not in changes:
            model = _with_digest(provenance.model_digest, models)
            if model is None:
                add_packaged(provenance.model, registered)
                model = _with_digest(provenance.model_digest, models)
            if model is None:
                raise _no_model(provenance.model_digest, provenance.model)
    facts = {
        "prompt": provenance.prompt or None,
        "generator": registered.name,
        "model": model,
        "seed": provenance.seed,
    }
    parameters |= changes.get("parameters", {})
    return GenerationSpec(**{**facts, **changes, "parameters": parameters})


def _check_changes(changes: Mapping[str, Any]) -> None:
    unknown = changes.keys() - {field.name for field in dataclasses.fields(GenerationSpec)}
    if unknown:
        raise UsageError(f"a request has no {', '.join(sorted(unknown))} to change")


def _parameters_of_file(
    provenance: Provenance,
    registered: RegisteredObject,
    models: Models,
    given: Mapping[str, object],
) -> dict[str, object]:
    """Return the parameters in a file, with the names of the models of their digests.

    Those that are `given` replace them. Raises UsageError for a value that the generator does not
    accept, and for a model that is not here. The same applies to one of a parameter for no model.
    """
    fields = registered.parameters.fields()
    parameters: dict[str, object] = {
        name: value
        for name, value in provenance.parameters.items()
        if name not in fields or not fields[name].model
    }
    # raises ParameterError
    checked_values(registered, registered.parameters, {**parameters, **given})
    for name, digest in provenance.models.items():
        if name not in fields or not fields[name].model:
            raise UsageError(
                f"the file of generation {provenance.id} has a model for the parameter "
                f"{name:.80}, which names no model of generator {registered.name}; use the version "
                "of the generator that made the file, or give the request yourself"
            )
        if name not in given:
            parameters[name] = _with_digest(digest, models)
            if parameters[name] is None:
                raise _no_model(digest, f"{name} of the file")
    return parameters


def _with_digest(digest: str, models: Models) -> str | None:
    """Return the name of the added model with a digest, or None."""
    added = models.added(on_error=lambda error: None)
    return next((model.name for model in added if model.digest == digest), None)


def _no_model(digest: str, name: str) -> UsageError:
    return UsageError(
        f"the file was made with model {name:.80}, whose digest is {digest:.100}, and no added "
        "model has this digest; add it with `muniment models add`, or choose a model"
    )


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
    if name := _with_digest(recorded.digest, models):
        return name
    if any(model.name == recorded.name for model in models.added(on_error=lambda error: None)):
        raise UsageError(
            f"model {recorded.name} is not the recorded one any more, whose digest is "
            f"{recorded.digest}; add that one, or choose a model"
        )
    # In another folder, the name of a relative path can be the hub id of another model.
    is_relative = is_hub_id_form(recorded.name) and recorded.path.endswith(f"/{recorded.name}")
    return f"./{recorded.name}" if is_relative else recorded.name
