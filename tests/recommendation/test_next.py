"""The family `next`: what it learns, what it may read, and equal bits."""

from __future__ import annotations

import sys
from importlib.metadata import version

import numpy as np
import pytest
import torch

import muniment
from muniment_recommendation.data.catalogue import Catalogue, CatalogueItem
from muniment_recommendation.data.interactions import Interactions
from muniment_recommendation.errors import DataError
from muniment_recommendation.fitting.fit import fit as fit_family
from muniment_recommendation.fitting.options import FitOptions
from muniment_recommendation.generator import RecommendationGenerator
from muniment_recommendation.model_folder.writing import write_fitted
from muniment_recommendation.models.families import family_class
from muniment_recommendation.models.next import Next
from muniment_recommendation.models.next_training import (
    contains,
    exact_results,
    following,
    make_batch,
    windows,
)

ITEMS = 12
SMALL = {"width": 16, "layers": 2, "length": 6, "batch": 64}


def interactions(histories, item_count=ITEMS):
    lengths = [len(history) for history in histories]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.concatenate([np.asarray(history, dtype=np.int32) for history in histories])
    users = tuple(f"u{number}" for number in range(len(histories)))
    return Interactions(users, offsets, rows, np.arange(len(rows)), item_count)


def catalogue(item_count=ITEMS):
    return Catalogue(tuple(CatalogueItem(f"i{number}") for number in range(item_count)))


def cycle(start, length):
    """A history in which each item is followed by the next number, and the last by item 0."""
    return (np.arange(start, start + length) % ITEMS).astype(np.int32)


def fit(histories, seed=0, item_count=ITEMS, **options):
    data = interactions(histories, item_count)
    return Next.fit(data, catalogue(item_count), {**SMALL, **options}, seed)


def best_unseen(model, history):
    """Return the item with the highest score among those that are not in the history."""
    scores = model.scores([history])[0]
    scores[history] = -np.inf
    return int(scores.argmax())


@pytest.fixture(scope="module")
def model():
    histories = [cycle(start, 9) for start in range(ITEMS)] * 3
    return fit(histories, steps=150, learning_rate=0.01, following=1)


@pytest.fixture(scope="module")
def untrained():
    """A model whose scores depend strongly on all that it reads."""
    return fit([cycle(start, 9) for start in range(ITEMS)], steps=1)


def test_the_next_item_of_a_cycle_is_ranked_first(model):
    histories = [cycle(start, length) for start in range(ITEMS) for length in (1, 4, 8)]
    for history in histories:
        assert best_unseen(model, history) == (history[-1] + 1) % ITEMS


def test_item_number_0_is_an_item_like_the_others(model):
    assert best_unseen(model, cycle(8, 4)) == 0
    assert best_unseen(model, cycle(0, 1)) == 1
    with_0, without_0 = model.scores([cycle(0, 3), cycle(1, 2)])
    assert np.abs(with_0 - without_0).max() > 1e-4


def test_a_state_does_not_depend_on_later_items(untrained):
    network = untrained._network
    items = torch.tensor([[3, 1, 4, 0, 5, 9]])
    states = network.states(items)
    for position in range(5):
        changed = items.clone()
        changed[0, position + 1 :] = 7
        assert torch.equal(network.states(changed)[0, : position + 1], states[0, : position + 1])


def test_the_newest_state_is_the_last_of_all_states(untrained):
    network = untrained._network
    items = torch.tensor([[3, 1, 4], [0, 5, 9]])
    newest, states = network.newest_states(items), network.states(items)
    torch.testing.assert_close(newest, states[:, -1])


def test_padding_changes_no_state(untrained):
    data = interactions([cycle(0, 7), cycle(4, 3)])
    starts, ends = data.offsets[:-1], data.offsets[1:]
    batch = make_batch(data, starts, ends)
    assert batch.is_real.sum(axis=1).tolist() == [6, 2]
    states = untrained._network.states(torch.from_numpy(batch.items))
    for number in range(2):
        alone = make_batch(data, starts[number : number + 1], ends[number : number + 1])
        expected = untrained._network.states(torch.from_numpy(alone.items))[0]
        torch.testing.assert_close(states[number, : len(expected)], expected)


def test_a_target_is_the_item_after_the_last_one_read():
    data = interactions([cycle(3, 5), cycle(10, 4)])
    batch = make_batch(data, data.offsets[:-1], data.offsets[1:])
    assert batch.items[batch.is_real].tolist() == [3, 4, 5, 6, 10, 11, 0]
    assert batch.targets[batch.is_real].tolist() == [4, 5, 6, 7, 11, 0, 1]


def test_the_following_items_of_a_state_end_with_its_window():
    data = interactions([[5, 3, 8, 0], [7, 2]])
    batch = make_batch(data, np.array([0, 4]), np.array([4, 6]))
    windows, steps = torch.tensor([0, 0, 1]), torch.tensor([0, 2, 0])
    items, weights = following(batch, windows, steps, 2)
    assert items.tolist() == [[3, 8], [0, 0], [2, 2]]
    torch.testing.assert_close(weights, torch.tensor([[1 / 1.8, 0.8 / 1.8], [1, 0], [1, 0]]))


@pytest.mark.parametrize("softmax_items", [ITEMS, 4])
def test_an_item_that_comes_second_is_learned_with_the_following_ones(softmax_items):
    histories = [[0, 1, 2], [0, 3, 2], [0, 4, 2], [0, 5, 2], [6, 7], [6, 8]] * 4
    options = {"steps": 100, "learning_rate": 0.01, "softmax_items": softmax_items, "negatives": 6}
    next_only, both = (fit(histories, following=count, **options) for count in (1, 2))
    assert best_unseen(next_only, [0]) in {1, 3, 4, 5}
    assert best_unseen(both, [0]) == 2


def test_windows_cover_each_target_and_stay_within_a_user():
    data = interactions([cycle(0, 11), cycle(3, 2), cycle(5, 1), cycle(7, 6)])
    rng = np.random.default_rng(0)
    for _ in range(20):
        starts, ends = windows(data, 4, rng)
        targets = {row for a, b in zip(starts, ends, strict=True) for row in range(a + 1, b)}
        assert targets == set(range(20)) - set(data.offsets[:-1].tolist())
        assert (ends - starts).max() <= 5
        owners = np.searchsorted(data.offsets, starts, side="right")
        assert (owners == np.searchsorted(data.offsets, ends - 1, side="right")).all()


def test_contains_compares_each_row_with_the_whole_sample():
    random = np.random.default_rng(3)
    rows = torch.from_numpy(random.integers(0, 30, (40, 7)))
    for size in (1, 12):  # with repeats
        sample = torch.from_numpy(random.integers(0, 30, size))
        expected = (rows[:, :, None] == sample).any(dim=1)
        assert torch.equal(contains(rows, sample), expected)


@pytest.mark.parametrize("warn_only", [False, True])
@pytest.mark.parametrize("is_deterministic", [False, True])
def test_exact_results_restores_the_settings_of_the_process(is_deterministic, warn_only):
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    threads = torch.get_num_threads()
    try:
        torch.use_deterministic_algorithms(is_deterministic, warn_only=warn_only)
        with exact_results(threads + 1):
            assert torch.are_deterministic_algorithms_enabled()
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
            assert torch.get_num_threads() == threads + 1
        assert torch.are_deterministic_algorithms_enabled() == is_deterministic
        assert torch.is_deterministic_algorithms_warn_only_enabled() == warn_only
        assert torch.get_num_threads() == threads
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def test_scores_alone_and_together_are_equal_bits(model):
    histories = [cycle(start, 1 + start % 9) for start in range(ITEMS)]
    together = model.scores(histories)
    alone = np.concatenate([model.scores([history]) for history in histories])
    assert together.tobytes() == alone.tobytes()


def test_only_the_newest_items_of_a_long_history_are_read(model):
    history = cycle(2, 10)
    assert (model.scores([history]) == model.scores([history[-6:]])).all()
    parts = model.query(history).contributions(np.arange(ITEMS, dtype=np.int32))
    assert (parts[:4] == 0).all()
    assert (parts[4:] != 0).any(axis=1).all()


@pytest.mark.parametrize("length", [1, 3, 6, 7, 10])
def test_contributions_are_differences_without_one_item(model, length):
    history = cycle(1, length)
    items = np.array([0, 5, 11], dtype=np.int32)
    parts = model.query(history).contributions(items)
    rows = [np.delete(history, number) for number in range(length)]
    expected = model.scores([history])[:, items] - model.scores(rows)[:, items]
    newest = slice(max(0, length - SMALL["length"]), None)
    assert parts.shape == (length, 3)
    np.testing.assert_allclose(parts[newest], expected[newest], atol=1e-4)


def test_an_empty_history_scores_by_popularity():
    model = fit([[0, 1], [0, 2], [0, 3], [2, 1]], steps=1)
    empty, again = model.scores([np.array([], dtype=np.int32), np.array([], dtype=np.int32)])
    assert (empty == again).all()
    assert empty.argmax() == 0
    numbers = np.array([3, 0], dtype=np.int32)
    assert (model.baseline(numbers) == empty[numbers]).all()
    query = model.query(np.array([], dtype=np.int32))
    assert (query.scores == empty).all()
    assert query.contributions(np.array([1])).shape == (0, 1)


@pytest.mark.parametrize("softmax_items", [20_000, 4])
def test_equal_seeds_give_equal_bits(softmax_items):
    histories = [cycle(start, 9) for start in range(ITEMS)]
    options = {"steps": 5, "softmax_items": softmax_items, "negatives": 8}
    first, second = (fit(histories, seed=3, **options).arrays() for _ in range(2))
    torch.rand(1)  # the random state of the process is not read
    third = fit(histories, seed=3, **options).arrays()
    other = fit(histories, seed=4, **options).arrays()
    for name in first:
        assert first[name].tobytes() == second[name].tobytes() == third[name].tobytes()
    assert first["items"].tobytes() != other["items"].tobytes()


def test_training_leaves_the_settings_of_torch_unchanged():
    before = torch.get_num_threads(), torch.get_rng_state()
    fit([cycle(0, 5)], steps=1)
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_cycle_is_learned_from_a_sample_of_the_items():
    histories = [cycle(start, 9) for start in range(ITEMS)] * 3
    options = {"steps": 150, "learning_rate": 0.01, "softmax_items": 4, "negatives": 6}
    model = fit(histories, **options)
    for start in range(ITEMS):
        assert best_unseen(model, cycle(start, 4)) == (start + 4) % ITEMS


def test_a_saved_model_gives_equal_scores(model):
    arrays = model.arrays()
    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in arrays.values())
    loaded = Next.from_arrays(arrays, model.values)
    histories = [cycle(start, 5) for start in range(ITEMS)]
    assert loaded.scores(histories).tobytes() == model.scores(histories).tobytes()


def test_weights_that_do_not_fit_are_refused(model):
    arrays = model.arrays()
    with pytest.raises(ValueError, match="items"):
        Next.from_arrays({}, model.values)
    with pytest.raises(ValueError, match="norm"):
        Next.from_arrays({**arrays, "norm": arrays["norm"][:3]}, model.values)
    with pytest.raises(ValueError, match="length"):
        Next.from_arrays(arrays, {k: v for k, v in model.values.items() if k != "length"})
    with pytest.raises(ValueError, match="extra"):
        Next.from_arrays({**arrays, "extra": arrays["norm"]}, model.values)


def test_options_of_other_families_are_ignored():
    model = fit([cycle(0, 8)], steps=1, factors=32)
    assert model.values["steps"] == 1
    assert "factors" not in model.values


def test_the_number_of_steps_follows_from_the_data():
    histories = [cycle(start, 9) for start in range(ITEMS)]
    done = []
    data = interactions(histories)
    options = {**SMALL, "epochs": 2}
    model = Next.fit(data, catalogue(), options, 0, lambda step, steps: done.append((step, steps)))
    assert model.values["steps"] == 4  # 2 epochs of 108 interactions, 64 at a step
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_one_user_of_one_item_scores_by_popularity():
    model = fit([[1]], item_count=2)
    scores = model.scores([np.array([0], dtype=np.int32), np.array([], dtype=np.int32)])
    assert np.isfinite(scores).all()
    assert scores.argmax(axis=1).tolist() == [1, 1]


def test_a_catalogue_of_one_item_has_one_score():
    model = fit([[0], [0]], item_count=1)
    assert np.isfinite(model.scores([np.array([0], dtype=np.int32)])).all()


def test_too_little_memory_is_refused(monkeypatch):
    monkeypatch.setattr(
        "muniment_recommendation.models.next.train", lambda *arguments: torch.empty(2**45)
    )
    data = Interactions(
        ("u",), np.array([0, 2]), np.array([0, 1], np.int32), np.arange(2), item_count=2
    )
    with pytest.raises(DataError, match="memory"):
        fit_family(data, catalogue(2), FitOptions("next"))


def test_one_user_can_be_fitted():
    assert np.isfinite(fit([cycle(0, 8)], steps=3).scores([cycle(0, 8)])).all()


@pytest.mark.parametrize(
    ("options", "name"),
    [({"dropout": 1}, "dropout"), ({"steps": 0}, "steps"),
     ({"width": 10, "heads": 3}, "width"), ({"batch": float("nan")}, "batch")],
)  # fmt: skip
def test_options_that_cannot_be_used_are_refused(options, name):
    with pytest.raises(DataError, match=name):
        fit([cycle(0, 8)], **options)


def test_the_family_is_found_by_its_name():
    assert family_class("next") is Next


def test_a_missing_library_is_an_error_with_the_extra_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "muniment_recommendation.models.next")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(DataError, match=r"muniment-recommendation\[next\]"):
        family_class("next")


def test_the_version_of_torch_is_a_fact_of_the_environment(tmp_path):
    histories = [cycle(start, 5) for start in range(ITEMS)]
    data = interactions(histories)
    fitted = fit_family(data, catalogue(), FitOptions("next", 0, {**SMALL, "steps": 1}))
    training = write_fitted(fitted, tmp_path / "model", data=tmp_path, files=[])
    generator = RecommendationGenerator()
    generator.load(muniment.Model("next", "", str(tmp_path / "model")))
    for environment in (training.environment, generator.environment()):
        assert environment["torch"] == version("torch")
