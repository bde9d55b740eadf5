"""`muniment recommendation report`: its numbers, its charts and its refusals."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from muniment.testing import CommandContract, run_command
from muniment_recommendation.commands import recommendation
from muniment_recommendation.commands.report import report
from muniment_recommendation.data.reading import read_data
from muniment_recommendation.data.splits import leave_one_out
from muniment_recommendation.fitting.fit import fit
from muniment_recommendation.fitting.options import FitOptions
from muniment_recommendation.lists.list_maker import ListMaker
from muniment_recommendation.lists.user_lists import user_lists
from muniment_recommendation.reports.charts import SIZE, draw_bars
from support import tables

FAMILY = "item-knn"  # the fastest one


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a table in the current folder, where the commands run."""
    monkeypatch.chdir(tmp_path)
    tables.write_titles(tmp_path / "data")
    return "data"


class TestReport(CommandContract):
    command = report
    arguments: ClassVar = ("-m", FAMILY, "--data", "data")

    @pytest.fixture
    def session(self, data: str) -> Any:
        return object()  # it needs none


def reported(*arguments: str) -> dict[str, Any]:
    given = ("-m", FAMILY, "--data", "data", "--json", *arguments)
    [record] = run_command(report, *given, session=object()).json
    return record


def test_the_command_is_in_the_group() -> None:
    assert "report" in recommendation.commands


def test_accuracy_and_coverage_are_those_of_the_lists(data: str) -> None:
    record = reported()
    read = read_data(Path(data))
    split = leave_one_out(read.interactions)
    lists = ListMaker(fit(split.train, read.catalogue, FitOptions(FAMILY)))
    listed = [[item.item for item in one.items] for one in user_lists(lists, 10)]
    ids = [read.catalogue.items[int(items[0])].id for items in split.targets]
    hits = [target in listed[int(user)] for user, target in zip(split.users, ids, strict=True)]
    assert record["users"] == len(split.users)
    assert record["model"]["hr"]["value"] == pytest.approx(np.mean(hits))
    shown = {item for user in split.users for item in listed[int(user)]}
    assert record["model"]["coverage"] == pytest.approx(len(shown) / len(read.catalogue))


def test_measures_are_in_their_ranges(data: str) -> None:
    record = reported()
    for name in ("model", "popularity"):
        measures = record[name]
        for measure in ("coverage", "gini", "distance", "miscalibration"):
            assert measures[measure] is None or 0 <= measures[measure] <= 1
        assert sum(tier["exposure"] for tier in measures["tiers"]) == pytest.approx(1)
        assert measures["ndcg"]["value"] <= measures["hr"]["value"]
    assert record["popularity"]["coverage"] <= record["model"]["coverage"]
    assert 0 < record["stability"]["dropped_item"] <= 1
    assert record["stability"]["seeds"] == 1  # this family has no randomness
    gain = record["model"]["ndcg"]["value"] - record["popularity"]["ndcg"]["value"]
    assert record["gain"]["value"] == pytest.approx(gain)


def test_diversity_raises_the_distance_and_its_cost_is_reported(data: str) -> None:
    record = reported()
    costs = record["diversity"]
    assert [cost["diversity"] for cost in costs] == [0, 0.2, 0.5]
    distances = [cost["distance"] for cost in costs]
    assert distances == sorted(distances)
    assert costs[0]["ndcg"] == pytest.approx(record["model"]["ndcg"]["value"])
    for cost in costs:
        change = cost["ndcg"] - costs[0]["ndcg"]
        assert cost["change"]["value"] == pytest.approx(change, abs=1e-12)


def test_a_report_is_repeated_and_measures_the_users_that_the_seed_selects(data: str) -> None:
    few = reported("--users", "20", "--seed", "3")
    assert few["users"] == 20
    assert few == reported("--users", "20", "--seed", "3")
    assert few["model"] != reported("--users", "20", "--seed", "4")["model"]


def test_a_folder_has_the_numbers_and_the_charts(data: str) -> None:
    record = reported("-o", "out")
    written = json.loads(Path("out/report.json").read_text("utf-8"))
    assert written["model"] == record["model"]
    assert {path.name for path in Path("out").iterdir()} == {
        "report.json",
        "accuracy.png",
        "exposure.png",
        "diversity.png",
    }
    with Image.open("out/exposure.png") as chart:
        assert chart.size == SIZE
        assert len(chart.getcolors(SIZE[0] * SIZE[1])) > 3


def test_bars_of_zeros_are_drawn() -> None:
    assert draw_bars(["a"], {"b": [0.0]}, title="t").size == SIZE
    assert draw_bars([], {}, title="t").size == SIZE


def test_an_existing_folder_is_refused_before_the_data_are_read(data: str) -> None:
    Path("out").mkdir()
    result = run_command(report, "-m", FAMILY, "--data", "none", "-o", "out", session=object())
    assert (result.code, result.stdout) == (2, "")
    assert "out" in result.stderr


def test_charts_without_pillow_name_the_extra(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    result = run_command(report, "-m", FAMILY, "--data", "data", "-o", "out", session=object())
    assert (result.code, Path("out").exists()) == (2, False)
    assert "muniment-recommendation[plots]" in result.stderr


def test_data_without_a_user_to_measure_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tables.write_folder(tmp_path / "data", "user,item,timestamp\nu,a,1\nv,b,2\n")
    result = run_command(report, "-m", FAMILY, "--data", "data", session=object())
    assert (result.code, len(result.stderr.splitlines())) == (2, 1)
