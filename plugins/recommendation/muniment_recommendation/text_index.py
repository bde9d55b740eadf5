"""The similarity of texts by TF-IDF: rare tokens that two texts share make them similar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from .data.catalogue import CatalogueItem
from .tokens import tokens, weight


def item_text(item: CatalogueItem) -> str:
    """Return the text by which an item is found. Title and tags stand in it twice."""
    tags = ", ".join(item.tags)
    return "\n".join((item.title, tags, item.title, tags, item.text))


class TextIndex:
    """The texts of items as rows of unit length, over a sorted vocabulary.

    `matrix` is [items, vocabulary]. An entry is this product, divided by the length of its row:

        (1 + ln count in the text) · ln((texts + 1) / texts with the token) · weight of the token
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        frequencies: NDArray[np.float64],
        matrix: scipy.sparse.csr_array,
    ) -> None:
        self.vocabulary = tuple(vocabulary)
        self.matrix = matrix
        self._frequencies = frequencies
        self._columns = {token: column for column, token in enumerate(self.vocabulary)}

    @classmethod
    def fit(cls, texts: Sequence[str]) -> Self:
        """Return the index of texts, one for each item of the catalogue."""
        counts = [Counter(tokens(text)) for text in texts]
        texts_with = Counter(token for count in counts for token in count)
        vocabulary = sorted(texts_with)
        frequencies = np.array(
            [np.log((len(texts) + 1) / texts_with[token]) * weight(token) for token in vocabulary]
        )
        index = cls(vocabulary, frequencies, scipy.sparse.csr_array((0, len(vocabulary))))
        index.matrix = index._rows(counts)
        return index

    def query(self, text: str) -> scipy.sparse.csr_array:
        """Return the row [1, vocabulary] of a wish. It is empty where no token is known."""
        return self._rows([Counter(tokens(text))])

    def similarities(self, query: scipy.sparse.csr_array) -> NDArray[np.float64]:
        """Return the cosines [items] of all items with a row that `query` returned."""
        # Of a wish with few tokens, only their columns are read.
        result: NDArray[np.float64] = self._by_token[:, query.indices] @ query.data
        return result

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
        vocabulary = arrays["vocabulary"].tobytes().decode().split("\n")
        if vocabulary == [""]:
            vocabulary = []
        frequencies, offsets = arrays["frequencies"], arrays["offsets"]
        if len(frequencies) != len(vocabulary):
            raise ValueError(f"{len(frequencies)} frequencies of {len(vocabulary)} tokens")
        matrix = scipy.sparse.csr_array(
            (arrays["values"], arrays["columns"], offsets),
            shape=(len(offsets) - 1, len(vocabulary)),
        )
        matrix.check_format()
        return cls(vocabulary, frequencies, matrix)

    @cached_property
    def _by_token(self) -> scipy.sparse.csc_array:
        return self.matrix.tocsc()

    def _rows(self, counts: Sequence[Counter[str]]) -> scipy.sparse.csr_array:
        columns: list[int] = []
        values: list[float] = []
        offsets = [0]
        for count in counts:
            known = sorted((self._columns[t], n) for t, n in count.items() if t in self._columns)
            row = [(1 + np.log(n)) * self._frequencies[column] for column, n in known]
            length = float(np.sqrt(np.square(row).sum())) or 1.0
            columns += [column for column, _ in known]
            values += [value / length for value in row]
            offsets.append(len(columns))
        arrays = (np.array(values, float), np.array(columns, np.int32), np.array(offsets, np.int64))
        return scipy.sparse.csr_array(arrays, shape=(len(counts), len(self.vocabulary)))
