"""The layout of an item's outputs: paraphrases × settings × replicates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Layout:
    """The order of an item's outputs: by paraphrase, then setting, then replicate.

    Attributes:
        paraphrases: The number of paraphrases.
        settings: The number of combinations of settings.
        replicates: The number of seeds in each cell.
    """

    paraphrases: int
    settings: int
    replicates: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape [P, S, R] of an item's values."""
        return self.paraphrases, self.settings, self.replicates

    @property
    def size(self) -> int:
        """The number of outputs of an item."""
        return self.paraphrases * self.settings * self.replicates

    def position(self, paraphrase: int, setting: int, replicate: int) -> int:
        """Return the position of an output in the order of the layout."""
        return (paraphrase * self.settings + setting) * self.replicates + replicate

    @cached_property
    def _numbers(self) -> tuple[NDArray[np.int64], ...]:
        return tuple(grid.ravel() for grid in np.indices(self.shape))

    @cached_property
    def seed_pairs(self) -> Mask:
        """The pairs [n, n] of outputs that differ in the seed alone, each once."""
        paraphrase, setting, _ = self._numbers
        return self._each_once(_equal(paraphrase) & _equal(setting))

    @cached_property
    def setting_pairs(self) -> Mask:
        """The pairs of outputs with one paraphrase and different settings, each once."""
        paraphrase, setting, _ = self._numbers
        return self._each_once(_equal(paraphrase) & ~_equal(setting))

    @cached_property
    def paraphrase_pairs(self) -> Mask:
        """The pairs of outputs with one setting and different paraphrases, each once."""
        paraphrase, setting, _ = self._numbers
        return self._each_once(~_equal(paraphrase) & _equal(setting))

    def seed_pairs_of(self, setting: int) -> Mask:
        """Return the seed pairs of one setting."""
        chosen = self._numbers[1] == setting
        pairs: Mask = self.seed_pairs & chosen[:, None] & chosen[None, :]
        return pairs

    def _each_once(self, pairs: Mask) -> Mask:
        upper: Mask = np.triu(pairs, k=1)
        return upper


def _equal(numbers: NDArray[np.int64]) -> Mask:
    equal: Mask = numbers[:, None] == numbers[None, :]
    return equal
