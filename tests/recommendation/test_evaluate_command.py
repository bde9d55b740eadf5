"""`muniment recommendation evaluate`, on tables and with the real families."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

import muniment
from muniment.testing import CommandContract, run_command
from muniment.testing.commands import CommandResult
from muniment_recommendation.commands import recommendation
from muniment_recommendation.commands.evaluate import evaluate
from muniment_recommendation.data.reading import read_data
from muniment_recommendation.fitting.fit import fit
from muniment_recommendation.fitting.options import FitOptions
from muniment_recommendation.generator import RecommendationGenerator
from muniment_recommendation.measures import evaluation
from muniment_recommendation.model_folder.writing import save
from support import tables


def run(data: Path, *arguments: str, session: object = None) -> CommandResult:
    if session is None:
        with muniment.Session(data.parent / "home") as opened:
            return run(data, *arguments, session=opened)
    return run_command(evaluate, "--data", str(data), *arguments, session=session)


def measured(data: Path, *arguments: str, session: object = None) -> dict[str, Any]:
    """Return the JSON of an evaluation, without the time that it took."""
    result = run(data, "--json", *arguments, session=session)
    assert result.code == 0, result.stderr
    (record,) = result.json
    record.pop("seconds")
    return record


def _write_ties(folder: Path) -> Path:
    """Write rows of which all of a user have the same time."""
    return tables.write_folder(folder, [(user, item, 5) for user, item, _ in tables.sampled_rows()])


class TestEvaluate(CommandContract):
    command = evaluate
    arguments: ClassVar = ("-m", "popularity", "--data", "data")

    @pytest.fixture
    def session(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.chdir(tmp_path)
        tables.write_plain(tmp_path / "data")
        return object()  # it needs none


def test_the_command_is_in_the_group() -> None:
    assert "evaluate" in recommendation.commands


@pytest.mark.parametrize("write", tables.VARIANTS.values(), ids=tables.VARIANTS)
def test_equal_data_in_other_files_has_equal_metrics(write: Any, tmp_path: Path) -> None:
    plain = tables.write_plain(tmp_path / "plain")

    assert measured(write(tmp_path / "variant"), "-m", "item-knn") == measured(
        plain, "-m", "item-knn"
    )


@pytest.mark.parametrize("family", ["popularity", "item-knn", "ease", "als", "transitions"])
def test_items_that_only_their_user_has_are_hit_at_chance_level(
    family: str, tmp_path: Path
) -> None:
    data = tables.write_held_out_singles(tmp_path / "data")

    record = measured(data, "-m", family)

    assert record["users"] == 200
    assert record["metrics"]["hr@10"]["value"] <= 10 / record["items"]


def test_ties_are_counted_and_shuffled(tmp_path: Path) -> None:
    record = measured(_write_ties(tmp_path / "data"), "-m", "popularity", "--shuffles", "3")

    assert record["tied"] == record["users"] == 60
    assert record["shuffles"]["seeds"] == [0, 1, 2]
    assert set(record["shuffles"]["metrics"]["ndcg@10"]) == {"mean", "spread"}


def test_ties_without_shuffles_are_noted(tmp_path: Path) -> None:
    result = run(_write_ties(tmp_path / "data"), "-m", "popularity", "--shuffles", "0", "--json")

    assert "shuffles" not in result.json[0]
    assert "60 users" in result.stderr
    assert "--shuffles" in result.stderr


def test_users_with_fewer_than_3_rows_are_counted_and_not_tested(tmp_path: Path) -> None:
    rows = tables.sampled_rows(30, each=2) + tables.sampled_rows(30, each=5, prefix="v")
    data = tables.write_folder(tmp_path / "data", rows)

    record = measured(data, "-m", "popularity")

    assert (record["users"], record["skipped"]) == (30, 30)


@pytest.mark.parametrize("protocol", ["leave-one-out", "global-time", "cold-item"])
def test_every_protocol_has_the_fields(protocol: str, tmp_path: Path) -> None:
    rows = [(user, item, time % 1000) for user, item, time in tables.sampled_rows()]
    data = tables.write_folder(tmp_path / "data", rows)

    record = measured(data, "-m", "ease", "--protocol", protocol)

    assert record["protocol"] == protocol
    assert record["family"] == "ease"
    assert ("cold" in record) == (protocol == "cold-item")
    assert len(record["metrics"]) == 18


def test_a_table_has_a_row_for_each_metric(tmp_path: Path) -> None:
    data = tables.write_plain(tmp_path / "data")

    lines = run(data, "-m", "popularity", "--protocol", "cold-item").stdout.splitlines()

    assert len(lines) == 6
    assert [line.split("\t")[0] for line in lines][:3] == ["hr@10", "ndcg@10", "recall@10"]
    assert all(len(line.split("\t")) == 5 for line in lines)


def test_a_table_omits_metrics_that_equal_others(tmp_path: Path) -> None:
    data = tables.write_plain(tmp_path / "data")

    result = run(data, "-m", "popularity")

    names = [line.split("\t")[0] for line in result.stdout.splitlines()]
    assert names == ["hr@10", "ndcg@10", "mrr@10"]
    assert "only" not in result.stderr
    metrics = measured(data, "-m", "popularity")["metrics"]
    assert metrics["recall@10"] == metrics["hr@10"]
    assert metrics["map@10"] == pytest.approx(metrics["mrr@10"])


def test_fewer_items_than_the_cutoff_are_noted(tmp_path: Path) -> None:
    rows = [(f"u{user}", f"i{(user + item) % 6}", item) for user in range(6) for item in range(3)]

    result = run(tables.write_folder(tmp_path / "data", rows), "-m", "popularity")

    assert result.code == 0
    assert "only 6 items" in result.stderr


def test_data_of_one_user_is_refused(tmp_path: Path) -> None:
    data = tables.write_folder(tmp_path / "data", tables.sampled_rows(1))

    result = run(data, "-m", "popularity")

    assert (result.code, len(result.stderr.splitlines())) == (2, 3)  # with notes of the data
    assert "one user" in result.stderr.splitlines()[-1]


def test_a_model_that_is_no_family_and_no_folder_is_refused(tmp_path: Path) -> None:
    result = run(tables.write_plain(tmp_path / "data"), "-m", "no-such-model")

    assert result.code == 2
    assert "no-such-model" in result.stderr
    assert "blend, popularity" in result.stderr


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    data = tables.write_plain(tmp_path / "data")

    result = run(data, "-m", str(data))

    assert result.code == 1
    assert f"{data} has no readable model.json" in result.stderr


def test_an_added_model_is_measured_by_its_name(tmp_path: Path) -> None:
    data = tables.write_plain(tmp_path / "data")
    model = _write_model(tmp_path / "model", data, regularization=2.0)

    with muniment.Session(tmp_path / "home") as session:
        session.models.add(str(model), "recommendation", RecommendationGenerator(), name="shop")
        record = measured(data, "-m", "shop", session=session)

    assert (record["family"], record["options"]) == ("ease", {"regularization": 2.0})


def _write_model(folder: Path, data: Path, **options: float) -> Path:
    """Fit and save a model of EASE with explicit options."""
    read = read_data(data)
    folder.mkdir()
    save(fit(read.interactions, read.catalogue, FitOptions("ease", 3, options)), folder)
    return folder


def test_a_model_folder_gives_its_family_seed_and_explicit_options(tmp_path: Path) -> None:
    data = tables.write_plain(tmp_path / "data")
    model = _write_model(tmp_path / "model", data, regularization=2.0)

    record = measured(data, "-m", str(model))

    assert (record["family"], record["options"]) == ("ease", {"regularization": 2.0})
    assert record["seeds"] == [3]
    assert measured(data, "-m", str(model), "--seed", "5")["seeds"] == [5]
    assert record["metrics"] != measured(data, "-m", "ease")["metrics"]


def test_a_folder_named_like_a_family_needs_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = tables.write_plain(tmp_path / "data")
    _write_model(tmp_path / "popularity", data)

    result = run(data, "--json", "-m", "popularity")

    assert result.json[0]["family"] == "popularity"
    assert "./popularity" in result.stderr
    assert measured(data, "-m", "./popularity")["family"] == "ease"


def test_the_minimum_rating_of_a_model_folder_applies_unless_another_is_given(
    tmp_path: Path,
) -> None:
    rows = [(*row, 1 + place % 5) for place, row in enumerate(tables.sampled_rows())]
    data = tables.write_folder(
        tmp_path / "data", tables.text_of(rows, "user,item,timestamp,rating")
    )
    model = _write_model(tmp_path / "model", data, min_rating=4.0)

    metrics = measured(data, "-m", str(model), "--seed", "0")["metrics"]

    assert metrics == measured(data, "-m", "ease", "--min-rating", "4")["metrics"]
    lower = measured(data, "-m", str(model), "--min-rating", "1")
    assert metrics != lower["metrics"]
    assert lower["options"] == {"min_rating": 1.0}
    named = measured(data, "-m", "ease", "--min-rating", "4")
    assert named["options"] == {"min_rating": 4.0}


def test_values_that_a_model_folder_has_from_tuning_are_not_used(tmp_path: Path) -> None:
    data = tables.write_plain(tmp_path / "data")
    model = _write_model(tmp_path / "model", data)
    before = measured(data, "-m", str(model))
    config = json.loads((model / "model.json").read_text())
    config["tuned"][0]["values"]["half_life"] = 0.1

    (model / "model.json").write_text(json.dumps(config))

    assert measured(data, "-m", str(model)) == before


def test_the_blend_is_evaluated_from_python_by_its_options(tmp_path: Path) -> None:
    data = tables.write_plain(tmp_path / "data")
    read = read_data(data)
    options = FitOptions("blend", 0, {"parts": ["item-knn", "transitions"]})

    result = evaluation.evaluate(
        evaluation.fit_function(options),
        read.interactions,
        read.catalogue,
        "leave-one-out",
    )

    assert result.users == 60
