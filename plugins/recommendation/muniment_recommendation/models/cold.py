"""Place items without interactions among the others.

Nothing but its text is known of such an item, so its standard score cannot be compared with those
of other items. Its rank can. It gets the score of the item that has the same share of its group
before it. So items without interactions have the share of a list that they have of the catalogue.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .base import Scores


def place_cold_items(
    scores: Scores, order: Scores, cold: NDArray[np.bool_], unseen: NDArray[np.bool_]
) -> Scores:
    """Return scores [Q, I] in which cold items have a score by their rank.

    `order` [Q, I] ranks the cold items among themselves. Items that are false in `unseen` keep
    their scores.
    """
    result = scores.copy()
    for row in range(len(scores)):
        known = np.sort(scores[row, unseen[row] & ~cold])[::-1]
        items = np.flatnonzero(unseen[row] & cold)
        if not len(known) or not len(items):
            continue
        ranked = items[np.argsort(-order[row, items], kind="stable")]
        places = np.arange(len(ranked)) * len(known) / len(ranked)
        result[row, ranked] = np.interp(places, np.arange(len(known)), known)
    return result
