"""Places of generations in experiments."""

from __future__ import annotations

from typing import NamedTuple


class Cell(NamedTuple):
    """The place of a generation in an experiment, as numbers of levels from 0.

    Attributes:
        item: The item, such as a question.
        paraphrase: The wording of the item.
        setting: The combination of the values of the parameters.
        replicate: The repetition with another seed.

    Example:
        >>> muniment.Cell(item=0, paraphrase=1, setting=0, replicate=2)
        Cell(item=0, paraphrase=1, setting=0, replicate=2)
    """

    item: int
    paraphrase: int
    setting: int
    replicate: int


class Levels(NamedTuple):
    """The numbers of levels of an experiment, from 1. A cell has smaller numbers.

    Attributes:
        items: The number of items.
        paraphrases: The number of wordings of an item.
        settings: The number of combinations of the values of parameters.
        replicates: The number of repetitions of a combination.

    Example:
        >>> levels = muniment.Levels(items=4, paraphrases=2, settings=3, replicates=5)
        >>> levels.items * levels.paraphrases * levels.settings * levels.replicates
        120
    """

    items: int
    paraphrases: int
    settings: int
    replicates: int
