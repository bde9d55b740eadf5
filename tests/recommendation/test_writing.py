"""Writing tables, removing users from them, and the counts of data."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import muniment
from muniment_recommendation.data.catalogue import CatalogueItem
from muniment_recommendation.data.reading import read_data
from muniment_recommendation.data.rows import Rows, TextsBuilder
from muniment_recommendation.data.statistics import statistics_of
from muniment_recommendation.data.tables import Tables, read_tables
from muniment_recommendation.data.writing import remove_user, write_tables
from muniment_recommendation.errors import DataError
from support import tables

HEADER = tables.HEADER


def round_trip(folder: Path, source: Path) -> Tables:
    """Return what is read after the tables of a folder are written."""
    write_tables(folder, read_tables(source))
    return read_tables(folder)


def columns_of(data: Tables) -> list[list[object]]:
    rows = data.rows
    return [
        rows.users.texts(),
        rows.items.texts(),
        rows.times.tolist(),
        [] if rows.ratings is None else [str(rating) for rating in rows.ratings.tolist()],
        [] if rows.actions is None else rows.actions.texts(),
    ]


@pytest.mark.parametrize(
    "write", [tables.write_plain, tables.write_awkward_ids, tables.write_ratings]
)
def test_written_rows_are_read_as_the_same_rows(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    source = write(tmp_path / "source")
    assert columns_of(round_trip(tmp_path / "out", source)) == columns_of(read_tables(source))


@pytest.mark.parametrize(
    "time", ["5", "0", "1500", "1700000000123", "1700000000000001", "2023-11-14T22:13:20.5", "-7"]
)
def test_written_time_is_read_as_the_same_time(tmp_path: Path, time: str) -> None:
    source = tables.write_folder(tmp_path / "source", f"{HEADER}\nu,a,{time}\n")
    assert columns_of(round_trip(tmp_path / "out", source)) == columns_of(read_tables(source))


def test_ratings_actions_and_repeats_are_written(tmp_path: Path) -> None:
    text = f"{HEADER},rating,action\nu,a,1,3.5,like\nu,a,2,,dislike\nv,b,3,4,\n"
    write_tables(tmp_path / "out", read_tables(tables.write_folder(tmp_path / "source", text)))
    assert (tmp_path / "out" / "interactions.csv").read_text() == (
        "user,item,timestamp,rating,action\nu,a,1,3.5,like\nu,a,2,,dislike\nv,b,3,4,\n"
    )
    assert not (tmp_path / "out" / "items.csv").exists()


def test_items_are_written_with_texts_and_tags(tmp_path: Path) -> None:
    items = 'item,title,text,tags\nz,"Q, ""A""","one\ntwo","Hair, Care|"\na,,,x|y\n'
    source = tables.write_folder(tmp_path / "source", [("u", "b", 1)], items)
    written = round_trip(tmp_path / "out", source)
    assert written.items == read_tables(source).items
    assert written.items[0].tags == ("Hair, Care",)
    assert written.catalogue == read_tables(source).catalogue


TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1)
IDS = TEXTS.filter(str.strip)


@settings(deadline=None, max_examples=50)
@given(
    rows=st.lists(st.tuples(IDS, IDS, st.integers(-(10**12), 10**16)), min_size=1, max_size=8),
    items=st.lists(st.tuples(IDS, TEXTS, TEXTS), max_size=4, unique_by=lambda item: item[0]),
)
def test_any_ids_and_texts_survive_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, int]],
    items: list[tuple[str, str, str]],
) -> None:
    users, taken = TextsBuilder(), TextsBuilder()
    users.add([user for user, _, _ in rows])
    taken.add([item for _, item, _ in rows])
    described = tuple(
        CatalogueItem(item, title if title.strip() else "", text if text.strip() else "")
        for item, title, text in items
    )
    times = np.array([time for _, _, time in rows])
    before = Tables(Rows(users.finish(), taken.finish(), times), described)
    folder = tmp_path_factory.mktemp("written") / "out"
    write_tables(folder, before)
    after = read_tables(folder)
    assert columns_of(after) == columns_of(before)
    assert after.items == before.items


def test_written_folder_must_be_new(tmp_path: Path) -> None:
    data = read_tables(tables.write_plain(tmp_path / "data"))
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="out exists"):
        write_tables(tmp_path / "out", data)
    with pytest.raises(DataError, match="cannot be written"):
        write_tables(tmp_path / "data" / "interactions.csv" / "out", data)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out"]


def test_the_files_of_another_writer_stay(tmp_path: Path) -> None:
    data = read_tables(tables.write_plain(tmp_path / "data"))
    other = tmp_path / f".out.{os.getpid()}"  # such as that of a killed process with this id
    (other / "train").mkdir(parents=True)
    write_tables(tmp_path / "out", data)
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "data", "out"]
    assert (other / "train").is_dir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "data").stat().st_mode


def test_missing_parents_of_a_written_folder_are_created(tmp_path: Path) -> None:
    write_tables(tmp_path / "new" / "out", read_tables(tables.write_plain(tmp_path / "data")))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


# ---- removing a user ---------------------------------------------------------------------------


def test_removed_user_leaves_all_other_bytes(tmp_path: Path) -> None:
    text = (
        '\ufeffuser,item,timestamp,extra\r\nu,a,1,"x, ""y"""\r\n\r\n'
        'U,a,1,\r\n"u","b\r\nc",2,\r\n"u ",c,3,é\nv,u,4,'
    )
    folder = tables.write_folder(tmp_path, text)
    assert remove_user(folder, "u") == 2
    assert (folder / "interactions.csv").read_bytes().decode() == (
        '\ufeffuser,item,timestamp,extra\r\n\r\nU,a,1,\r\n"u ",c,3,é\nv,u,4,'
    )


def test_removed_user_is_as_if_never_written(tmp_path: Path) -> None:
    rows = tables.sampled_rows()
    folder = tables.write_folder(tmp_path / "1", rows)
    assert remove_user(folder, "u7") == 12
    never = [row for row in rows if row[0] != "u7"]
    other = tables.write_folder(tmp_path / "2", never)
    name = "interactions.csv"
    assert (folder / name).read_bytes() == (other / name).read_bytes()
    assert read_data(folder).digest == read_data(other).digest


def test_user_of_an_atomic_table_is_removed(tmp_path: Path) -> None:
    header = "user_id:token,item_id:token,timestamp:float"
    folder = tables.write_atomic(tmp_path, f'{header}\n1,a,1\n2,"a,2\n1,b,3\n')
    assert remove_user(folder, "1") == 2
    assert (folder / "data.inter").read_text() == f'{header}\n2,"a,2\n'.replace(",", "\t")


def test_unknown_user_changes_nothing(tmp_path: Path) -> None:
    path = tables.write_plain(tmp_path) / "interactions.csv"
    before = path.stat()
    assert remove_user(tmp_path, "user") == 0
    assert path.stat() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["interactions.csv"]


def test_user_of_a_linked_table_is_removed_from_its_target(tmp_path: Path) -> None:
    target = tables.write_plain(tmp_path / "target") / "interactions.csv"
    target.chmod(0o640)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "interactions.csv").symlink_to(target)
    assert remove_user(folder, "u0") == 12
    assert (folder / "interactions.csv").is_symlink()
    assert b"u0," not in target.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o640


def test_short_row_is_named_when_a_user_is_removed(tmp_path: Path) -> None:
    content = "item,timestamp,user\na,1,u\nb\nc,2,v\n"
    folder = tables.write_folder(tmp_path, content)
    with pytest.raises(DataError, match=r"interactions\.csv, line 3: 1 field "):
        remove_user(folder, "u")
    assert (folder / "interactions.csv").read_text() == content


def test_damaged_table_stays_when_a_user_is_removed(tmp_path: Path) -> None:
    content = f'{HEADER}\nu,a,1\nv,"b,2\n'
    folder = tables.write_folder(tmp_path, content)
    with pytest.raises(DataError, match="line 3"):
        remove_user(folder, "u")
    assert (folder / "interactions.csv").read_text() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["interactions.csv"]


def test_removed_rows_are_those_of_the_user_in_a_table_that_changes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tables.write_folder(tmp_path, f"{HEADER}\nu,a,1\nv,b,2\n")
    replacing = muniment.replacing

    def after_a_change(path: Path, *, private: bool) -> AbstractContextManager[BinaryIO]:
        path.write_text(f"{HEADER}\nv,b,2\nu,a,1\nu,c,3\n")
        return replacing(path, private=private)

    monkeypatch.setattr(muniment, "replacing", after_a_change)
    assert remove_user(folder, "u") == 2
    assert (folder / "interactions.csv").read_text() == f"{HEADER}\nv,b,2\n"


# ---- counts ------------------------------------------------------------------------------------


def test_statistics_count_users_items_and_ties(tmp_path: Path) -> None:
    rows = [
        *(("u", item, time) for item, time in zip("abcd", (1, 2, 3, 3), strict=True)),
        *(("v", item, 10) for item in "aa"),
        ("w", "a", 86_400),
    ]
    folder = tables.write_folder(tmp_path, rows, "item\na\ncold\n")
    counts = statistics_of(read_data(folder)).to_json()
    expected = {
        "users": 3,
        "items": 5,
        "interactions": 6,
        "repeats": 1,
        "disliked": 0,
        "density": 0.4,
        "median_length": 1.0,
        "short_users": 2,
        "tied_users": 1,
        "cold_items": 1,
        "top_share": 0.5,
        "first": "1970-01-01T00:00:01Z",
        "last": "1970-01-02T00:00:00Z",
    }
    assert {name: counts[name] for name in expected} == expected
    assert counts["gini"] == pytest.approx(0.4)


def test_equally_popular_items_have_a_gini_of_0(tmp_path: Path) -> None:
    rows = [(user, item, 1) for user in "uv" for item in "abc"]
    assert statistics_of(read_data(tables.write_folder(tmp_path, rows))).gini == pytest.approx(0)
