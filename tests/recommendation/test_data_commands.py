"""`muniment recommendation import` and `stats`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from muniment.testing import CommandContract, run_command
from muniment_recommendation.commands import recommendation
from muniment_recommendation.commands.import_data import import_data
from muniment_recommendation.commands.split import split
from muniment_recommendation.commands.stats import stats
from muniment_recommendation.data.reading import Data, read_data
from support import tables


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a table in the current folder, where the commands run."""
    monkeypatch.chdir(tmp_path)
    return tables.write_titles(tmp_path / "data")


class TestStats(CommandContract):
    command = stats
    arguments: ClassVar = ("--data", "data")

    @pytest.fixture
    def session(self, data: Path) -> Any:
        return object()  # it needs none


class TestImport(CommandContract):
    command = import_data
    arguments: ClassVar = ("data", "--out", "out")

    @pytest.fixture
    def session(self, data: Path) -> Any:
        return object()


class TestSplit(CommandContract):
    command = split
    arguments: ClassVar = ("--data", "data", "--out", "out")

    @pytest.fixture
    def session(self, data: Path) -> Any:
        return object()


@pytest.mark.parametrize(
    "words",
    [
        ("recommendation", "import"),
        ("recommendation", "split"),
        ("recommendation", "stats"),
        ("recommendation", "fit"),
        ("recommendation", "evaluate"),
        ("recommendation", "similar"),
        ("recommendation", "all"),
        ("recommendation", "article"),
        ("recommendation", "report"),
        ("recommendation", "forget-user"),
    ],
)
def test_commands_are_in_the_group(words: tuple[str, str]) -> None:
    result = run_command(recommendation, words[1], "--help", session=object())
    assert result.code == 0
    assert words[1] in result.stdout


def test_stats_prints_counts_and_notes(data: Path) -> None:
    result = run_command(stats, "--data", "data", "--json", session=object())
    [counts] = result.json
    assert (counts["users"], counts["items"], counts["interactions"]) == (60, 80, 720)
    assert counts["digest"] == read_data(data).digest
    assert "items.csv, line 4" in result.stderr
    lines = run_command(stats, "--data", "data", session=object()).stdout.splitlines()
    assert any(line.split()[:2] == ["users", "60"] for line in lines)


def test_stats_with_a_minimum_counts_fewer_rows(tmp_path: Path) -> None:
    folder = tables.write_ratings(tmp_path / "data")
    arguments = ("--data", str(folder), "--min-rating", "3", "--json")
    [counts] = run_command(stats, *arguments, session=object()).json
    assert 0 < counts["interactions"] < 720


@pytest.mark.parametrize("command", [stats, import_data])
def test_bad_data_is_an_error_of_one_line(tmp_path: Path, command: Any) -> None:
    folder = str(tables.write_folder(tmp_path / "data", "user,item\nu,a\n"))
    arguments = ("--data", folder) if command is stats else (folder, "--out", str(tmp_path / "out"))
    result = run_command(command, *arguments, session=object())
    assert (result.code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert "timestamp" in result.stderr
    assert not (tmp_path / "out").exists()


def test_message_about_an_escape_sequence_prints_none(tmp_path: Path) -> None:
    folder = tables.write_folder(tmp_path / "data", "\x1b[31muser,item\nu,a\n")
    result = run_command(stats, "--data", str(folder), session=object())
    assert result.code == 2
    assert "\x1b" not in result.stderr


def test_import_of_atomic_files_writes_the_same_data(tmp_path: Path) -> None:
    rows = "user_id:token,item_id:token,rating:float,timestamp:float\nu,b,3,9\nu,a,4,2\n"
    items = "item_id:token,movie_title:token_seq,class:token_seq\nb,Toy Story,Animation Comedy\n"
    source = tables.write_atomic(tmp_path / "source", rows, items)
    out = tmp_path / "out"
    result = run_command(
        recommendation, "import", str(source), "--out", str(out), "--json", session=object()
    )
    assert result.json == [{"folder": str(out), "rows": 2, "users": 1, "items": 2}]
    assert read_data(out).digest == read_data(source).digest
    assert (
        out / "interactions.csv"
    ).read_text() == "user,item,timestamp,rating\nu,b,9,3\nu,a,2,4\n"
    assert (out / "items.csv").read_text() == (
        "item,title,text,tags\nb,Toy Story,,Animation|Comedy\n"
    )


def test_import_of_movielens_tables_writes_titles_and_tags(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n")
    (source / "movies.csv").write_text("movieId,title,genres\n31,Heat (1995),Action|Crime\n")
    run_command(import_data, str(source), "--out", str(tmp_path / "out"), session=object())
    [item] = read_data(tmp_path / "out").catalogue.items
    assert (item.id, item.title, item.tags) == ("31", "Heat (1995)", ("Action", "Crime"))


def test_import_into_an_existing_folder_is_refused(data: Path) -> None:
    result = run_command(import_data, "data", "--out", "data", session=object())
    assert result.code == 2
    assert "data exists" in result.stderr


# ---- split -------------------------------------------------------------------------------------


def divided(source: Path, out: Path, *arguments: str) -> tuple[dict[str, Any], Data, Data]:
    """Return the printed record, the data of train and the data of test."""
    options = ("--data", str(source), "--out", str(out), "--json", *arguments)
    [record] = run_command(split, *options, session=object()).json
    return record, read_data(out / "train"), read_data(out / "test")


def pairs_of(data: Data) -> set[tuple[str, str]]:
    return {
        (user, data.catalogue.items[number].id)
        for place, user in enumerate(data.interactions.users)
        for number in data.interactions.history(place)
    }


def test_split_holds_out_the_last_item_of_each_user(tmp_path: Path) -> None:
    source = tables.write_held_out_singles(tmp_path / "data")
    record, train, test = divided(source, tmp_path / "out")
    assert (record["users"], record["train"], record["test"]) == (200, 1800, 200)
    assert pairs_of(test) == {(f"u{user}", f"only{user}") for user in range(200)}
    assert pairs_of(train) | pairs_of(test) == pairs_of(read_data(source))
    assert train.catalogue == test.catalogue == read_data(source).catalogue


def test_split_holds_out_repeats_with_their_pair(tmp_path: Path) -> None:
    rows = [("u", "a", 1), ("u", "b", 2), ("u", "c", 3), ("u", "c", 4), ("v", "a", 1)]
    source = tables.write_folder(tmp_path / "data", rows)
    record, train, test = divided(source, tmp_path / "out")
    assert pairs_of(train) == {("u", "a"), ("u", "b"), ("v", "a")}
    assert (pairs_of(test), record["test"], record["skipped"]) == ({("u", "c")}, 2, 1)


def test_split_at_a_time_trains_on_earlier_rows_only(tmp_path: Path) -> None:
    source = tables.write_held_out_singles(tmp_path / "data")
    _, train, test = divided(source, tmp_path / "out", "--protocol", "global-time")
    assert train.interactions.times.max() < test.interactions.times.min()


@pytest.mark.parametrize("protocol", ["global-time", "leave-one-out"])
def test_split_trains_on_no_later_dislike_repeat_or_impression(
    tmp_path: Path, protocol: str
) -> None:
    early = ["u,a,1,view", "u,b,2,view", "u,c,3,view", "v,a,4,view", "v,c,5,view", "v,d,6,view"]
    held_out = ["u,d,8,view"] + ["v,b,7,view"] * (protocol == "leave-one-out")
    late = ["u,a,9,dislike", "u,b,10,view", "u,e,11,impression"]
    early += ["v,b,7,view"] * (protocol == "global-time")
    early += [f"w{n},a,0,view" for n in range(3)]
    rows = "\n".join(["user,item,timestamp,action", *early, *held_out, *late])
    source = tables.write_folder(tmp_path / "data", rows)
    record, train, test = divided(source, tmp_path / "out", "--protocol", protocol)
    assert (record["train"], record["test"]) == (len(early), len(held_out) + len(late))
    assert ("u", "a") in pairs_of(train)
    assert train.interactions.disliked == {}
    assert ("u", "a") not in pairs_of(test)


def test_split_by_items_hides_them_and_depends_on_the_seed(tmp_path: Path) -> None:
    source = tables.write_plain(tmp_path / "data")
    hidden = set()
    for seed in ("1", "1", "2"):
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        _, train, test = divided(source, out, "--protocol", "cold-item", "--seed", seed)
        items = {item for _, item in pairs_of(test)}
        assert not items & {item for _, item in pairs_of(train)}
        assert len(items) == 16
        hidden.add(frozenset(items))
    assert len(hidden) == 2


def test_split_without_a_user_to_test_is_refused(tmp_path: Path) -> None:
    source = tables.write_folder(tmp_path / "data", [("u", "a", 1), ("v", "b", 2)])
    out = tmp_path / "out"
    result = run_command(
        recommendation, "split", "--data", str(source), "--out", str(out), session=object()
    )
    assert result.code == 2
    assert "leave-one-out" in result.stderr
    assert not out.exists()
