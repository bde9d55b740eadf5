"""Division of generations between items, paraphrases and seeds, at the least cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

MOST_PARAPHRASES = 10
MOST_SEEDS = 20


class Components(NamedTuple):
    """The variances of a measure in one setting, or of its mean over settings.

    Attributes:
        item: The variance between items.
        paraphrase: The variance between the paraphrases of an item.
        seed: The variance between the seeds of a paraphrase.
    """

    item: float
    paraphrase: float
    seed: float

    def of_item_mean(self, paraphrases: int, seeds: int) -> float:
        """Return the variance of the mean of an item over its paraphrases and seeds."""
        return self.item + self.paraphrase / paraphrases + self.seed / (paraphrases * seeds)


class Costs(NamedTuple):
    """The costs of one item, of one paraphrase of it, and of one generation, in any unit."""

    item: float = 0.0
    paraphrase: float = 0.0
    generation: float = 1.0


@dataclass(frozen=True)
class Option:
    """One way to divide the generations.

    Attributes:
        items: The number of items.
        paraphrases: The number of paraphrases of each item.
        settings: The number of settings of each paraphrase.
        seeds: The number of seeds in each setting.
        cost: The total cost.
    """

    items: int
    paraphrases: int
    settings: int
    seeds: int
    cost: float

    @property
    def generations(self) -> int:
        """The number of generations."""
        return self.items * self.paraphrases * self.settings * self.seeds

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {**asdict(self), "generations": self.generations}


def options(
    items_for: Callable[[int, int], int],
    costs: Costs,
    *,
    paraphrases: tuple[int, ...] = (),
    settings: int = 1,
    seeds: tuple[int, ...] = (),
) -> list[Option]:
    """Return the options for these numbers of paraphrases and seeds, the cheapest first.

    By default these are up to 10 paraphrases and up to 20 seeds. `items_for` returns the number of
    items that paraphrases and seeds need. Equal costs are ordered by fewer generations, then by
    more items.
    """
    ways = []
    for number in paraphrases or range(1, MOST_PARAPHRASES + 1):
        for replicates in seeds or range(1, MOST_SEEDS + 1):
            items = items_for(number, replicates)
            generations = items * number * settings * replicates
            cost = items * (costs.item + number * costs.paraphrase) + generations * costs.generation
            ways.append(Option(items, number, settings, replicates, cost))
    return sorted(ways, key=lambda one: (one.cost, one.generations, -one.items))
