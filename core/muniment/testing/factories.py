"""Factories of the objects that a plugin receives, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from muniment.generation.inputs import media_type_of
from muniment.ids import new_id
from muniment.parameters import Parameters
from muniment.types.generations import Generation
from muniment.types.inputs import Input
from muniment.types.models import Model
from muniment.types.outputs import Output, Text
from muniment.types.requests import Request
from muniment.types.verdicts import Content, Stage
from muniment.validation import now


def request(
    prompt: str,
    *,
    seed: int = 7,
    parameters: Parameters | None = None,
    system: str | None = None,
    model: Model | None = None,
    stream: bool = False,
    inputs: Mapping[str, str | bytes] | None = None,
    models: Mapping[str, Model] | None = None,
) -> Request:
    """Return a request as a generator receives it.

    `parameters` is an object of the generator's `Parameters` class. `inputs` has texts or bytes
    by name, whose media types follow from their content. `models` has those that parameters name.
    """
    parameters = Parameters() if parameters is None else parameters
    given = {name: _input(name, content) for name, content in (inputs or {}).items()}
    return Request(
        id=new_id(),
        prompt=prompt,
        seed=seed,
        parameters=parameters,
        system=system,
        model=model,
        stream=stream,
        inputs=given,
        models=dict(models or {}),
    )


def _input(name: str, content: str | bytes) -> Input:
    data = content.encode() if isinstance(content, str) else content
    return Input(name, media_type_of(data, ()), data)


def content(data: str | bytes, *, stage: Stage = "output", media_type: str = "") -> Content:
    """Return a content as a filter receives it, from a text or from bytes with a media type."""
    if isinstance(data, str):
        return Content(stage, media_type or "text/plain", data.encode())
    return Content(stage, media_type or "application/octet-stream", data)


def generation(*outputs: str | Output, **fields: Any) -> Generation:
    """Return a completed generation as an evaluator receives it.

    `fields` replace the default values of the fields of Generation.
    """
    defaults: dict[str, Any] = {
        "id": new_id(),
        "run_id": new_id(),
        "actor": "tester",
        "status": "completed",
        "generator": "made-up",
        "prompt": "to be or not to be",
        "seed": 7,
        "started_at": now(),
        "finished_at": now(),
        "outputs": tuple(Text(item) if isinstance(item, str) else item for item in outputs),
    }
    return Generation(**{**defaults, **fields})
