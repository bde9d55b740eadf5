"""Measures of sets of features, on sets whose values are known."""

from __future__ import annotations

import math

import pytest
import torch

from muniment_image.intervals import bootstrap
from muniment_image.measures import (
    copied_share,
    frechet_distance,
    nearest_distances,
    precision_and_recall,
)


def _normal(rows: int, columns: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def test_frechet_distance_of_a_shifted_set_is_the_squared_shift():
    features = _normal(400, 5, 1)
    shift = torch.tensor([1.0, -2.0, 0.0, 0.0, 0.5])

    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(features, features + shift) == pytest.approx(5.25, rel=1e-6)


def test_frechet_distance_of_a_scaled_set_has_the_closed_form():
    features = _normal(300, 3, 2).double()
    features -= features.mean(dim=0)
    trace = torch.cov(features.T).trace().item()

    # tr(C + 9C - 2·3C) = 4 tr(C)
    assert frechet_distance(features, 3 * features) == pytest.approx(4 * trace, rel=1e-9)


def test_frechet_distance_of_correlated_sets_equals_the_general_matrix_root():
    one, other = (
        _normal(200, 4, 3).double(),
        _normal(150, 4, 4).double() @ _normal(4, 4, 5).double(),
    )
    product = torch.linalg.eigvals(torch.cov(one.T) @ torch.cov(other.T)).sqrt().sum().real
    expected = (
        (one.mean(0) - other.mean(0)).square().sum()
        + torch.cov(one.T).trace()
        + torch.cov(other.T).trace()
        - 2 * product
    )

    assert frechet_distance(one, other) == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize("rows", [0, 1])
def test_frechet_distance_of_too_few_pictures_is_refused(rows: int):
    with pytest.raises(ValueError, match="two"):
        frechet_distance(_normal(rows, 3, 1), _normal(9, 3, 2))


def test_frechet_distance_of_features_that_are_not_numbers_is_refused():
    features = _normal(9, 3, 1)
    features[4, 1] = math.nan

    with pytest.raises(ValueError, match="not a number"):
        frechet_distance(_normal(9, 3, 2), features)


def test_precision_and_recall_tell_quality_from_variety():
    corners = torch.tensor([[0.0, 0.0], [100.0, 0.0]])
    real = torch.cat([_normal(50, 2, 1) + corner for corner in corners])
    one_corner = _normal(50, 2, 2)

    precision, recall = precision_and_recall(real, one_corner)
    assert precision > 0.9
    assert 0.3 < recall <= 0.5  # only one of two corners is drawn

    precision, recall = precision_and_recall(real, _normal(50, 2, 3) + 5000)
    assert (precision, recall) == (0, 0)

    assert precision_and_recall(real, real) == (1, 1)


def test_precision_and_recall_of_three_pictures_is_refused():
    with pytest.raises(ValueError, match="more than 3"):
        precision_and_recall(_normal(3, 2, 1), _normal(9, 2, 2))


def test_precision_and_recall_do_not_depend_on_the_rows_computed_at_once():
    real, generated = _normal(700, 3, 1), _normal(600, 3, 2)
    distances = torch.cdist(real.double(), real.double()).sort(dim=1).values[:, 3]
    inside = torch.cdist(generated.double(), real.double()) <= distances
    expected = inside.any(dim=1).double().mean().item()

    assert precision_and_recall(real, generated)[0] == pytest.approx(expected, abs=0.005)


def test_copies_of_training_pictures_are_seen():
    training, unseen = _normal(200, 8, 1), _normal(200, 8, 2)

    assert copied_share(training[:50], training, unseen) == 1
    assert copied_share(unseen[:50], training, unseen) == 0
    assert copied_share(_normal(400, 8, 3), training, unseen) == pytest.approx(0.5, abs=0.1)
    assert copied_share(unseen[:50], unseen, unseen) == 0.5


def test_nearest_distance_is_zero_for_a_member_and_known_for_another():
    members = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    rows = torch.tensor([[3.0, 4.0], [0.0, 1.0]])

    assert nearest_distances(rows, members).tolist() == pytest.approx([0, 1], abs=1e-3)


def test_distances_to_many_members_are_exact_for_copies_and_ties():
    members = _normal(1000, 3072, 1)
    copies = members[:40]

    assert nearest_distances(copies, members).tolist() == [0.0] * 40
    others = torch.cat([copies.flip(0), _normal(500, 3072, 2)])
    assert copied_share(copies, members, others) == 0.5


def test_precision_and_recall_of_equal_pictures_are_one():
    pictures = _normal(1, 128, 1).repeat(40, 1)

    assert precision_and_recall(pictures, pictures[:30]) == (1, 1)


def test_bootstrap_interval_of_a_mean_covers_it_and_repeats():
    values = _normal(500, 1, 1)[:, 0]

    low, high = bootstrap(lambda rows: values[rows].mean().item(), 500)

    assert low < values.mean().item() < high
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(500), rel=0.25)
    assert (low, high) == bootstrap(lambda rows: values[rows].mean().item(), 500)
