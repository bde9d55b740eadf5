"""Models, in a home and in an installed package."""

from __future__ import annotations

from dataclasses import dataclass

from muniment.representation import showing


@dataclass(frozen=True, slots=True)
class Model:
    """A model on disk (weights, tokenizer, configuration), identified by a digest of its bytes.

    Example:
        >>> muniment.Model("gemma-3-270m", "tree1-sha256:00ff", "/models/gemma-3-270m").name
        'gemma-3-270m'
    """

    name: str
    digest: str
    path: str

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model that an installed package contains, so that adding it needs no network.

    `source` is the argument for the generator's `add_model`. `terms` is a sentence that is
    displayed once.

    Example:
        >>> muniment.PackagedModel("tiny", "tiny", "Apache-2.0.").terms
        'Apache-2.0.'
    """

    name: str
    source: str
    terms: str = ""

    __repr__ = showing("name", "terms")
