"""`muniment recommendation similar` and `all`."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import muniment
from muniment.testing import CommandContract, run_command
from muniment_recommendation.commands import recommendation
from muniment_recommendation.commands.all_users import all_users
from muniment_recommendation.commands.similar import similar
from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.fitting.fit import fit
from muniment_recommendation.fitting.options import FitOptions
from muniment_recommendation.lists.list_maker import ListMaker
from muniment_recommendation.lists.user_lists import user_lists
from muniment_recommendation.model_folder.reading import load
from muniment_recommendation.model_folder.writing import save
from muniment_recommendation.ranking.document import read_ranking
from support.recommendation import catalogue_of, interactions_of, small_model

SIZE = 40


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small blend, of which one title is a formula."""
    first, *others = catalogue_of(SIZE).items
    catalogue = Catalogue((dataclasses.replace(first, title="=1+1"), *others))
    path = tmp_path_factory.mktemp("fitted") / "blend"
    path.mkdir()
    save(fit(interactions_of(SIZE), catalogue, FitOptions(options={"factors": 8})), path)
    return path


@pytest.fixture
def folder(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of the model's folder, relative to the current one, which is empty."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blend").symlink_to(fitted)
    return "blend"


@pytest.fixture
def session(home: Path, folder: str) -> Iterator[muniment.Session]:
    with muniment.Session(home) as session:
        yield session


class TestSimilar(CommandContract):
    command = similar
    arguments: ClassVar = ("i3", "--model", "blend")

    @pytest.fixture
    def session(self, home: Path, folder: str) -> Any:
        return muniment.Session(home)


class TestAll(CommandContract):
    command = all_users
    arguments: ClassVar = ("--model", "blend", "-o", "lists.jsonl")

    @pytest.fixture
    def session(self, home: Path, folder: str) -> Any:
        return muniment.Session(home)


def test_commands_are_in_the_group() -> None:
    assert {"similar", "all"} <= set(recommendation.commands)


# ---- similar ------------------------------------------------------------------------------------


def test_similar_items_are_those_of_a_history_of_the_item(session: muniment.Session) -> None:
    result = run_command(similar, "i3", "-m", "blend", "-n", "5", "--json", session=session)
    made = session.generate(
        generator="recommendation", model="blend", inputs={"history": b"i3"}, parameters={"k": 5}
    )
    expected = read_ranking(made.outputs[0].data).items
    assert [item["item"] for item in result.json] == [item.item for item in expected]
    assert [item["rank"] for item in result.json] == [1, 2, 3, 4, 5]
    for shown, item in zip(result.json, expected, strict=True):
        assert shown["components"] == item.components
        assert sum(shown["components"].values()) == pytest.approx(shown["score"], abs=1e-6)


def test_similar_items_name_the_parts_of_the_model(session: muniment.Session) -> None:
    lines = run_command(similar, "i3", "-m", "blend", "-n", "2", session=session).stdout.split("\n")
    parts = [part["family"] for part in load(Path("blend")).tuned]
    assert all(f"{part} " in lines[0].split("\t")[-1] for part in parts)


def test_an_unknown_item_is_refused_with_similar_ids(session: muniment.Session) -> None:
    result = run_command(similar, "I33", "-m", "blend", session=session)
    assert (result.code, result.stdout) == (2, "")
    assert "'i33'" in result.stderr


@pytest.mark.parametrize("command", [similar, all_users])
def test_an_unknown_model_is_refused(session: muniment.Session, command: Any) -> None:
    arguments = ["i3"] if command is similar else ["-o", "lists.csv"]
    result = run_command(command, *arguments, "-m", "no-model", session=session)
    assert (result.code, len(result.stderr.splitlines())) == (2, 1)
    assert not Path("lists.csv").exists()


# ---- all ----------------------------------------------------------------------------------------


def test_all_lists_are_those_of_the_generator(session: muniment.Session) -> None:
    arguments = ("-m", "blend", "-o", "lists.jsonl", "-k", "7", "--json")
    [counts] = run_command(all_users, *arguments, session=session).json
    lines = [json.loads(line) for line in Path("lists.jsonl").read_text("utf-8").splitlines()]
    assert (counts["users"], counts["items"], counts["empty"]) == (31, 217, 0)
    assert [line["user"] for line in lines] == list(interactions_of(SIZE).users)
    for line in lines[:5]:
        made = session.generate(
            generator="recommendation",
            model="blend",
            inputs={"user": line["user"].encode()},
            parameters={"k": 7},
        )
        expected = read_ranking(made.outputs[0].data).items
        assert line["items"] == [
            {"item": item.item, "title": item.title, "score": item.score} for item in expected
        ]


def test_csv_has_a_row_for_each_item_and_no_formula(session: muniment.Session) -> None:
    run_command(all_users, "-m", "blend", "-o", "lists.csv", session=session)
    run_command(all_users, "-m", "blend", "-o", "lists.jsonl", session=session)
    with Path("lists.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in Path("lists.jsonl").read_text("utf-8").splitlines()]
    listed = [(line["user"], item["item"]) for line in lines for item in line["items"]]
    assert [(row["user"], row["item"]) for row in rows] == listed
    assert {row["title"] for row in rows if row["item"] == "i0"} == {"'=1+1"}
    assert [row["rank"] for row in rows[:10]] == [str(rank) for rank in range(1, 11)]


def test_a_file_is_not_replaced_and_needs_a_known_suffix(session: muniment.Session) -> None:
    Path("lists.csv").write_text("mine")
    for name in ("lists.csv", "lists.txt", "-"):
        result = run_command(all_users, "-m", "blend", "-o", name, session=session)
        assert (result.code, result.stdout) == (2, "")
    assert Path("lists.csv").read_text() == "mine"
    run_command(all_users, "-m", "blend", "-o", "lists.csv", "--overwrite", session=session)
    assert Path("lists.csv").read_text("utf-8").startswith("user,")


def test_a_user_without_a_possible_item_has_an_empty_list() -> None:
    model = small_model(SIZE)
    every = np.arange(SIZE, dtype=np.int32)
    interactions = dataclasses.replace(model.interactions, disliked={0: every, 1: every[:-1]})
    model = dataclasses.replace(model, interactions=interactions)
    first, second, third, *_ = user_lists(ListMaker(model), 3)
    assert (first.items, len(third.items)) == ((), 3)
    assert [item.item for item in second.items] in ([], ["i39"])
