"""Controllability of the real generators: the default text model, packaged images, ranked lists."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import muniment
import muniment_analysis
from muniment_analysis.controllability.analysis import analyse
from muniment_analysis.controllability.experiment import run_experiment
from muniment_analysis.controllability.experiment_design import parse_design
from muniment_analysis.controllability.reading import recorded_design
from muniment_analysis.controllability.report import ControllabilityReport

RUN = "01HZZZZZZZZZZZZZZZZZZZZZZZ"
WORDS = "sea moon train robot winter garden 山 音乐 书 城市".split()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[muniment.Session]:
    with muniment.open(tmp_path / "home") as session:
        yield session


def run(session: muniment.Session, document: str) -> ControllabilityReport:
    plan = parse_design(document, "d.yaml")
    run_experiment(session, plan, document, RUN, policy="none")
    report = analyse(session, RUN, recorded_design(session, RUN), replays=4)
    assert report.replay is not None
    assert report.replay.counts == {"exact": 4}
    audited = muniment_analysis.report(session, replays=2, verify=True)
    assert audited.ok
    assert audited.verified
    assert audited.to_json()["total"] == plan.size
    assert plan.generator in audited.markdown()
    return report


def items(prompt: str) -> str:
    return "".join(
        f"  - {{id: {word}, paraphrases: ['{prompt.format(word)}']}}\n" for word in WORDS
    )


@pytest.mark.model
def test_the_default_text_model(tmp_path: Path, gemma_home: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(gemma_home, home, copy_function=os.link)
    with muniment.open(home) as session:
        report = run(
            session,
            "version: 1\ngenerator: text\nitems:\n"
            + items("Write about {}.")
            + "settings: {temperature: [0, 1.5], max_tokens: [4]}\nreplicates: 2\nseed: 1\n"
            + "measures: [wording, text-statistics.characters, perplexity.mean-logprob]\n",
        )
    wording = report.measures[0]
    assert wording.shares is not None
    cold, hot = wording.shares.seed_variance.values()
    assert (cold.value, cold.high) == (0, 0)  # at temperature 0 the seed moves nothing
    assert hot.low > 0.1
    assert report.outputs.agreement.value >= 0.5


def test_the_packaged_image_model(session: muniment.Session) -> None:
    labels = "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag".split()
    prompts = "".join(
        f"  - {{id: {label}, paraphrases: ['{label}']}}\n" for label in [*labels, "Ankle boot"]
    )
    report = run(
        session,
        f"version: 1\ngenerator: image\nmodel: fashion-28\nitems:\n{prompts}"
        "settings: {guidance: [1, 3], steps: [4]}\nreplicates: 2\nseed: 1\n",
    )
    [embedding] = report.measures
    assert embedding.name == "embedding"
    assert embedding.shares is not None
    assert 0 < embedding.shares.shares["guidance"].value < 1
    assert embedding.shares.shares["seed"].value > 0
    assert report.outputs.agreement.value == 0
    assert not report.outputs.diversity


def test_ranked_lists_of_the_catalogue(session: muniment.Session, tmp_path: Path) -> None:
    catalogue, model = tmp_path / "catalogue", tmp_path / "model"
    root = Path(__file__).parents[2]
    for arguments in (
        [sys.executable, str(root / "examples/make_catalogue.py"), str(catalogue)],
        [
            *(sys.executable, "-m", "muniment", "--home", str(tmp_path / "home")),
            *("recommendation", "fit", "--data", str(catalogue), "--out", str(model)),
        ],
    ):
        subprocess.run(arguments, check=True, capture_output=True)
    report = run(
        session,
        f"version: 1\ngenerator: recommendation\nmodel: {model}\nitems:\n"
        + items("books about {}")
        + "settings: {diversity: [0, 0.5], temperature: [0.3], k: [5]}\n"
        + "replicates: 2\nseed: 1\n",
    )
    [ranking] = report.measures
    assert ranking.name == "ranking"
    assert ranking.shares is not None
    assert 0 < report.outputs.overlap["rbo"].value < 1
    assert 0 < report.outputs.overlap["jaccard"].value <= 1
