"""Reading tables of items: titles, texts, tags, and items that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.items import MAX_TEXT, MAX_TITLE, join_tags, split_tags
from muniment_recommendation.data.reading import read_data
from muniment_recommendation.errors import DataError, QueryError
from muniment_recommendation.fitting.fit import fit
from muniment_recommendation.fitting.options import FitOptions
from muniment_recommendation.lists.scoring import Scorer
from support import tables

ROWS = [("u", "b", 1), ("u", "a", 2), ("v", "z", 3)]


def catalogue_of(folder: Path, items: str | bytes) -> Catalogue:
    return read_data(tables.write_folder(folder, ROWS, items)).catalogue


def test_items_keep_their_order_and_others_follow_by_id(tmp_path: Path) -> None:
    catalogue = catalogue_of(tmp_path / "data", "item,title\nz,Last\ncold,Cold\n")
    assert [item.id for item in catalogue.items] == ["z", "cold", "a", "b"]
    assert [item.title for item in catalogue.items] == ["Last", "Cold", "", ""]
    assert catalogue.numbers == {"z": 0, "cold": 1, "a": 2, "b": 3}


def test_items_that_are_not_described_are_counted(tmp_path: Path) -> None:
    data = read_data(tables.write_folder(tmp_path / "1", ROWS, "item\nz\n"))
    assert [note for note in data.notes if "2 of 3 items" in note and "'a'" in note]
    assert not read_data(tables.write_folder(tmp_path / "2", ROWS, "item\nz\nb\na\n")).notes


def test_columns_are_found_by_name_and_may_be_missing(tmp_path: Path) -> None:
    item = catalogue_of(tmp_path / "1", "tags,TEXT,item\nx|y,words,z\n").items[0]
    assert (item.id, item.title, item.text, item.tags) == ("z", "", "words", ("x", "y"))
    assert catalogue_of(tmp_path / "2", "item\nz\n").items[0].title == ""


def test_ids_are_not_compared_with_a_wish(tmp_path: Path) -> None:
    rows = [("u", "tent", 1), ("u", "rope", 2), ("v", "tent", 1), ("v", "lamp", 2)]
    data = read_data(tables.write_folder(tmp_path, rows, "item,title\nrope,\n"))
    model = fit(data.interactions, data.catalogue, FitOptions(options={"factors": 2}))
    assert "text" not in {part.name for part in model.parts}
    with pytest.raises(QueryError, match=r"items\.csv"):
        Scorer(model).score(np.array([0], np.int32), "tent", 1.0)


def test_awkward_titles_are_data(tmp_path: Path) -> None:
    data = read_data(tables.write_titles(tmp_path / "data"))
    titles = [item.title for item in data.catalogue.items[: len(tables.TITLES)]]
    assert titles[:2] == ["<b>bold</b>", "\x1b[31mred"]
    assert titles[2] == "a" * (MAX_TITLE - 1) + "…"
    assert titles[3] == ""
    assert titles[4:] == list(tables.TITLES[4:])
    assert [note for note in data.notes if "line 4" in note and "cut" in note]


def test_long_text_is_cut_with_a_note(tmp_path: Path) -> None:
    items = tables.text_of([("z", "x" * 2_000_000)], "item,text")
    data = read_data(tables.write_folder(tmp_path / "data", ROWS, items))
    assert len(data.catalogue.items[0].text) == MAX_TEXT
    assert [note for note in data.notes if "line 2" in note]


def test_repeated_item_is_used_once_with_a_note(tmp_path: Path) -> None:
    items = "item,title\na,One\na,Two\nb,B\na,Three\n"
    data = read_data(tables.write_folder(tmp_path / "data", ROWS, items))
    assert [(item.id, item.title) for item in data.catalogue.items[:2]] == [
        ("a", "One"),
        ("b", "B"),
    ]
    assert [note for note in data.notes if "lines 3, 5" in note]


def test_item_without_an_id_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"items\.csv, line 3"):
        catalogue_of(tmp_path / "data", "item,title\na,A\n,B\n")


def test_column_that_is_not_used_is_named(tmp_path: Path) -> None:
    folder = tables.write_folder(tmp_path / "data", ROWS, "item,price\na,5\n")
    assert [note for note in read_data(folder).notes if "'price'" in note]


def test_table_of_items_without_ids_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"items\.csv has no column item .*'name', 'title'"):
        catalogue_of(tmp_path / "data", "name,title\na,A\n")


def test_quoted_line_break_stays_in_a_text(tmp_path: Path) -> None:
    catalogue = catalogue_of(tmp_path / "data", 'item,title,text\na,"A, ""B""","one\ntwo"\n')
    assert (catalogue.items[0].title, catalogue.items[0].text) == ('A, "B"', "one\ntwo")


def test_columns_of_an_atomic_table_become_texts_and_tags(tmp_path: Path) -> None:
    items = (
        "item_id:token,movie_title:token_seq,release_year:token,class:token_seq,price:float\n"
        "b,Toy Story,1995,Animation Children's Animation,5\n"
        "a,Heat,,,7\n"
    )
    rows = "user_id:token,item_id:token,rating:float,timestamp:float\nu,b,3,1\nu,a,4,2\n"
    data = read_data(tables.write_atomic(tmp_path / "data", rows, items))
    toy, heat = data.catalogue.items
    assert (toy.title, toy.text, toy.tags) == ("Toy Story", "1995", ("Animation", "Children's"))
    assert (heat.title, heat.text, heat.tags) == ("Heat", "", ())
    assert data.files == ("data.inter", "data.item")
    assert [note for note in data.notes if "'price'" in note]


def test_list_of_words_in_an_atomic_table_becomes_tags(tmp_path: Path) -> None:
    rows = "user_id:token\titem_id:token\ttimestamp:float\nu\ta\t1\n"
    items = "item_id:token\tcategories:token_seq\na\t['Beauty', 'Hair Care']\n"
    (tmp_path / "data.inter").write_text(rows)
    (tmp_path / "data.item").write_text(items)
    assert read_data(tmp_path).catalogue.items[0].tags == ("Beauty", "Hair", "Care")


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("", []),
        ("one", ["one"]),
        ("a|b, c|", ["a", "b, c"]),
        ("a; b", ["a", "b"]),
        ("科技，历史", ["科技", "历史"]),
        ("科技、历史", ["科技", "历史"]),
        ("a, b,,c", ["a", "b", "c"]),
    ],
)
def test_tags_are_separated(text: str, tags: list[str]) -> None:
    assert split_tags(text) == tags


TAGS = st.text(st.characters(exclude_characters="|"), min_size=1).map(str.strip).filter(bool)


@given(st.lists(TAGS))
def test_written_tags_are_read_as_the_same_tags(tags: list[str]) -> None:
    assert split_tags(join_tags(tags)) == tags
