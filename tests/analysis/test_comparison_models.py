"""Comparisons and plans from records of the default text model and of packaged images."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import muniment
from muniment.ids import new_id
from muniment_analysis.comparison.comparing import compare_runs
from muniment_analysis.controllability.experiment import run_experiment
from muniment_analysis.controllability.experiment_design import parse_design
from muniment_analysis.planning.pilot import read_pilot

WORDS = "sea moon train robot winter garden 山 音乐 书 城市".split()
LABELS = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot".split(",")


def experiment(
    session: muniment.Session, generator: str, prompts: list[str], settings: str, seed: int
) -> str:
    """Generate the prompts as items of an experiment, and return the run."""
    items = "".join(f"- {{id: {prompt}, paraphrases: ['{prompt}']}}\n" for prompt in prompts)
    document = (
        f"version: 1\n{generator}\nitems:\n{items}"
        f"settings: {settings}\nreplicates: 2\nseed: {seed}\n"
    )
    run = new_id()
    run_experiment(session, parse_design(document, "d.yaml"), document, run, policy="none")
    return run


@pytest.mark.model
def test_the_default_text_model(tmp_path: Path, gemma_home: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(gemma_home, home, copy_function=os.link)
    with muniment.open(home) as session:
        cold, hot = (
            experiment(
                session, "generator: text", WORDS, f"{{temperature: {values}, max_tokens: [8]}}", 1
            )
            for values in ("[0.2, 0.4]", "[1.3, 1.5]")
        )
        comparison = compare_runs(session, (cold, hot))
        assert comparison.paired_by == "item"
        surprise = comparison.differences["perplexity.mean-logprob"]
        assert surprise.finding() == "difference"
        assert surprise.difference.high < 0
        assert surprise.difference.n == 10
        pilot = read_pilot(session, hot, "mean-logprob")
        assert pilot.values.shape == (10, 1, 2, 2)
        assert pilot.components.seed > 0


def test_packaged_images(tmp_path: Path) -> None:
    with muniment.open(tmp_path / "home") as session:
        runs = new_id(), new_id()
        for seed, run in enumerate(runs):
            specs = [
                muniment.GenerationSpec(label, generator="image", model="fashion-28", seed=seed)
                for label in LABELS
            ]
            list(session.run(specs, run_id=run, policy="none"))
        comparison = compare_runs(session, runs)
        assert comparison.paired_by == "prompt"
        for one in comparison.differences.values():  # no picture is blank, in either run
            assert (one.finding(), one.difference.n) == ("noise", 10)
            assert one.difference.low < 0 < one.difference.high
