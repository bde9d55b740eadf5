"""EASE: a linear model between items that has a closed form.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, equation 8:

    G = XᵀX + λI,  P = G⁻¹,  B = I − P / diag(P)

X has the interactions, and B has the weights between items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import scipy.linalg

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions

from .base import Progress
from .item_matrix import ItemMatrix, as_saved


class Ease(ItemMatrix):
    """The weights between all items, with a history that is weighted by recency.

    The option `regularization` is the λ of the paper.
    """

    family = "ease"
    choices: ClassVar[Mapping[str, tuple[float, ...]]] = {"half_life": (2, 4, 8, 16, 1e6)}
    options: ClassVar[Mapping[str, int | float | None]] = {"regularization": 400.0}

    @classmethod
    def fit(
        cls,
        data: Interactions,
        catalogue: Catalogue,
        options: Mapping[str, Any],
        seed: int,
        progress: Progress | None = None,
    ) -> Self:
        """Invert the Gram matrix [I, I]. Memory and time are quadratic and cubic in the items."""
        users = data.matrix()
        gram = (users.T @ users).toarray()
        gram[np.diag_indices_from(gram)] += cls.option(options, "regularization")
        weights = _inverse(gram)
        weights /= -np.diag(weights)
        np.fill_diagonal(weights, 0.0)
        return cls(as_saved(weights), {"half_life": 1e6, "floor": 0.1})


def _inverse(gram: np.ndarray) -> np.ndarray:
    """Return the inverse of a positive definite matrix, from its Cholesky factor."""
    factor, info = scipy.linalg.lapack.dpotrf(gram.T, overwrite_a=True)
    inverse, info_inverse = scipy.linalg.lapack.dpotri(factor, overwrite_c=True)
    if info or info_inverse:
        raise np.linalg.LinAlgError("the Gram matrix is not positive definite")
    symmetric: np.ndarray = np.triu(inverse) + np.triu(inverse, 1).T
    return symmetric
