"""Tests of lists of ids as texts, and of the ids nearest to an unknown one."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from muniment_recommendation.errors import QueryError
from muniment_recommendation.requests.item_ids import nearest, numbers_of, read_ids, write_ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a,b,c", ("a", "b", "c")),
        (" a , b ", ("a", "b")),
        ("007,7,NA,1e5", ("007", "7", "NA", "1e5")),
        ("a\nb\n", ("a", "b")),
        ("a\r\nb\r\n\r\n", ("a", "b")),
        ("one, two\nthree\n", ("one, two", "three")),  # a line can contain a comma
        ("map,rope\n", ("map", "rope")),
        ("map,rope\r\n", ("map", "rope")),
        ("[]", ()),
        (" [ ]\n", ()),
        ('["a,b", "c\\nd"]', ("a,b", "c\nd")),
        ("[a]", ("[a]",)),
        ("[1, 2]", ("[1", "2]")),  # no list of texts
        ("a,b,a", ("b", "a")),  # the last item of a history is the newest
        ("", ()),
        (" , ", ()),
        ("红楼梦,三国演义", ("红楼梦", "三国演义")),
        ("红楼梦，三国演义、水浒传\n", ("红楼梦", "三国演义", "水浒传")),
    ],
)
def test_ids_are_read_from_lines_commas_or_json(text: str, ids: tuple[str, ...]) -> None:
    assert read_ids(text) == ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a，b", ("a，b",)),
        ("c，a，b、d\n", ("c", "a，b", "d")),
        ("x, y,c", ("x, y", "c")),
        ("one,two,three", ("one,two", "three")),  # the longest known id
        ("，c，", ("c",)),
        ("c、zzz", ("c", "zzz")),
    ],
)
def test_a_known_id_with_commas_is_not_divided(text: str, ids: tuple[str, ...]) -> None:
    known = {"a，b", "c", "d", "x, y", "one", "two", "one,two"}
    assert read_ids(text, known) == ids


@given(st.lists(st.text(min_size=1), unique=True))
def test_ids_are_read_as_they_were_written(ids: list[str]) -> None:
    assert read_ids(write_ids(ids)) == tuple(ids)


KNOWN = {"moby-dick": 0, "middlemarch": 1, "walden": 2, "007": 3}


def test_known_ids_become_numbers_in_their_order() -> None:
    assert numbers_of(["walden", "007"], KNOWN, "the input history") == [2, 3]


def test_an_unknown_item_is_named_with_the_nearest_ones() -> None:
    with pytest.raises(QueryError) as caught:
        numbers_of(["walden", "moby-dock"], KNOWN, "the input history")
    message = str(caught.value)
    assert "the input history" in message
    assert "'moby-dock'" in message
    assert "'moby-dick'" in message
    assert "'walden'" not in message


def test_many_unknown_items_are_counted_and_five_are_named() -> None:
    with pytest.raises(QueryError, match=r"12 unknown items: 'x0', .*'x4', …;") as caught:
        numbers_of([f"x{number}" for number in range(12)], KNOWN, "the input only")
    assert "'x5'" not in str(caught.value)


def test_an_id_that_resembles_none_has_no_nearest() -> None:
    assert nearest("zzz", KNOWN) == ""
