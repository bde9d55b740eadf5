"""Measures of sets of pictures, over their features [N, D].

The Fréchet distance compares the means and covariances of two sets (Heusel et al. 2017, "GANs
Trained by a Two Time-Scale Update Rule"). Its value depends on the features, so it is named
`FD-<features>`. It is never called FID, which belongs to the features of Inception.

Precision and recall are those of Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric
for Assessing Generative Models". A set's manifold is the union of the balls around its members
that reach to their third-nearest neighbours. Precision is the share of generated pictures in the
manifold of the real ones. Recall is the share of real pictures in that of the generated ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

_NEIGHBOUR = 3
_ROWS = 512  # rows of a matrix of distances that are computed at once


def frechet_distance(one: Tensor, other: Tensor) -> float:
    """Return the Fréchet distance of two sets of features [N, D] and [M, D].

    |μ₁ − μ₂|² + tr(C₁ + C₂ − 2 (C₁ C₂)^½), in double precision. The trace of the root is the sum
    of the roots of the eigenvalues of C₁^½ C₂ C₁^½, which is symmetric. Raises ValueError if a set
    has fewer than two members or a feature is not a number.
    """
    first, second = one.double(), other.double()
    for features in (first, second):
        if len(features) < 2:
            raise ValueError("a Fréchet distance needs at least two pictures of each kind")
        if not torch.isfinite(features).all():
            raise ValueError("a feature is not a number")
    difference = first.mean(dim=0) - second.mean(dim=0)
    # The covariance of one feature is a number.
    covariance, other_covariance = (
        torch.cov(features.T).reshape(features.shape[1], features.shape[1])
        for features in (first, second)
    )
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    product = torch.linalg.eigvalsh(root @ other_covariance @ root)
    traces = covariance.trace() + other_covariance.trace()
    distance = difference @ difference + traces - 2 * product.clamp(min=0).sqrt().sum()
    return max(0.0, float(distance))


def precision_and_recall(real: Tensor, generated: Tensor) -> tuple[float, float]:
    """Return precision and recall of generated features [M, D] against real ones [N, D].

    Raises ValueError if a set has fewer than four members.
    """
    if min(len(real), len(generated)) <= _NEIGHBOUR:
        raise ValueError(f"precision and recall need more than {_NEIGHBOUR} pictures of each kind")
    precision = _share_inside(generated, real, _radii(real))
    recall = _share_inside(real, generated, _radii(generated))
    return precision, recall


def _radii(features: Tensor) -> Tensor:
    """Return the distances [N] of features [N, D] to their third-nearest neighbours."""
    return torch.cat(
        [
            # The nearest one is the member itself.
            _distances(rows, features).kthvalue(_NEIGHBOUR + 1, dim=1).values
            for rows in features.split(_ROWS)
        ]
    )


def _share_inside(features: Tensor, members: Tensor, radii: Tensor) -> float:
    """Return the share of features [N, D] in a ball of radius [M] around a member [M, D]."""
    inside = [
        (_distances(rows, members) <= radii).any(dim=1).double() for rows in features.split(_ROWS)
    ]
    return torch.cat(inside).mean().item()


def _distances(one: Tensor, other: Tensor) -> Tensor:
    """Return the distances [N, M] of two sets of features, which are 0 for equal ones."""
    # As a matrix product, which is the default, equal features have distances of about 1e-3.
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist")


def nearest_distances(features: Tensor, members: Tensor) -> Tensor:
    """Return the distances [N] of features [N, D] to their nearest members [M, D].

    A member itself has the distance 0, and equal pictures of two sets have equal distances.
    """
    distances = []
    for rows in features.split(_ROWS):
        # The search is a matrix product, which is fast for pixels and errs by about 1e-2. So the
        # distance to the result is computed again.
        nearest = members[torch.cdist(rows, members).argmin(dim=1)]
        distances.append((rows - nearest).norm(dim=1))
    return torch.cat(distances)


def copied_share(generated: Tensor, training: Tensor, unseen: Tensor) -> float:
    """Return the share of generated pictures that lie nearer to training than to unseen pictures.

    All are [N, D]. A generator that copies nothing has about one half if there are as many
    training as unseen pictures. A tie counts as one half.
    """
    to_training = nearest_distances(generated, training)
    to_unseen = nearest_distances(generated, unseen)
    nearer = (to_training < to_unseen).double() + 0.5 * (to_training == to_unseen).double()
    return nearer.mean().item()
