"""Facts of a generation in an exported file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from muniment.parameters import Value
from muniment.representation import showing


@dataclass(frozen=True, slots=True)
class Provenance:
    """The facts of a generation that an exported file contains.

    Attributes:
        id: The id of the generation.
        generator: The name of the generator.
        prompt: The prompt, which is empty if it was erased or if the file is private.
        seed: The seed.
        parameters: The effective parameters, without those that name models. Empty if the file is
            private.
        model: The name of the model without its folder, or an empty text.
        model_digest: The digest of the model, or an empty text.
        created_at: The time of the request, in UTC.
        versions: The versions of the core and of the plugins that took part, by distribution.
        models: The digests of the models that parameters name, by the name of the parameter.
        producer: The code of the content's producer, as GB 45438-2025 defines it, or an empty text.

    Example:
        >>> isinstance(done.provenance, muniment.Provenance)
        True
        >>> done.provenance.generator, done.provenance.seed
        ('text', 7)
    """

    id: str
    generator: str
    prompt: str
    seed: int
    parameters: Mapping[str, Value]
    model: str
    model_digest: str
    created_at: datetime
    versions: Mapping[str, str]
    models: Mapping[str, str] = field(default_factory=dict)
    producer: str = ""

    __repr__ = showing("id", "generator", "prompt", "seed", "model")
