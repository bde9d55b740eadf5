"""Scores of all items for one query: those of a model for its history, and those of its wish."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from muniment_recommendation.data.interactions import Numbers
from muniment_recommendation.errors import QueryError
from muniment_recommendation.models.base import Scores
from muniment_recommendation.models.blend import BlendQuery, unseen_items
from muniment_recommendation.models.standard import standard_of
from muniment_recommendation.ranking.document import SCORE_DIGITS, Standardisation
from muniment_recommendation.text.tokens import chinese_script

if TYPE_CHECKING:
    from muniment_recommendation.fitting.fitted_model import FittedModel

PROMPT, COLD = "prompt", "cold"
"""The components for a wish, and for the place of an item without interactions."""

_SHOWN_DIGITS = 7  # of means and deviations in a list


@dataclass(frozen=True)
class WishScores:
    """The similarities [I] of all items and a wish, and the numbers that standardise them."""

    similarities: Scores
    standardisation: Standardisation

    @property
    def scale(self) -> float:
        """The factor from a similarity to its part of the score."""
        return self.standardisation.weight / self.standardisation.deviation

    @property
    def offset(self) -> float:
        """The part of the score for a similarity of 0."""
        return -self.standardisation.mean * self.scale


@dataclass(frozen=True)
class Scored:
    """The scores of all items for a history and a wish, one of which can be missing.

    Attributes:
        history: The scores for the history, or those of popularity for an empty one.
        wish: The scores for the wish.
        totals: The sums of both [I], rounded to `SCORE_DIGITS`.
        notes: Sentences about parts that are missing or replaced.
    """

    history: BlendQuery | None
    wish: WishScores | None
    totals: Scores
    notes: tuple[str, ...]

    @cached_property
    def standardisation(self) -> dict[str, Standardisation]:
        """The numbers that standardised each part, by its name."""
        result: dict[str, Standardisation] = {}
        if self.history is not None:
            standard = self.history.standard
            columns = (standard.means.tolist(), standard.deviations.tolist())
            for part, mean, deviation in zip(self.history.parts, *columns, strict=True):
                result[part.name] = _shown(Standardisation(mean, deviation, float(part.weight)))
        if self.wish is not None:
            result[PROMPT] = _shown(self.wish.standardisation)
        return result

    @property
    def is_additive(self) -> bool:
        """Whether the contributions of the history are exact."""
        parts = () if self.history is None else self.history.parts
        return all(part.recommender.is_additive for part in parts)

    def components(self, items: Numbers) -> dict[str, Scores]:
        """Return the components [K] of some items by part. They sum to the scores."""
        result: dict[str, Scores] = {}
        if self.history is not None:
            result.update(self.history.components(items))
            result[COLD] = self.history.scores[items] - sum(result.values())
        if self.wish is not None:
            result[PROMPT] = self.wish.similarities[items] * self.wish.scale + self.wish.offset
        return result


class Scorer:
    """Scores the items of one fitted model."""

    def __init__(self, model: FittedModel) -> None:
        self._blend = model.blend
        self._index = model.text.index
        self._size = len(model.catalogue)
        self._weights = sum(part.weight for part in model.parts)

    def score(self, history: Numbers, wish: str, wish_weight: float) -> Scored:
        """Return the scores for a history and a wish, which is an empty text if there is none.

        `wish_weight` is relative to the sum of the weights of the other parts.

        Popularity replaces a history for which all items have equal scores, if no item has a word
        of the wish. It also ranks the items for a wish that only excludes some. Raises
        QueryError if the catalogue has no texts.
        """
        notes: list[str] = []
        wished = self._wish(history, wish, wish_weight) if wish else None
        if wish and wished is None:
            notes.append("no item has a word of the prompt")
        if wish and (note := self._note_about_script(wish)):
            notes.append(note)
        query = self._blend.query(history) if len(history) else None
        if query is not None and not _has_different_scores(query, self._size):
            query = None
        if query is None and wished is None:
            query = self._blend.query(history[:0])
            notes.append(_reason_of_popularity(history, wish))
        elif query is None and wished is not None and not (wished.similarities > 0).any():
            query = self._blend.query(history[:0])
            notes.append("the prompt only excludes, so popular items without its words are listed")
        totals = np.zeros(self._size) if query is None else query.scores
        if wished is not None:
            totals = totals + wished.similarities * wished.scale + wished.offset
        return Scored(query, wished, np.round(totals, SCORE_DIGITS) + 0.0, tuple(notes))

    def _note_about_script(self, wish: str) -> str:
        script = chinese_script(wish)
        if script is None or self._index.script in (None, script):
            return ""
        return (
            f"the prompt is in {script} characters, and the items are in {self._index.script} "
            "ones, which are different words"
        )

    def _wish(self, history: Numbers, wish: str, weight: float) -> WishScores | None:
        """Return the scores of a wish, or None if no item has a word of it."""
        if not self._index.vocabulary:
            raise QueryError(
                "the items of the model have no titles, texts or tags to compare the prompt with; "
                "remove the prompt, or fit the model with an items.csv"
            )
        similarities = self._index.similarities(self._index.query(wish))
        if not similarities.any():
            return None
        standard = standard_of(similarities[None], unseen_items([history], self._size))
        mean, deviation = float(standard.means[0]), float(standard.deviations[0])
        return WishScores(similarities, Standardisation(mean, deviation, weight * self._weights))


def _shown(standardisation: Standardisation) -> Standardisation:
    """Return rounded numbers. Filters take many digits in a row for those of a card or a phone."""
    values = (standardisation.mean, standardisation.deviation, standardisation.weight)
    return Standardisation(*(float(f"{value:.{_SHOWN_DIGITS}g}") for value in values))


def _has_different_scores(query: BlendQuery, size: int) -> bool:
    """Return whether the items outside the history have different scores, if there are any."""
    scores = query.scores[unseen_items([query.history], size)[0]]
    return not len(scores) or bool(np.ptp(scores))


def _reason_of_popularity(history: Numbers, wish: str) -> str:
    if wish or len(history):
        return "the model knows nothing about this history and prompt, so popular items are listed"
    return "without a history and a prompt, popular items are listed"
