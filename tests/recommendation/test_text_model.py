"""The model of texts: its scores are sums over the history, and no item is similar to all."""

from __future__ import annotations

import numpy as np
import pytest

from muniment_recommendation.models.text import Text
from muniment_recommendation.text.index import TextIndex, item_text
from support.catalogue import catalogue

ITEMS = catalogue()
ALL = np.arange(len(ITEMS), dtype=np.int32)


@pytest.fixture(scope="module")
def model() -> Text:
    index = TextIndex.fit([item_text(item) for item in ITEMS.items])
    return Text(index, {"half_life": 5.0, "floor": 0.1})


def _history(*ids: str) -> np.ndarray:
    return np.array([ITEMS.numbers[id] for id in ids], np.int32)


def test_contributions_sum_to_the_scores(model: Text) -> None:
    history = _history("moby-dick", "the-silent-lighthouse", "walden")
    sums = model.query(history).contributions(ALL).sum(axis=0)
    assert sums == pytest.approx(model.scores([history])[0], abs=1e-9)


def test_scores_of_an_empty_history_are_zero(model: Text) -> None:
    assert not model.scores([_history()]).any()


def test_mean_score_for_all_items_as_histories_is_zero(model: Text) -> None:
    scores = model.scores([ALL[number : number + 1] for number in ALL])
    assert np.abs(scores.mean(axis=0)).max() < 1e-9


def test_saved_arrays_give_the_same_scores(model: Text) -> None:
    again = Text.from_arrays(model.arrays(), model.values)
    history = _history("the-art-of-war", "walden")
    assert np.array_equal(again.scores([history]), model.scores([history]))
