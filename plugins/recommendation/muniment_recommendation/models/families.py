"""The families by name. The module of a family is imported when it is needed."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib import import_module
from typing import cast

from muniment_recommendation.errors import DataError

from .base import Recommender

FAMILIES = {
    "popularity": "popularity:Popularity",
    "item-knn": "item_knn:ItemKnn",
    "ease": "ease:Ease",
    "transitions": "transitions:Transitions",
    "als": "als:Als",
    "text": "text:Text",
    "next": "next:Next",
}
"""The families of a single model. `blend` has several of them as parts."""


def family_class(name: str) -> type[Recommender]:
    """Return the class of a family. Raise DataError for an unknown name or a missing library."""
    if name not in FAMILIES:
        raise unknown_family(name, tuple(FAMILIES))
    module_name, _, attribute = FAMILIES[name].partition(":")
    try:
        module = import_module(f".{module_name}", __package__)
    except ModuleNotFoundError as error:
        # Only the family `next` needs a library of an extra, which has its name.
        advice = f"install muniment-recommendation[{name}]"
        raise DataError(f"the family {name} needs {error.name}; {advice}") from None
    return cast(type[Recommender], getattr(module, attribute))


def unknown_family(name: str, known: Sequence[str]) -> DataError:
    """Return the error for a name that is not one of the known families."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"
    return DataError(f"there is no family {name!r}; {hint}")
