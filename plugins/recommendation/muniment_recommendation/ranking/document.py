"""The document of a ranked list: its items with their reasons, and its bytes as JSON."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

MEDIA_TYPE = "application/vnd.muniment.ranking+json"

SCORE_DIGITS = 6
"""The decimal places of scores, to which they are rounded before they are ordered."""
VALUE_DIGITS = 9
"""The decimal places of other numbers, so that sums are equal to scores within `TOLERANCE`."""
TOLERANCE = 1e-6

Source: TypeAlias = Literal["history", "rest", "prompt", "popularity", "offset"]


class Contribution(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    kw_only=True,
    gc=False,  # a list has hundreds, and they refer to no other objects
    rename={"source": "from"},
):
    """One part of the score of an item.

    Attributes:
        source: `history` for one item of the history, and `rest` for all others together. `prompt`
            is the wish. `offset` is the mean of all parts, which was subtracted.
        item: The id of the item of the history.
        value: The number that it adds to the score.
    """

    source: Source
    item: str = ""
    value: float


class Counterfactual(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rank of an item if one item of the history were missing, which stays excluded.

    Attributes:
        item: The id of the item of the history, the one that adds most to the score.
        rank: The rank by score without it, from 1.
        was: The rank by score with it, from 1.
    """

    item: str
    rank: int
    was: int


class RankedItem(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """One item of a ranked list.

    Attributes:
        item: The id of the item, as in the data.
        title: The title, or the id of an item without one.
        text: The beginning of its text.
        score: The sum of the components, and of the contributions within `TOLERANCE`.
        components: The weighted standard score of each part of the model, by its name.
        contributions: The parts of the score by their origin, the largest first, then the offset.
        without: The rank without the main item of the history, if it was computed.
    """

    item: str
    title: str
    text: str = ""
    score: float
    components: dict[str, float]
    contributions: tuple[Contribution, ...]
    without: Counterfactual | None = None


class HistoryItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item of the history that the list was made from."""

    item: str
    title: str


class Standardisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers that turn the scores of a part into a component.

    A component is `weight * (score - mean) / deviation`.

    Attributes:
        mean: The mean of the part's scores over the items that are not in the history.
        deviation: Their standard deviation, or 1 if they are all equal.
        weight: The weight of the part.
    """

    mean: float
    deviation: float
    weight: float


class Ranking(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """A ranked list, the best item first.

    Attributes:
        version: The version of the document.
        items: The items.
        history: The items of the history that was used, the oldest first.
        standardisation: The numbers of each part, by its name.
        explained: Whether contributions of history items are exact or approximate.
        notes: Sentences about the list as a whole, such as that popular items were used.
    """

    version: Literal[1]
    items: tuple[RankedItem, ...]
    history: tuple[HistoryItem, ...]
    standardisation: dict[str, Standardisation]
    explained: Literal["exact", "approximate"]
    notes: tuple[str, ...] = ()

    def select(self, positions: Sequence[int]) -> Ranking:
        """Return the list with only the items at these positions, from 0, in this order.

        The other items are not in it. Those of the history among them become part of `rest`.
        """
        items = [self.items[position] for position in positions]
        removed = {item.item for item in self.items} - {item.item for item in items}
        return msgspec.structs.replace(
            self,
            items=tuple(_without_names(item, removed) for item in items),
            history=tuple(item for item in self.history if item.item not in removed),
        )


@dataclass(frozen=True, slots=True)
class Reason:
    """The share of an item of the history among the reasons for an item, from 0 to 1.

    `title` is empty for the other items of the history together.
    """

    title: str
    share: float


def reasons(ranking: Ranking, item: RankedItem) -> list[Reason]:
    """Return the items of the history that raise the score of an item, the largest share first.

    Shares are those of positive contributions of the history alone.
    """
    titles = {known.item: known.title for known in ranking.history}
    positive = [
        part for part in item.contributions if part.source in ("history", "rest") and part.value > 0
    ]
    total = math.fsum(part.value for part in positive)
    named = [part for part in positive if part.source == "history"]
    rest = [part for part in positive if part.source == "rest"]
    return [
        Reason(titles.get(part.item, part.item), part.value / total) for part in [*named, *rest]
    ]


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Ranking)


def write_ranking(ranking: Ranking) -> bytes:
    """Return the bytes of a ranked list: JSON in UTF-8 without spaces, in the order of fields."""
    return _ENCODER.encode(ranking)


def read_ranking(data: bytes) -> Ranking:
    """Return the ranked list of bytes that `write_ranking` returned.

    Raises ValueError for any others, and for items without an id or with the same one. The same
    applies to contributions or components that do not sum to the score.
    """
    ranking = _DECODER.decode(data)
    if write_ranking(ranking) != data:
        raise ValueError("the ranking is not in its canonical form")
    ids = [item.item for item in ranking.items]
    if "" in ids or len(set(ids)) < len(ids):
        raise ValueError("the ranking has an item without an id, or two with the same one")
    for item in ranking.items:
        for parts in (item.components.values(), (part.value for part in item.contributions)):
            # Rounding to six digits takes half of the tolerance, and floats a little more.
            if abs(math.fsum(parts) - item.score) > TOLERANCE:
                raise ValueError(f"the parts of the score of {item.item!r} do not sum to it")
    return ranking


def _without_names(item: RankedItem, removed: Collection[str]) -> RankedItem:
    """Return an item whose contributions name none of these items of the history."""
    named = [part for part in item.contributions if part.item and part.item in removed]
    without = item.without if item.without and item.without.item not in removed else None
    if not named:
        return msgspec.structs.replace(item, without=without)
    merged = [*named, *(part for part in item.contributions if part.source == "rest")]
    rest = Contribution(
        source="rest", value=round(math.fsum(part.value for part in merged), VALUE_DIGITS)
    )
    others = [part for part in item.contributions if part not in merged]
    position = sum(part.source == "history" for part in others)
    return msgspec.structs.replace(
        item, contributions=(*others[:position], rest, *others[position:]), without=without
    )
