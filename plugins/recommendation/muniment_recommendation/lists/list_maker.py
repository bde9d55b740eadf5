"""Making a ranked list from a fitted model and a query."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from muniment_recommendation.data.interactions import Numbers
from muniment_recommendation.errors import QueryError
from muniment_recommendation.models.base import Scores
from muniment_recommendation.ranking.document import (
    SCORE_DIGITS,
    Counterfactual,
    HistoryItem,
    RankedItem,
    Ranking,
)
from muniment_recommendation.requests.query import ListOptions, Query

from .explaining import explain
from .ordering import best_numbers
from .reranking import POOL, TagShares, reorder
from .sampling import gumbel_noise
from .scoring import Scored, Scorer
from .similarity import ItemSimilarity, tag_matrix

if TYPE_CHECKING:
    import scipy.sparse

    from muniment_recommendation.fitting.fitted_model import FittedModel

CANDIDATES = 50
"""The number of items after the wanted ones, some of which move up when a policy blocks others."""


class _Choice(NamedTuple):
    """The chosen items in their order, the scores [I], and the keys [I] with noise that order."""

    numbers: Numbers
    scored: Scored
    noise: Scores
    keys: Scores


class ListMaker:
    """Makes ranked lists with one fitted model."""

    def __init__(self, model: FittedModel) -> None:
        self.model = model
        self._scorer = Scorer(model)

    def ranking(self, query: Query, options: ListOptions) -> Ranking:
        """Return the wanted items and `CANDIDATES` more, or all that there are.

        A longer list with the same other options begins with the items of a shorter one. Raises
        QueryError if no item can be recommended, or if the model lacks what the query needs.
        """
        choice = self._choice(query, options)
        scored = choice.scored
        catalogue = self.model.catalogue.items
        items = explain(catalogue, scored, choice.numbers)
        for place, item in enumerate(items[: options.counterfactuals]):
            items[place] = self._with_counterfactual(item, query, options, choice)
        return Ranking(
            version=1,
            items=tuple(items),
            history=tuple(
                HistoryItem(item.id, item.name)
                for item in map(catalogue.__getitem__, query.history.tolist())
            ),
            standardisation=scored.standardisation,
            explained="exact" if scored.is_additive else "approximate",
            notes=(
                *scored.notes,
                *_notes_of_order(choice, options),
                *self._notes_of_length(query, options, len(choice.numbers)),
            ),
        )

    def best(self, query: Query, options: ListOptions) -> tuple[Numbers, Scores]:
        """Return the numbers and the scores of the wanted items, without their reasons.

        They are those of `ranking`. Raises QueryError as it does.
        """
        choice = self._choice(query, options)
        numbers = choice.numbers[: options.k]
        return numbers, choice.scored.totals[numbers]

    def _notes_of_length(self, query: Query, options: ListOptions, length: int) -> list[str]:
        """Return a note with the reason why a list has fewer items than wanted, if it has."""
        if length >= options.k:
            return []
        left_out = int((self._candidates & query.forbidden).sum())
        total = int(self._candidates.sum())
        note = f"the model can list {length:,} of its {total:,} items"
        if seen := total - left_out - length:
            note += f"; {seen:,} {'is' if seen == 1 else 'are'} in the history"
        if left_out:
            note += f"; --only, --exclude or dislikes rule out {left_out:,}"
        return [note]

    def _choice(self, query: Query, options: ListOptions) -> _Choice:
        allowed = self._allowed(query, options)
        scored = self._scorer.score(query.history, query.wish, options.wish_weight)
        noise, keys = np.zeros(len(allowed)), scored.totals
        if options.temperature:
            noise = options.temperature * gumbel_noise(options.seed, len(allowed))
            keys = np.round(scored.totals + noise, SCORE_DIGITS)
        length = options.k + CANDIDATES
        numbers = best_numbers(keys, allowed, max(length, POOL))
        if (options.diversity or options.calibrate) and len(numbers) > 1:
            numbers = self._reordered(query.history, options, keys, numbers)
        return _Choice(numbers[:length], scored, noise, keys)

    def _reordered(
        self, history: Numbers, options: ListOptions, keys: Scores, numbers: Numbers
    ) -> Numbers:
        """Return the best items in their new order. Only the first `POOL` change their places."""
        pool, others = numbers[:POOL], numbers[POOL:]
        order = reorder(
            keys[pool],
            min(len(pool), options.k + CANDIDATES),
            diversity=options.diversity,
            similarities=self._similarity.among(pool) if options.diversity else None,
            tags=self._tag_shares(history, pool) if options.calibrate else None,
        )
        return np.concatenate([pool[order], others])

    def _tag_shares(self, history: Numbers, pool: Numbers) -> TagShares | None:
        """Return the shares of tags, or None for a history without tags.

        Raises QueryError if no item of the catalogue has tags.
        """
        if not self._tags.nnz:
            raise QueryError(
                "no item of the model has tags to calibrate by; remove --calibrate, or fit with an "
                "items.csv that has tags"
            )
        tagged = self._tags[history].toarray()
        tagged = tagged[tagged.any(axis=1)]
        return TagShares(tagged.mean(axis=0), self._tags[pool]) if len(tagged) else None

    def _with_counterfactual(
        self, item: RankedItem, query: Query, options: ListOptions, choice: _Choice
    ) -> RankedItem:
        """Return an item with its rank without the item of the history that adds most to it.

        That item stays excluded. An item that no item of the history raises is unchanged.
        """
        main = item.contributions[0] if item.contributions else None
        if main is None or main.source != "history" or main.value <= 0:
            return item
        numbers = self.model.catalogue.numbers
        remaining = query.history[query.history != numbers[main.item]]
        scored = self._scorer.score(remaining, query.wish, options.wish_weight)
        changed = np.round(scored.totals + choice.noise, SCORE_DIGITS)
        allowed = self._allowed(query, options)
        number = numbers[item.item]
        without = Counterfactual(
            main.item, _rank(changed, allowed, number), _rank(choice.keys, allowed, number)
        )
        return msgspec.structs.replace(item, without=without)

    def _allowed(self, query: Query, options: ListOptions) -> NDArray[np.bool_]:
        """Return whether each item may be recommended. Raise QueryError if none may."""
        allowed = self._candidates & ~query.forbidden
        if options.exclude_seen:
            allowed[query.history] = False
        if not allowed.any():
            seen_all = (self._candidates & ~query.forbidden).any()
            raise QueryError(
                "all items that could be recommended are in the history; add --no-exclude-seen to "
                "recommend them again"
                if seen_all
                else "no item remains to be recommended, after the inputs only and exclude and the "
                "disliked items; change them"
            )
        return allowed

    @cached_property
    def _candidates(self) -> NDArray[np.bool_]:
        """Whether each item has interactions or a text, so that something ranks it [I]."""
        has_text = np.diff(self.model.text.index.matrix.indptr) > 0
        candidates: NDArray[np.bool_] = (self.model.interactions.counts() > 0) | has_text
        return candidates

    @cached_property
    def _similarity(self) -> ItemSimilarity:
        return ItemSimilarity.of(self.model.catalogue, self.model.interactions)

    @cached_property
    def _tags(self) -> scipy.sparse.csr_array:
        """The tags of items, with a sum of 1 for each item that has any."""
        tags = tag_matrix(self.model.catalogue)
        tags.data /= np.repeat(np.diff(tags.indptr), np.diff(tags.indptr))
        return tags


def _notes_of_order(choice: _Choice, options: ListOptions) -> list[str]:
    """Return a note if diversity has placed a wanted item above one with a better score."""
    keys = choice.keys[choice.numbers[: options.k]]
    if not options.diversity or not (np.diff(keys) > 0).any():
        return []
    return [f"ordered with diversity {options.diversity:g}; --diversity 0 orders by score"]


def _rank(keys: Scores, allowed: NDArray[np.bool_], number: int) -> int:
    """Return the rank of an item by its key, from 1. Equal keys are in the catalogue's order."""
    better = (keys > keys[number]) & allowed
    equal = (keys[:number] == keys[number]) & allowed[:number]
    return int(better.sum() + equal.sum()) + 1
