"""A request to a model: its history, its wish, and the items that may be recommended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

import muniment
from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions, Numbers

from .item_ids import numbers_of, read_ids
from .parameters import WISH_WEIGHT

_DIVERSITY_OF_POPULAR = 0.3


@dataclass(frozen=True, slots=True)
class Query:
    """A request to a model, over the items of its catalogue.

    Attributes:
        history: The items of the history, the oldest first.
        wish: The free text, or an empty one.
        forbidden: Whether each item may not be recommended [I]. Seen items are not among them.
    """

    history: Numbers
    wish: str
    forbidden: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The effective options of a list, with the meaning of `RecommendationParameters`."""

    k: int = 10
    exclude_seen: bool = True
    diversity: float = 0.0
    calibrate: Literal["tags"] | None = None
    temperature: float = 0.0
    wish_weight: float = WISH_WEIGHT
    counterfactuals: int = 0
    seed: int = 0


def query_of(request: muniment.Request, catalogue: Catalogue, interactions: Interactions) -> Query:
    """Return the query of a request to a model. Raise QueryError for an unknown item.

    Of the model, only the catalogue and the disliked items of the user are used.
    """
    numbers = item_numbers(request.inputs, catalogue.numbers)
    forbidden = np.zeros(len(catalogue), dtype=bool)
    if "only" in numbers:
        forbidden[:] = True
        forbidden[numbers["only"]] = False
    forbidden[numbers.get("exclude", [])] = True
    if (user := interactions.user_numbers.get(user_of(request.inputs))) is not None:
        forbidden[interactions.disliked_by(user)] = True
    history = np.array(numbers.get("history", []), dtype=np.int32)
    return Query(history, request.prompt.strip(), forbidden)


def query_of_user(interactions: Interactions, number: int) -> Query:
    """Return the query of a user of the model, without the items that the user disliked."""
    forbidden = np.zeros(interactions.item_count, dtype=bool)
    forbidden[interactions.disliked_by(number)] = True
    return Query(interactions.history(number), "", forbidden)


def item_numbers(
    inputs: Mapping[str, muniment.Input], known: Mapping[str, int]
) -> dict[str, list[int]]:
    """Return the numbers of the items of each input, by its name.

    Unknown items to exclude are ignored, because they are not recommended anyway. Raises QueryError
    for others.
    """
    ids = {
        name: read_ids(item.text or "", known) for name, item in inputs.items() if name != "user"
    }
    if "exclude" in ids:
        ids["exclude"] = tuple(id for id in ids["exclude"] if id in known)
    return {name: numbers_of(names, known, f"the input {name!r}") for name, names in ids.items()}


def options_of(request: muniment.Request) -> ListOptions:
    """Return the options of a request whose defaults are resolved."""
    return ListOptions(**dict(request.parameters), seed=request.seed)


def default_diversity(has_history: bool, wish: str) -> float:
    """Return the weight of diversity of a request that sets none.

    It is 0 unless popular items are listed, which would otherwise resemble each other.
    """
    return 0.0 if has_history or wish.strip() else _DIVERSITY_OF_POPULAR


def user_of(inputs: Mapping[str, muniment.Input]) -> str:
    """Return the id of the user of a request as it is written, or an empty text."""
    return (inputs["user"].text or "") if "user" in inputs else ""
