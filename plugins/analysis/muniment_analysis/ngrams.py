"""The share of distinct n-grams of words.

It is from Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation
Models". They divide by the number of words, which is larger by n − 1 for each text. Their value
cannot reach 1 for n > 1.
"""

from __future__ import annotations

from collections.abc import Sequence


def distinct_ngrams(word_lists: Sequence[Sequence[str]], size: int) -> float | None:
    """Return the share of distinct n-grams of `size` words, or None without an n-gram.

    An n-gram never spans two lists.
    """
    ngrams = [
        tuple(words[index : index + size])
        for words in word_lists
        for index in range(len(words) - size + 1)
    ]
    return len(set(ngrams)) / len(ngrams) if ngrams else None
