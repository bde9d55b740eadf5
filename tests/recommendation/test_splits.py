"""Divisions of interactions: the targets, the tested users, ties and seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from hypothesis import given, strategies as st

from muniment_recommendation.data.division import divide_tables
from muniment_recommendation.data.interactions import Interactions
from muniment_recommendation.data.reading import data_of
from muniment_recommendation.data.rows import Rows, TextsBuilder
from muniment_recommendation.data.splits import cold_items, global_time, leave_one_out, shuffle_ties
from muniment_recommendation.data.tables import Tables
from muniment_recommendation.errors import DataError

_Rows = Sequence[tuple[int, int]]  # items and times of one user, the oldest first


def interactions(*users: _Rows, items: int | None = None) -> Interactions:
    rows = [row for user in users for row in user]
    return Interactions(
        tuple(f"u{number}" for number in range(len(users))),
        np.cumsum([0, *map(len, users)]),
        np.array([item for item, _ in rows], np.int32),
        np.array([time for _, time in rows], np.int64),
        items or max((item for item, _ in rows), default=-1) + 1,
    )


_ROWS = st.lists(
    st.tuples(
        *map(st.sampled_from, ("uvw", "abcde")), st.sampled_from(["view", "dislike", "impression"])
    ),
    min_size=1,
    max_size=40,
)


@given(_ROWS, st.sampled_from(["leave-one-out", "global-time"]))
def test_training_parts_of_rows_and_of_interactions_are_the_same(
    rows: list[tuple[str, str, str]], protocol: str
) -> None:
    columns = [TextsBuilder() for _ in range(3)]
    for builder, texts in zip(columns, zip(*rows, strict=True), strict=True):
        builder.add(texts)
    users, items, actions = (builder.finish() for builder in columns)
    whole = Tables(Rows(users, items, np.arange(len(rows)), None, actions))
    try:
        train_rows, _, split = divide_tables(whole, protocol)
        expected = data_of(train_rows).interactions
    except DataError:
        return  # no user can be tested, or nothing is positive
    assert (train_rows.rows.times <= split.ends[0]).all() or protocol == "leave-one-out"
    train = split.train
    for number, user in enumerate(expected.users):
        same = train.user_numbers[user]
        assert train.history(same).tolist() == expected.history(number).tolist()
        assert list(train.disliked.get(same, [])) == list(expected.disliked.get(number, []))
    assert len(train.items) == len(expected.items)


def _pairs(data: Interactions) -> Counter[tuple[int, int]]:
    return Counter(
        (user, int(item)) for user in range(len(data.users)) for item in data.history(user)
    )


_HISTORIES = st.lists(
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 5)), unique_by=lambda row: row[0]).map(
        lambda rows: sorted(rows, key=lambda row: row[1])
    ),
    min_size=1,
    max_size=8,
)


def test_leave_one_out_takes_the_last_item_of_each_user_with_3() -> None:
    data = interactions([(0, 1), (1, 2)], [(2, 1), (0, 5), (1, 9)], [], [(3, 1), (2, 2), (0, 3)])

    split = leave_one_out(data)

    assert split.users.tolist() == [1, 3]
    assert [items.tolist() for items in split.targets] == [[1], [0]]
    assert [items.tolist() for items in split.train.histories()] == [[0, 1], [2, 0], [], [3, 2]]
    assert (split.skipped, split.tied) == (2, 0)


def test_leave_one_out_counts_users_whose_last_timestamp_is_tied() -> None:
    data = interactions([(0, 1), (1, 2), (2, 2)], [(0, 1), (1, 1), (2, 2)], [(0, 3), (1, 3)])

    split = leave_one_out(data)

    assert split.tied == 1  # users without a test are not counted
    assert [items.tolist() for items in split.targets] == [[2], [2]]


def test_global_time_takes_later_items_of_users_with_earlier_ones() -> None:
    data = interactions(
        [(0, 1), (1, 2), (2, 9), (3, 10)],
        [(4, 8), (5, 9), (6, 10)],
        [(0, 1), (1, 2), (2, 3)],
        [(3, 1), (0, 9)],
    )

    split = global_time(data, quantile=0.5)  # 12 times, of which the sixth is 3

    assert split.users.tolist() == [0]
    assert [items.tolist() for items in split.targets] == [[2, 3]]
    assert split.train.times.max() <= 3
    assert split.skipped == 3


def test_global_time_of_one_moment_tests_nobody() -> None:
    split = global_time(interactions([(0, 5), (1, 5), (2, 5)]))

    assert (len(split.users), split.skipped) == (0, 1)


def test_global_time_of_no_rows_tests_nobody() -> None:
    assert global_time(interactions([])).skipped == 1


@given(_HISTORIES)
def test_global_time_trains_on_nothing_later_than_a_target(histories: list[_Rows]) -> None:
    data = interactions(*histories, items=16)
    split = global_time(data)

    targets = Counter(
        (int(user), int(item))
        for user, items in zip(split.users, split.targets, strict=True)
        for item in items
    )
    times = {(user, item): time for user, rows in enumerate(histories) for item, time in rows}
    if targets and len(split.train.times):
        assert min(times[pair] for pair in targets) > split.train.times.max()
    assert not targets & _pairs(split.train)


def test_cold_items_hides_a_fifth_of_the_items_with_interactions() -> None:
    histories = [[(item, item) for item in range(user, user + 20)] for user in range(31)]
    data = interactions(*histories, items=80)

    split = cold_items(data, seed=1)

    assert len(split.hidden) == 10
    assert split.hidden.max() < 50  # the others have no interaction
    assert not split.train.counts()[split.hidden].any()
    for user, items in zip(split.users, split.targets, strict=True):
        assert items.tolist() == [i for i in data.history(user) if i in split.hidden]
    assert len(split.users) + split.skipped == 31


def test_cold_items_depend_on_the_seed_alone() -> None:
    data = interactions(*[[(item, 1) for item in range(30)]] * 3)

    assert (cold_items(data, 4).hidden == cold_items(data, 4).hidden).all()
    assert (cold_items(data, 4).hidden != cold_items(data, 5).hidden).any()


@given(_HISTORIES, st.integers(0, 5))
def test_train_and_targets_are_the_interactions_of_the_tested_users(
    histories: list[_Rows], seed: int
) -> None:
    data = interactions(*histories, items=16)
    for split in (leave_one_out(data), cold_items(data, seed)):
        targets = Counter(
            (int(user), int(item))
            for user, items in zip(split.users, split.targets, strict=True)
            for item in items
        )
        assert all(count == 1 for count in (targets + _pairs(split.train)).values())
        tested = set(split.users.tolist())
        assert {pair for pair in _pairs(data) if pair[0] in tested} == {
            pair for pair in targets + _pairs(split.train) if pair[0] in tested
        }
        assert split.skipped == len(data.users) - len(tested)


@given(_HISTORIES, st.integers(0, 5))
def test_shuffles_change_the_order_of_equal_timestamps_only(
    histories: list[_Rows], seed: int
) -> None:
    data = interactions(*histories, items=16)
    shuffled = shuffle_ties(data, seed)

    assert (shuffled.times == data.times).all()
    assert (shuffled.offsets == data.offsets).all()
    for user in range(len(data.users)):
        rows = slice(data.offsets[user], data.offsets[user + 1])
        before = Counter(zip(data.items[rows], data.times[rows], strict=True))
        assert before == Counter(zip(shuffled.items[rows], data.times[rows], strict=True))


def test_shuffles_of_seeds_differ_and_repeat() -> None:
    data = interactions([(item, 1) for item in range(20)])

    assert (shuffle_ties(data, 1).items == shuffle_ties(data, 1).items).all()
    assert (shuffle_ties(data, 1).items != shuffle_ties(data, 2).items).any()
