"""The similarity of texts by TF-IDF: rare tokens that two texts share make them similar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from muniment_recommendation.data.catalogue import CatalogueItem
from muniment_recommendation.data.sparse_rows import compact

from .tokens import chinese_script, tokens, weight
from .wishes import divide_wish

# The part of its length by which a text is divided, beside the mean length. With 1 instead of
# 0.25, the NDCG@10 of genres as wishes falls from .318 to .266 (MovieLens-100K).
_LENGTH_SHARE = 0.25


def item_text(item: CatalogueItem) -> str:
    """Return the text by which an item is found. Its tags stand in it twice."""
    tags = ", ".join(item.tags)
    return "\n".join((item.title, tags, item.text, tags))


class TextIndex:
    """The texts of items as rows of weights, over a sorted vocabulary.

    `matrix` is [items, vocabulary]. An entry is this product, divided by the length of the text:

        (1 + ln count in the text) · ln((texts + 1) / texts with the token) · weight of the token

    The length counts frequent and rare tokens alike. In a cosine, the rare words of a text would
    count against it, although a wish or another text need not name them. Most of the length is the
    mean of all texts (pivoted normalisation, Singhal, Buckley and Mitra, SIGIR 1996).
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        frequencies: NDArray[np.float64],
        matrix: scipy.sparse.csr_array,
    ) -> None:
        self.vocabulary = tuple(vocabulary)
        self.matrix = compact(matrix)
        self._frequencies = frequencies
        self._columns = {token: column for column, token in enumerate(self.vocabulary)}

    @classmethod
    def fit(cls, texts: Sequence[str]) -> Self:
        """Return the index of texts, one for each item of the catalogue."""
        counts = [Counter(tokens(text)) for text in texts]
        texts_with = Counter(token for count in counts for token in count)
        vocabulary = sorted(texts_with)
        shares = np.array([texts_with[token] for token in vocabulary]) / max(len(texts), 1)
        weights = np.array([weight(*pair) for pair in zip(vocabulary, shares, strict=True)])
        frequencies = np.log((1 + 1 / max(len(texts), 1)) / shares) * weights
        columns = {token: column for column, token in enumerate(vocabulary)}
        rows = _rows(counts, columns, frequencies)
        lengths = _lengths(_rows(counts, columns, weights))
        lengths = (1 - _LENGTH_SHARE) * (lengths.mean() or 1.0) + _LENGTH_SHARE * lengths
        return cls(vocabulary, frequencies, _divided(rows, lengths))

    def query(self, wish: str) -> scipy.sparse.csr_array:
        """Return the row [1, vocabulary] of a wish, of length 1. It is empty without known tokens.

        Unwanted tokens have negative values.
        """
        wanted, unwanted = divide_wish(wish)
        counts = (Counter(wanted), Counter(unwanted))
        positive, negative = (_rows([c], self._columns, self._frequencies) for c in counts)
        row = scipy.sparse.csr_array(positive - negative)
        return _divided(row, _lengths(row))

    def similarities(self, query: scipy.sparse.csr_array) -> NDArray[np.float64]:
        """Return the similarities [items] of all items with a row that `query` returned."""
        # Of a wish with few tokens, only their columns are read.
        similarities: NDArray[np.float64] = self._by_token[:, query.indices] @ query.data
        return similarities

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the index by name. The vocabulary is UTF-8 text in lines."""
        lines = "\n".join(self.vocabulary).encode()
        return {
            "vocabulary": np.frombuffer(lines, dtype=np.uint8),
            "frequencies": self._frequencies,
            "values": self.matrix.data,
            "columns": self.matrix.indices.astype(np.int32),
            "offsets": self.matrix.indptr.astype(np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the index of saved arrays. Raise ValueError if they do not fit."""
        text = arrays["vocabulary"].tobytes().decode()
        vocabulary = text.split("\n") if text else []
        frequencies = arrays["frequencies"]
        shape = (len(arrays["offsets"]) - 1, len(vocabulary))
        if frequencies.shape != (len(vocabulary),):
            raise ValueError(f"{len(frequencies)} frequencies of {len(vocabulary)} tokens")
        matrix = scipy.sparse.csr_array(
            (arrays["values"], arrays["columns"], arrays["offsets"]), shape=shape
        )
        matrix.check_format()
        return cls(vocabulary, frequencies, matrix)

    @cached_property
    def script(self) -> Literal["traditional", "simplified"] | None:
        """The script of the Chinese characters of the texts, or None for neither or both."""
        return chinese_script(token for token in self.vocabulary if len(token) == 1)

    @cached_property
    def _by_token(self) -> scipy.sparse.csc_array:
        return self.matrix.tocsc()


def _rows(
    counts: Sequence[Counter[str]], columns: Mapping[str, int], factors: NDArray[np.float64]
) -> scipy.sparse.csr_array:
    """Return the rows of (1 + ln count) · factor of the known tokens, columns in order."""
    entries = [
        sorted((columns[token], number) for token, number in count.items() if token in columns)
        for count in counts
    ]
    offsets = np.cumsum([0, *map(len, entries)], dtype=np.int64)
    flat = np.array([pair for row in entries for pair in row], np.int64).reshape(-1, 2)
    places = flat[:, 0].astype(np.int32)
    values = (1 + np.log(flat[:, 1])) * factors[places]
    return scipy.sparse.csr_array((values, places, offsets), shape=(len(counts), len(columns)))


def _lengths(rows: scipy.sparse.csr_array) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = (rows * rows).sum(axis=1)
    return np.sqrt(squares)


def _divided(rows: scipy.sparse.csr_array, lengths: NDArray[np.float64]) -> scipy.sparse.csr_array:
    """Return the rows divided by their lengths, none of which is 0 for a row with entries."""
    values = rows.data / np.repeat(lengths, np.diff(rows.indptr))
    return scipy.sparse.csr_array((values, rows.indices, rows.indptr), shape=rows.shape)
