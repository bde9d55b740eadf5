"""Parameters and inputs of the generator `recommendation`.

They have their own module so that listing them imports neither numpy nor a model.
"""

from __future__ import annotations

from typing import Literal

import muniment

# On MovieLens-100K, with the genres of the held item as the wish and half of the users, NDCG@10 was
# .14 without it, .36 without a history, .47 with 1.5, .54 with 3, .57 with 4, .59 with 6.
WISH_WEIGHT = 4.0


class RecommendationParameters(muniment.Parameters):
    """Parameters of a ranked list."""

    k: int = muniment.param(10, ge=1, le=1000, help="number of items")
    exclude_seen: bool = muniment.param(True, help="omission of the items of the history")
    diversity: float | None = muniment.param(
        None,
        ge=0,
        le=1,
        help="weight of the difference between the items; 0 = the best ones, 1 = the most "
        "different ones, more = first 10 at least as different; 0 if omitted, 0.3 without a "
        "history and a prompt",
    )
    calibrate: Literal["tags"] | None = muniment.param(
        None, help="property whose shares in the list follow those in the history"
    )
    temperature: float = muniment.param(
        0, ge=0, le=100, help="randomness of the order; 0 = by score, more = less by score"
    )
    wish_weight: float = muniment.param(
        WISH_WEIGHT, ge=0, le=100, help="weight of the prompt relative to the history"
    )
    counterfactuals: int = muniment.param(
        0,
        ge=0,
        le=100,
        help="number of first items whose rank without their main reason is computed",
    )


_IDS = "separated by commas, or one on each line"

INPUTS = (
    muniment.InputSpec(
        "user",
        ("text/plain",),
        max_bytes=10_000,
        help="id of a user of the model, or of any user if a history is given",
        option="--user TEXT",
    ),
    muniment.InputSpec(
        "history",
        ("text/plain",),
        help=f"ids of items that the user took, the oldest first, {_IDS}; "
        "the history of the user in the model if omitted",
        option="--history TEXT",
    ),
    muniment.InputSpec(
        "only",
        ("text/plain",),
        help=f"ids of the only items to recommend, {_IDS}",
        option="--only FILE",
    ),
    muniment.InputSpec(
        "exclude",
        ("text/plain",),
        help=f"ids of items not to recommend, {_IDS}",
        option="--exclude FILE",
    ),
)
