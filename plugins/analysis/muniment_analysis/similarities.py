"""Similarities between texts, by their words, and between ranked lists, by their order."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from muniment_analysis.diversity import cosine_similarities
from muniment_analysis.overlap import rank_biased_overlap
from muniment_analysis.words import words

Matrix = NDArray[np.float64]


def wording_similarities(texts: Sequence[str]) -> Matrix:
    """Return the cosines [n, n] of the counts of words and word pairs of texts.

    A Chinese character is a word by itself. Texts without words are equal to each other.
    """
    counts = [_word_counts(text) for text in texts]
    names = dict.fromkeys(name for counted in counts for name in counted)
    columns = {name: column for column, name in enumerate(names)}
    vectors = np.zeros((len(texts), max(1, len(columns))))
    for row, counted in enumerate(counts):
        for name, count in counted.items():
            vectors[row, columns[name]] = count
    return cosine_similarities(vectors)


def ranking_similarities(lists: Sequence[Sequence[Hashable]]) -> Matrix:
    """Return the rank-biased overlaps [n, n] of ranked lists."""
    size = len(lists)
    similarities = np.ones((size, size))
    for i in range(size):
        for j in range(i):
            similarities[i, j] = similarities[j, i] = rank_biased_overlap(lists[i], lists[j])
    return similarities


def _word_counts(text: str) -> Counter[tuple[str, ...]]:
    found = words(text)
    pairs = itertools.pairwise(found)
    return Counter([*((word,) for word in found), *pairs])
