"""Similarity of texts: rows of unit length, queries, and saved arrays."""

from __future__ import annotations

import numpy as np
import pytest

from muniment_recommendation.data.catalogue import CatalogueItem
from muniment_recommendation.text.index import TextIndex, item_text

TEXTS = [
    "A quiet film about the sea. 关于大海的安静电影",
    "A film about war. 战争电影",
    "The history of science. 科技与历史",
    "",
]


def test_rows_of_long_texts_are_divided_by_a_quarter_of_their_length() -> None:
    index = TextIndex.fit(["sea", "sea " + " ".join(f"word{n}" for n in range(80)), "war"])
    first, second = (index.matrix[[row], [index.vocabulary.index("sea")]][0] for row in (0, 1))
    mean = (1 + 9 + 1) / 3
    assert first / second == pytest.approx((0.75 * mean + 0.25 * 9) / (0.75 * mean + 0.25))


def test_query_finds_the_text_in_both_languages() -> None:
    index = TextIndex.fit(TEXTS)
    for wish, best in (("quiet seas", 0), ("大海", 0), ("战争的书", 1), ("关于科技和历史的书", 2)):
        similarities = index.similarities(index.query(wish))
        assert similarities.argmax() == best, wish


def test_query_has_length_one() -> None:
    query = TextIndex.fit(TEXTS).query("quiet sea, no war")
    assert (query.data**2).sum() == pytest.approx(1)
    assert sorted(np.sign(query.data)) == [-1, 1, 1]


def test_query_with_unwanted_tokens_is_dissimilar_to_texts_with_them() -> None:
    index = TextIndex.fit(TEXTS)
    for wish in ("a film, no war", "电影，不要战争"):
        sea, war, science, empty = index.similarities(index.query(wish))
        assert sea > science == empty == 0 > war, wish


def test_query_does_not_prefer_texts_without_other_words() -> None:
    plain, described = "sea film", "quiet sea film: Anna repairs clocks with patience"
    index = TextIndex.fit([plain, described, "war film", "war book"])
    similarities = index.similarities(index.query("quiet films about the sea"))
    assert similarities.argmax() == 1


def test_query_without_known_tokens_is_similar_to_nothing() -> None:
    index = TextIndex.fit(TEXTS)
    for wish in ("", "the", "xylophone", "🎬"):
        assert not index.similarities(index.query(wish)).any()


def test_saved_arrays_give_the_same_index() -> None:
    index = TextIndex.fit(TEXTS)
    again = TextIndex.from_arrays(index.arrays())
    assert again.vocabulary == index.vocabulary
    for name, array in index.arrays().items():
        assert np.array_equal(array, again.arrays()[name]), name
    wish = "quiet sea 科技, no war"
    before, after = (i.similarities(i.query(wish)) for i in (index, again))
    assert np.array_equal(before, after)


def test_index_of_texts_without_tokens_is_saved_and_read() -> None:
    index = TextIndex.from_arrays(TextIndex.fit(["", "the"]).arrays())
    assert index.matrix.shape == (2, 0)
    assert not index.similarities(index.query("sea")).any()


def test_arrays_that_do_not_fit_are_refused() -> None:
    arrays = TextIndex.fit(TEXTS).arrays()
    with pytest.raises(ValueError, match="frequencies"):
        TextIndex.from_arrays({**arrays, "frequencies": arrays["frequencies"][:-1]})
    with pytest.raises(ValueError, match="indices"):
        TextIndex.from_arrays({**arrays, "columns": arrays["columns"] + 100})


def test_item_text_has_tags_twice() -> None:
    text = item_text(CatalogueItem("1", "Tide", "Waves.", ("sea", "calm")))
    assert [text.count(word) for word in ("Tide", "Waves", "sea", "calm")] == [1, 1, 2, 2]
