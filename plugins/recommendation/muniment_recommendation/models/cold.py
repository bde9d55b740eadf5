"""Place items without interactions among the others.

Nothing but its text is known of such an item, so its standard score cannot be compared with those
of other items. Its rank can. It gets the score that an item with interactions has at the same share
of the list. So items without interactions have about the share of a list that they have of the
catalogue.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .base import Scores

# With 0.5, the share at the head of a list is exactly that of the catalogue. A smaller number is a
# little better for items without interactions, because only a list can bring them interactions.
_AHEAD = 0.2


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
        places = (np.arange(len(ranked)) + _AHEAD) * len(known) / len(ranked) - 0.5
        result[row, ranked] = np.interp(places, np.arange(len(known)), known)
    return result
