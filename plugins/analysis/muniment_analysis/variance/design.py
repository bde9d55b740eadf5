"""The crossed design of an item: its factors with their levels, and the seeds of each cell."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from muniment_analysis.errors import DesignError

SEED = "seed"
"""The name of the variance within cells."""
MAX_FACTORS = 3
_WORDINGS = {"paraphrase", "prompt"}

Term = tuple[int, ...]
"""The positions of the factors of a main effect or interaction, in ascending order."""


@dataclass(frozen=True)
class Design:
    """One to three crossed factors. Each cell has `seeds` outputs, each with a seed of its own.

    Raises DesignError for a factor with one level, one seed a cell, or ambiguous names.

    Attributes:
        factors: The names of the factors.
        levels: The names of the levels of each factor.
        seeds: The number of outputs in a cell, at least 2.
        controls: The factors that are control parameters, in the order of `factors`.
    """

    factors: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    seeds: int
    controls: tuple[str, ...]

    def __post_init__(self) -> None:
        check_factors(self.factors)
        for factor, levels in zip(self.factors, self.levels, strict=True):
            if len(levels) < 2:
                only = "".join(f", {level!r}" for level in levels)
                raise DesignError(
                    f"factor {factor} has one level{only}; vary it, or remove it from the factors"
                )
        if self.seeds < 2:
            raise DesignError(
                "a cell has one seed, which gives no variance of the seed; "
                "repeat each cell with 2 seeds or more"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of levels of each factor."""
        return tuple(map(len, self.levels))

    @property
    def outputs(self) -> int:
        """The number of outputs of an item."""
        return math.prod(self.shape) * self.seeds

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """The main effects, then the interactions, those of fewer factors first."""
        return _terms(len(self.factors))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the components: those of the terms, then `seed`."""
        return _names(self.factors)

    @property
    def control_axes(self) -> tuple[int, ...]:
        """The positions of the control parameters among the factors."""
        return tuple(axis for axis, name in enumerate(self.factors) if name in self.controls)

    @property
    def control_names(self) -> tuple[str, ...]:
        """The names of the terms that consist of control parameters only."""
        axes = set(self.control_axes)
        pairs = zip(self.terms, self.names, strict=False)
        return tuple(name for term, name in pairs if set(term) <= axes)

    @property
    def settings(self) -> tuple[tuple[str, ...], ...]:
        """The combinations of levels of the control parameters, one empty one without any."""
        return tuple(itertools.product(*(self.levels[axis] for axis in self.control_axes)))


def check_factors(factors: Sequence[str]) -> None:
    """Raise DesignError for no factor, more than three, or names that cannot be told apart."""
    if not 1 <= len(factors) <= MAX_FACTORS:
        raise DesignError(f"{len(factors)} factors were named; name 1 to {MAX_FACTORS}")
    for factor in factors:
        if factors.count(factor) > 1:
            raise DesignError(f"factor {factor!r} is named twice; remove one")
    names = _names(factors)
    for name in names:
        if names.count(name) > 1:
            raise DesignError(
                f"two shares would have the name {name!r}, because a factor has that name; "
                "rename the factor"
            )


def control_factors(factors: Sequence[str], chosen: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the control parameters among the factors, in the order of the factors.

    They are those that were chosen, else all that are not called paraphrase or prompt. Raises
    DesignError for a chosen name that is not a factor.
    """
    for name in chosen:
        if name not in factors:
            raise DesignError(
                f"control {name!r} is not a factor; use {' or '.join(map(repr, factors))}"
            )
    if chosen:
        return tuple(factor for factor in factors if factor in chosen)
    return tuple(factor for factor in factors if factor.casefold() not in _WORDINGS)


def _terms(factors: int) -> tuple[Term, ...]:
    return tuple(
        term
        for size in range(1, factors + 1)
        for term in itertools.combinations(range(factors), size)
    )


def _names(factors: Sequence[str]) -> tuple[str, ...]:
    terms = _terms(len(factors))
    return (*(":".join(factors[axis] for axis in term) for term in terms), SEED)
