"""Reading tables of interactions: forms, ids, repeats, ratings, actions and notes."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from muniment_recommendation.data.reading import Data, data_of, read_data
from muniment_recommendation.data.rows import Rows, TextsBuilder
from muniment_recommendation.data.splits import shuffle_ties
from muniment_recommendation.data.tables import Tables, read_tables
from muniment_recommendation.errors import DataError
from support import tables

HEADER = tables.HEADER


def histories(data: Data) -> dict[str, list[str]]:
    """Return the ids of the items of each user."""
    items = data.catalogue.items
    return {
        user: [items[number].id for number in data.interactions.history(place)]
        for place, user in enumerate(data.interactions.users)
    }


def disliked(data: Data) -> dict[str, set[str]]:
    return {
        data.interactions.users[user]: {data.catalogue.items[number].id for number in numbers}
        for user, numbers in data.interactions.disliked.items()
    }


def read_text(folder: Path, *lines: str, min_rating: float | None = None) -> Data:
    return read_data(tables.write_folder(folder, "\n".join(lines)), min_rating=min_rating)


def note_of(data: Data, part: str) -> str:
    """Return the only note with a text."""
    [note] = [note for note in data.notes if part in note]
    return note


# ---- forms of the same table -------------------------------------------------------------------


def test_plain_table_is_read_in_the_order_of_time(tmp_path: Path) -> None:
    data = read_data(tables.write_plain(tmp_path / "data"))
    expected: dict[str, list[str]] = {}
    for user, item, _ in tables.sampled_rows():
        expected.setdefault(user, []).append(item)
    assert histories(data) == expected
    assert data.interactions.users == tuple(sorted(expected))
    assert [item.id for item in data.catalogue.items] == sorted(
        {item for items in expected.values() for item in items}
    )
    assert data.interactions.times[0] == 1_700_000_000_000_000
    assert (data.notes, data.repeats, data.files) == ((), 0, ("interactions.csv",))


@pytest.mark.parametrize("name", tables.VARIANTS)
def test_variant_of_the_table_is_the_same_data(tmp_path: Path, name: str) -> None:
    plain = read_data(tables.write_plain(tmp_path / "plain"))
    data = read_data(tables.VARIANTS[name](tmp_path / "variant"))
    assert data.digest == plain.digest
    assert np.array_equal(data.interactions.items, plain.interactions.items)
    assert data.catalogue == plain.catalogue


def test_atomic_files_are_the_same_data_as_csv(tmp_path: Path) -> None:
    text = tables.text_of(tables.sampled_rows(), "user_id:token,item_id:token,timestamp:float")
    data = read_data(tables.write_atomic(tmp_path / "atomic", text))
    assert data.digest == read_data(tables.write_plain(tmp_path / "plain")).digest
    assert data.files == ("data.inter",)


def test_digest_depends_on_rows_items_and_dislikes(tmp_path: Path) -> None:
    rows = [f"{HEADER},action", "u,a,1,like", "u,b,2,like", "v,a,3,like"]
    digests = {
        read_text(tmp_path / "1", *rows).digest,
        read_text(tmp_path / "2", *rows[:-1]).digest,
        read_text(tmp_path / "3", *rows, "v,b,9,dislike").digest,
        read_text(tmp_path / "4", *rows[:-1], "v,a,4,like").digest,
        read_data(tables.write_folder(tmp_path / "5", "\n".join(rows), "item,tags\na,x\n")).digest,
    }
    assert len(digests) == 5


# ---- ids ---------------------------------------------------------------------------------------


def test_ids_stay_as_they_are_written(tmp_path: Path) -> None:
    data = read_data(tables.write_awkward_ids(tmp_path / "data"))
    assert histories(data) == {user: list(tables.AWKWARD_ITEMS) for user in tables.AWKWARD_USERS}
    assert "'007'" in note_of(data, "users")
    assert "'7'" in note_of(data, "users")


def test_atomic_ids_keep_their_quotation_marks(tmp_path: Path) -> None:
    header = "user_id:token,item_id:token,timestamp:float"
    folder = tables.write_atomic(tmp_path / "data", f'{header}\nu,"a,1\nu,b"c,2\n')
    assert histories(read_data(folder)) == {"u": ['"a', 'b"c']}


@pytest.mark.parametrize("line", [",a,2", "v,,2", " ,a,2"])
def test_blank_id_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"interactions\.csv, line 3: the (user|item) has no id"):
        read_text(tmp_path / "data", HEADER, "u,a,1", line)


def test_very_long_id_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 3: .* more than 1,000 characters"):
        read_text(tmp_path / "data", HEADER, "u,a,1", f"u,{'x' * 5000},2")


# ---- times -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1700000000", "1700000001"),
        ("1700000000.0", "1700000001.0"),
        ("1.7e9", "1.700000001e9"),
        ("1700000000000", "1700000001000"),
        ("1700000000000000", "1700000001000000"),
        ("1700000000000000000", "1700000001000000000"),
        ("2023-11-14T22:13:20", "2023-11-14 22:13:21"),
        ("2023-11-14T22:13:20Z", "2023-11-15T00:13:21+02:00"),
    ],
)
def test_forms_of_time_are_microseconds(tmp_path: Path, first: str, second: str) -> None:
    data = read_text(tmp_path / "data", HEADER, f"u,b,{second}", f"u,a,{first}")
    assert data.interactions.times.tolist() == [1_700_000_000_000_000, 1_700_000_001_000_000]
    assert histories(data) == {"u": ["a", "b"]}


def test_times_within_one_millisecond_are_ordered_and_not_tied(tmp_path: Path) -> None:
    data = read_text(tmp_path / "data", HEADER, "u,b,1700000000000002", "u,a,1700000000000001")
    assert histories(data) == {"u": ["a", "b"]}
    assert not [note for note in data.notes if "tied" in note]
    assert (shuffle_ties(data.interactions, 1).items == data.interactions.items).all()
    assert (shuffle_ties(data.interactions, 2).items == data.interactions.items).all()


def test_zero_is_a_time_of_every_unit(tmp_path: Path) -> None:
    data = read_text(tmp_path / "data", HEADER, "u,b,1700000000000", "u,a,0")
    assert histories(data) == {"u": ["a", "b"]}


def test_times_before_1970_are_read(tmp_path: Path) -> None:
    data = read_text(tmp_path / "data", HEADER, "u,b,5", "u,a,-86400")
    assert data.interactions.times.tolist() == [-86_400_000_000, 5_000_000]


@pytest.mark.parametrize("times", [(46022, 46024), ("46022.0", "46023.5")])
def test_days_of_excel_are_noted(tmp_path: Path, times: tuple[object, object]) -> None:
    data = read_text(tmp_path / "data", HEADER, f"u,b,{times[1]}", f"u,a,{times[0]}")
    assert histories(data) == {"u": ["a", "b"]}
    assert any("Excel" in note for note in data.notes)


@pytest.mark.parametrize("times", [(1, 2), (46022, 1_700_000_000), (0, 0)])
def test_other_small_times_are_not_taken_for_days_of_excel(
    tmp_path: Path, times: tuple[int, int]
) -> None:
    data = read_text(tmp_path / "data", HEADER, f"u,a,{times[0]}", f"u,b,{times[1]}")
    assert not any("Excel" in note for note in data.notes)


def test_mixed_times_are_refused_with_their_lines(tmp_path: Path) -> None:
    rows = ["u,a,1700000000", "u,b,1700000000000", "u,c,2023-11-14T22:13:20"]
    with pytest.raises(DataError) as raised:
        read_text(tmp_path / "data", HEADER, *rows)
    for part in ("seconds in line 2", "milliseconds in line 3", "ISO 8601 in line 4"):
        assert part in str(raised.value)


def test_mixed_units_far_apart_are_refused(tmp_path: Path) -> None:
    rows = [f"u{place},a,1700000000" for place in range(10_000)]
    with pytest.raises(DataError, match="milliseconds in line 10002"):
        read_text(tmp_path / "data", HEADER, *rows, "u,b,1700000000000")


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "yesterday", "14/11/2023", "nan", "1_000", "-9e10", "9" * 30, "9" * 5000),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    ],
)
def test_text_that_is_no_time_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"interactions\.csv, line 3: .*; write seconds"):
        read_text(tmp_path / "data", HEADER, "u,a,1700000000", f"u,b,{text}")


def test_future_time_is_a_note_with_its_line(tmp_path: Path) -> None:
    data = read_text(tmp_path / "data", HEADER, "u,a,1", "u,b,99999999999")
    assert "line 3" in note_of(data, "future")
    assert histories(data) == {"u": ["a", "b"]}


def test_tied_last_times_are_counted_and_in_file_order(tmp_path: Path) -> None:
    data = read_text(tmp_path / "data", HEADER, "u,b,5", "u,a,5", "v,a,1", "v,b,2")
    assert histories(data) == {"u": ["b", "a"], "v": ["a", "b"]}
    assert "1 of 2 users" in note_of(data, "tied")


# ---- repeats, ratings and actions --------------------------------------------------------------


def test_repeated_pair_is_kept_at_its_first_moment(tmp_path: Path) -> None:
    data = read_text(tmp_path / "data", HEADER, "u,a,9", "u,b,5", "u,a,1", "u,b,6")
    assert histories(data) == {"u": ["a", "b"]}
    assert data.interactions.times.tolist() == [1_000_000, 5_000_000]
    assert data.repeats == 2
    assert note_of(data, "repeat").startswith("2 rows")


def test_missing_ratings_are_named_and_zero_is_positive(tmp_path: Path) -> None:
    folder = tables.write_ratings(tmp_path / "data")
    data = read_data(folder)
    assert len(data.interactions.items) == len(tables.sampled_rows())
    assert "lines 5, 6" in note_of(data, "rating")


def test_min_rating_takes_rows_with_that_rating_or_more(tmp_path: Path) -> None:
    rows = ["u,a,1,4", "u,b,2,3.5", "u,c,3,5", "u,d,4,", "u,e,5,inf", "v,a,1,1"]
    data = read_text(tmp_path / "data", f"{HEADER},rating", *rows, min_rating=4)
    assert histories(data) == {"u": ["a", "c"], "v": []}
    assert data.catalogue.numbers.keys() == set("abcde")


def test_min_rating_keeps_the_first_row_with_enough(tmp_path: Path) -> None:
    rows = ["u,a,1,2", "u,b,2,5", "u,a,3,5"]
    data = read_text(tmp_path / "data", f"{HEADER},rating", *rows, min_rating=4)
    assert histories(data) == {"u": ["b", "a"]}
    assert data.repeats == 0


def test_min_rating_without_ratings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--min-rating"):
        read_text(tmp_path / "data", HEADER, "u,a,1", min_rating=4)


def test_min_rating_above_all_ratings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"interactions\.csv has no positive row"):
        read_text(tmp_path / "data", f"{HEADER},rating", "u,a,1,3", min_rating=4)


def test_rating_that_is_no_number_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3: the rating 'good'"):
        read_text(tmp_path / "data", f"{HEADER},rating", "u,a,1,", "u,b,2,good")


def test_dislike_excludes_an_item_and_an_impression_is_nothing(tmp_path: Path) -> None:
    rows = ["u,a,1,Click", "u,b,2,dislike", "u,c,3,impression", "u,d,4,", "v,a,1,buy"]
    data = read_text(tmp_path / "data", f"{HEADER},action", *rows)
    assert histories(data) == {"u": ["a", "d"], "v": ["a"]}
    assert disliked(data) == {"u": {"b"}}
    assert "c" in data.catalogue.numbers


def test_last_of_like_and_dislike_counts(tmp_path: Path) -> None:
    rows = ["u,a,1,like", "u,a,2,dislike", "u,b,1,dislike", "u,b,2,like", "u,c,1,like"]
    data = read_text(tmp_path / "data", f"{HEADER},action", *rows)
    assert histories(data) == {"u": ["c", "b"]}
    assert disliked(data) == {"u": {"a"}}


def test_unusual_action_is_positive_and_named(tmp_path: Path) -> None:
    data = read_text(tmp_path / "data", f"{HEADER},action", "u,a,1,skip", "u,b,2,click")
    assert histories(data) == {"u": ["a", "b"]}
    assert "'skip'" in note_of(data, "actions")
    assert "click" not in note_of(data, "actions")


def test_table_of_impressions_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no positive row"):
        read_text(tmp_path / "data", f"{HEADER},action", "u,a,1,impression", "u,b,2,dislike")


# ---- unusual sizes -----------------------------------------------------------------------------


def test_one_user_and_one_item_are_noted(tmp_path: Path) -> None:
    assert note_of(read_data(tables.write_folder(tmp_path / "1", [("u", "a", 1)])), "one user")
    rows = [("u", "a", 1), ("v", "a", 2)]
    assert note_of(read_data(tables.write_folder(tmp_path / "2", rows)), "one item")


def test_users_who_took_every_item_are_noted(tmp_path: Path) -> None:
    rows = [("u", "a", 1), ("u", "b", 2), ("v", "b", 1)]
    data = read_data(tables.write_folder(tmp_path / "1", rows))
    assert not any("every user" in note for note in data.notes)
    all_items = [*rows, ("v", "a", 2)]
    assert note_of(read_data(tables.write_folder(tmp_path / "2", all_items)), "every user")


def test_users_with_few_rows_are_read(tmp_path: Path) -> None:
    rows = tables.sampled_rows(30, each=2) + tables.sampled_rows(30, each=5, prefix="v")
    lengths = read_data(tables.write_folder(tmp_path / "data", rows)).interactions.lengths
    assert sorted(lengths.tolist()) == [2] * 30 + [5] * 30


def test_user_who_saw_all_items_is_read(tmp_path: Path) -> None:
    rows = [("u0", f"i{number}", number) for number in range(80)]
    data = read_data(tables.write_folder(tmp_path / "data", rows + tables.sampled_rows()))
    assert histories(data)["u0"] == [f"i{number}" for number in range(80)]
    assert len(data.catalogue) == 80


def test_item_of_one_user_stays_with_that_user(tmp_path: Path) -> None:
    data = read_data(tables.write_held_out_singles(tmp_path / "data"))
    counts = data.interactions.counts()
    for user, items in histories(data).items():
        assert items[-1] == f"only{user[1:]}"
        assert counts[data.catalogue.numbers[items[-1]]] == 1


def test_wide_table_is_read_without_a_dense_matrix(tmp_path: Path) -> None:
    import tracemalloc

    folder = tables.write_wide(tmp_path / "data", 50_000)
    tracemalloc.start()
    data = read_data(folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(data.catalogue) > 30_000
    assert peak < 60_000_000  # a dense matrix would have 160 million cells


# ---- properties --------------------------------------------------------------------------------

IDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(str.strip)


@settings(deadline=None, max_examples=50)
@given(
    pairs=st.lists(st.tuples(IDS, IDS), min_size=1, max_size=20, unique=True),
    seed=st.integers(0, 100),
)
def test_order_of_rows_does_not_change_the_data(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], seed: int
) -> None:
    root = tmp_path_factory.mktemp("orders")
    rows = [(user, item, place) for place, (user, item) in enumerate(pairs)]
    ordered = read_data(tables.write_folder(root / "ordered", rows))
    random.Random(seed).shuffle(rows)
    shuffled = read_data(tables.write_folder(root / "shuffled", rows))
    assert shuffled.digest == ordered.digest
    assert histories(shuffled) == histories(ordered)
    expected: dict[str, list[str]] = {}
    for user, item in pairs:
        expected.setdefault(user, []).append(item)
    assert histories(ordered) == expected


def test_rows_are_selected_with_their_texts(tmp_path: Path) -> None:
    rows = read_tables(tables.write_plain(tmp_path / "data")).rows
    others = rows.without_user("u7")
    assert len(others) == len(rows) - 12
    assert "u7" not in others.users.distinct
    assert others.items.texts() == [item for user, item, _ in tables.sampled_rows() if user != "u7"]
    assert rows.without_user("nobody").users.texts() == rows.users.texts()


def test_later_rows_are_added_with_their_actions(tmp_path: Path) -> None:
    first = read_tables(tables.write_folder(tmp_path / "1", f"{HEADER},rating\nu,b,1,4\nu,a,2,5\n"))
    later = read_tables(
        tables.write_folder(tmp_path / "2", f"{HEADER},action\nv,a,1,like\nu,a,2,dislike\n")
    )
    data = data_of(first.with_rows(first.rows.followed_by(later.rows)))
    assert histories(data) == {"u": ["b"], "v": ["a"]}
    assert disliked(data) == {"u": {"a"}}
    same = first.rows.followed_by(first.rows[:0])
    assert same.users.texts() == ["u", "u"]
    assert same.ratings is not None
    assert same.ratings.tolist() == [4, 5]
    assert same.actions is None


def test_rows_can_be_made_without_a_file() -> None:
    users, items = TextsBuilder(), TextsBuilder()
    users.add(["b", "a"])
    items.add(["y", "x"])
    rows = Rows(users.finish(), items.finish(), np.array([2, 1]))
    assert histories(data_of(Tables(rows))) == {"a": ["x"], "b": ["y"]}
