"""The interface of the families: fit, score, explain, and the arrays to save.

Shapes: Q queries, H items of a history, I items of the catalogue, K items to explain.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions, Numbers

Scores: TypeAlias = NDArray[np.float64]
Values: TypeAlias = Mapping[str, int | float]
"""Values of a family by name, such as the half-life of a history."""


Progress: TypeAlias = Callable[[int, int], None]
"""A function that is called with the number of steps done and their total."""


@dataclass(frozen=True, slots=True)
class HistoryScores:
    """The scores of a model for one history.

    Attributes:
        scores: The scores of all items [I].
        contributions: The function that returns the parts [H, K] of the scores of some items that
            each item of the history adds.
    """

    scores: Scores
    contributions: Callable[[Numbers], Scores]


class Recommender(ABC):
    """A fitted model that scores every item of the catalogue for a history.

    A score is a baseline and a sum over the history, so its contributions are exact. Only the
    family `next` differs, where `is_additive` is false. `choices` has the values that are chosen
    on the last item of each user, after a fit without it. They apply when a history is scored, so
    another choice needs no second fit.
    """

    family: ClassVar[str]
    choices: ClassVar[Mapping[str, tuple[float, ...]]] = {}
    options: ClassVar[Mapping[str, int | float | None]] = {}
    """The options of a fit, with their defaults. The default None is computed from the data."""
    is_additive: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scipy")
    """The distributions that compute the scores."""
    values: Values
    """The values in force: those of `choices`, which `with_values` changes, and fixed ones."""

    @classmethod
    def option(cls, options: Mapping[str, Any], name: str) -> Any:
        """Return an explicit option, or its default."""
        return options.get(name, cls.options[name])

    @classmethod
    @abstractmethod
    def fit(
        cls,
        data: Interactions,
        catalogue: Catalogue,
        options: Mapping[str, Any],
        seed: int,
        progress: Progress | None = None,
    ) -> Self:
        """Fit a model. `options` are explicit values, which win over the defaults of the family.

        A family that takes longer than seconds calls `progress` after each step.

        The result depends on the arguments alone: not on the time, the number of threads or the
        order of the rows of a table.
        """

    @abstractmethod
    def with_values(self, values: Values) -> Self:
        """Return the model with other values of `choices`, without fitting again."""

    @abstractmethod
    def scores(self, histories: Sequence[Numbers]) -> Scores:
        """Return the scores [Q, I] of all items for each history, seen ones included."""

    def baseline(self, items: Numbers) -> Scores:
        """Return the part [K] of the scores of some items that depends on no history."""
        return np.zeros(len(items))

    @abstractmethod
    def query(self, history: Numbers) -> HistoryScores:
        """Return the scores for one history, as `scores` does, and their contributions."""

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the model by name, to be saved as safetensors."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], values: Values) -> Self:
        """Return the model of saved arrays and values. Raise ValueError if they do not fit."""


def saved_array(arrays: Mapping[str, NDArray[Any]], name: str, dimensions: int) -> NDArray[Any]:
    """Return a saved array. Raise ValueError if it is missing or has another number of axes."""
    array = arrays.get(name)
    if array is None or array.ndim != dimensions:
        raise ValueError(f"the array {name} is missing or has another shape")
    return array
