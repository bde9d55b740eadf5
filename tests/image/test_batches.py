"""The batches of a training: order, conditions and random changes of pictures."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from muniment_image.batches import Batches
from muniment_image.dataset_conditions import condition_of
from muniment_image.dataset_folder import DatasetError, Item
from muniment_image.datasets import Dataset
from support.trainings import make_data


def make_batches(count: int = 10, batch: int = 4, **options: Any) -> Batches:
    data = make_data(count)
    condition = condition_of(data, options.pop("condition", "none"))
    return Batches(data, condition, batch=batch, seed=options.pop("seed", 1), **options)


@pytest.mark.parametrize(("count", "batch"), [(10, 4), (3, 8), (1, 2), (8, 8)])
def test_batches_have_one_size_and_every_epoch_has_each_picture_once(
    count: int, batch: int
) -> None:
    batches = make_batches(count, batch)
    indices = np.concatenate([batches.indices(step) for step in range(2 * count)])
    assert len(indices) == 2 * count * batch
    for epoch in range(2 * batch):
        assert sorted(indices[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_epochs_have_different_orders() -> None:
    batches = make_batches(50, 50)
    assert batches.indices(0).tolist() != batches.indices(1).tolist()


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    options = {"augment": ("flip", "shift"), "condition": "caption"}
    first, second = make_batches(**options), make_batches(**options)
    for step in (0, 1, 2):
        first.read(step)
    for ours, theirs in zip(first.read(5), second.read(5), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(first.read(5)[0], make_batches(seed=2, **options).read(5)[0])


def test_pictures_become_numbers_from_minus_one_to_one() -> None:
    data = make_data(4)
    images, conditions = Batches(data, condition_of(data, "none"), batch=4, seed=1).read(0)
    assert conditions is None
    assert images.shape == (4, 3, 8, 8)
    pixels = ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    order = Batches(data, condition_of(data, "none"), batch=4, seed=1).indices(0)
    assert (pixels == data.pixels[order]).all()


def test_conditions_belong_to_their_pictures() -> None:
    data = make_data(10)
    condition = condition_of(data, "label")
    batches = Batches(data, condition, batch=10, seed=1)
    ids = batches.read(0)[1]
    expected = [condition.encode(data.items[index].label) for index in batches.indices(0)]
    assert ids.tolist() == [list(row) for row in expected]


def test_each_caption_of_a_picture_is_used() -> None:
    batches = make_batches(1, 2, condition="caption")
    rows = Counter(tuple(row) for step in range(20) for row in batches.read(step)[1].tolist())
    assert len(rows) == 2
    assert min(rows.values()) > 5


def test_flips_and_shifts_change_some_pictures() -> None:
    plain = make_batches(6, 6).read(0)[0]
    flipped = make_batches(6, 6, augment=("flip",)).read(0)[0]
    changed = [not torch.equal(one, other) for one, other in zip(plain, flipped, strict=True)]
    assert 0 < sum(changed) < 6
    mirrored = plain.flip(3)
    assert all(
        torch.equal(flipped[row], (mirrored if changed[row] else plain)[row]) for row in range(6)
    )
    shifted = make_batches(6, 6, augment=("shift",)).read(0)[0]
    assert not torch.equal(shifted, plain)


def test_a_caption_without_content_words_is_named() -> None:
    data = make_data(2)
    items = (data.items[0], Item("empty.png", None, ("the",)))
    bad = Dataset(data.pixels, items, (), data.folder, (), data.fingerprints)
    with pytest.raises(DatasetError, match=r"empty\.png"):
        Batches(bad, condition_of(bad, "caption"), batch=2, seed=1)


def test_a_caption_that_is_too_long_is_named() -> None:
    data = make_data(2)
    long = " ".join(f"word{number}" for number in range(65))
    items = (data.items[0], Item("long.png", None, (long,)))
    bad = Dataset(data.pixels, items, (), data.folder, (), data.fingerprints)
    with pytest.raises(DatasetError, match=r"long\.png"):
        condition_of(bad, "caption")
