"""Division of generations between items, wordings and seeds, at the least cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

MOST_WORDINGS = 10
MOST_SEEDS = 20


class Components(NamedTuple):
    """The variances of a measure in one setting, or of its mean over settings.

    Attributes:
        item: The variance between items.
        wording: The variance between the wordings of an item.
        seed: The variance between the seeds of a wording.
    """

    item: float
    wording: float
    seed: float

    def of_item_mean(self, wordings: int, seeds: int) -> float:
        """Return the variance of the mean of an item over its wordings and seeds."""
        return self.item + self.wording / wordings + self.seed / (wordings * seeds)


class Costs(NamedTuple):
    """The costs of one item, of one wording of it, and of one generation, in any unit."""

    item: float = 0.0
    wording: float = 0.0
    generation: float = 1.0


@dataclass(frozen=True)
class Option:
    """One way to divide the generations.

    Attributes:
        items: The number of items.
        wordings: The number of wordings of each item.
        settings: The number of settings of each wording.
        seeds: The number of seeds in each setting.
        cost: The total cost.
    """

    items: int
    wordings: int
    settings: int
    seeds: int
    cost: float

    @property
    def generations(self) -> int:
        """The number of generations."""
        return self.items * self.wordings * self.settings * self.seeds

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {**asdict(self), "generations": self.generations}


def options(
    items_for: Callable[[int, int], int],
    costs: Costs,
    *,
    wordings: tuple[int, ...] = (),
    settings: int = 1,
    seeds: tuple[int, ...] = (),
) -> list[Option]:
    """Return the options for these numbers of wordings and seeds, the cheapest first.

    By default these are up to 10 wordings and up to 20 seeds. `items_for` returns the number of
    items that wordings and seeds need. Equal costs are ordered by fewer generations, then by more
    items.
    """
    ways = []
    for number in wordings or range(1, MOST_WORDINGS + 1):
        for replicates in seeds or range(1, MOST_SEEDS + 1):
            items = items_for(number, replicates)
            generations = items * number * settings * replicates
            cost = items * (costs.item + number * costs.wording) + generations * costs.generation
            ways.append(Option(items, number, settings, replicates, cost))
    return sorted(ways, key=lambda one: (one.cost, one.generations, -one.items))
