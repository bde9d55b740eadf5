"""Evaluators that compare texts with references, with each other, or by another model."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

import muniment
from muniment.testing import EvaluatorContract
from muniment_analysis.evaluators.embedding_similarity import EmbeddingSimilarity
from muniment_analysis.evaluators.group_diversity import Diversity, SelfBleu
from muniment_analysis.evaluators.perplexity import Perplexity
from muniment_analysis.evaluators.reference_overlap import Bleu, Chrf, RougeL
from support.generations import completed

CHINESE = "最近我国成功发射了新的卫星。"
JUDGE = muniment.Model("judge", "tree1-sha256:0", "/none")


class TestBleu(EvaluatorContract):
    evaluator = Bleu


class TestChrf(EvaluatorContract):
    evaluator = Chrf


class TestRougeL(EvaluatorContract):
    evaluator = RougeL


class TestSelfBleu(EvaluatorContract):
    evaluator = SelfBleu


class TestDiversity(EvaluatorContract):
    evaluator = Diversity


class Letters:
    """Powers of a model whose vectors count letters, and whose tokens are characters."""

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def score(
        self, parameter: str, texts: Sequence[str], prompts: Sequence[str] | None = None
    ) -> Sequence[muniment.TokenScores]:
        assert parameter == "model"
        assert prompts is not None
        return [
            muniment.TokenScores(
                range(len(text)),
                [-1.0 if char in prompt else -3.0 for char in text],
                [(place, place + 1) for place in range(len(text))],
            )
            for text, prompt in zip(texts, prompts, strict=True)
        ]

    def embed(
        self, parameter: str, outputs: Sequence[muniment.Output]
    ) -> Sequence[Sequence[float]]:
        assert parameter == "model"
        texts = [output.text or "" for output in outputs]
        self.embedded += texts
        return [[float(text.count(char)) for char in "abc"] for text in texts]


class TestEmbeddingSimilarity(EvaluatorContract):
    evaluator = EmbeddingSimilarity
    parameters: ClassVar = {"model": "judge"}
    undirected = ("sibling-cosine",)
    powers = Letters()

    @pytest.fixture
    def models(self) -> dict[str, muniment.Model]:
        return {"model": JUDGE}


def generation(name: str, *texts: str, prompt: str = "?") -> muniment.Generation:
    return completed(*texts, id=name, prompt=prompt)


@pytest.mark.parametrize(("evaluator", "best"), [(Bleu, 100), (Chrf, 100), (RougeL, 1)])
def test_only_generations_with_references_are_compared(
    evaluator: type[muniment.GroupEvaluator], best: float
) -> None:
    group = [generation("A", CHINESE), generation("B", CHINESE), generation("C", "")]
    values = evaluator().evaluate_group(group, {"A": [CHINESE, "另一个"], "C": [CHINESE]})
    assert {name: list(scores.values()) for name, scores in values.items()} == {
        "A": [best],
        "C": [0],
    }


def test_a_group_of_equal_texts_has_no_diversity() -> None:
    group = [generation(name, CHINESE) for name in "ABCD"]
    values = Diversity().evaluate_group(group, {})["A"]
    assert values["vendi-score"] == pytest.approx(1)
    assert values["group-distinct-2"] == pytest.approx(1 / 4)
    assert SelfBleu().evaluate_group(group, {})["A"] == {"self-bleu": 100}


def test_a_group_without_a_common_word_has_all_diversity() -> None:
    group = [generation(name, f"{name}1 {name}2 {name}3") for name in "ABCD"]
    values = Diversity().evaluate_group(group, {})
    assert values["A"] == values["D"]
    assert values["A"]["vendi-score"] == pytest.approx(4)
    assert values["A"]["group-distinct-1"] == 1
    assert SelfBleu().evaluate_group(group, {})["A"]["self-bleu"] < 20


@pytest.mark.parametrize("evaluator", [Diversity, SelfBleu])
def test_a_generation_alone_has_no_diversity(evaluator: type[muniment.GroupEvaluator]) -> None:
    assert evaluator().evaluate(generation("A", CHINESE)) == {}


def similarity() -> EmbeddingSimilarity:
    evaluator = EmbeddingSimilarity(EmbeddingSimilarity.Parameters(model="judge"), {"model": JUDGE})
    evaluator.powers = Letters()
    return evaluator


def test_embeddings_are_compared_with_references_and_siblings() -> None:
    group = [generation("A", "aab"), generation("B", "aab"), generation("C", "c")]
    values = similarity().evaluate_group(group, {"A": ["c", "aabaab"]})
    assert values["A"]["reference-cosine"] == pytest.approx(1)
    assert values["A"]["sibling-cosine"] == pytest.approx(0.5)  # 1 with B, and 0 with C
    assert values["C"] == {"sibling-cosine": 0}


def test_each_different_text_is_embedded_once() -> None:
    evaluator, powers = similarity(), Letters()
    evaluator.powers = powers
    evaluator.evaluate_group([generation(name, "ab") for name in "ABC"], {"A": ["ab", "c"]})
    assert powers.embedded == ["ab", "c"]


def test_a_generation_alone_without_references_has_no_similarity() -> None:
    assert similarity().evaluate(generation("A", "ab")) == {}


def test_embedding_without_a_model_is_an_error() -> None:
    with pytest.raises(muniment.ParameterError, match="no model"):
        EmbeddingSimilarity()


def test_perplexity_under_another_model_reads_the_output_as_an_answer() -> None:
    evaluator = Perplexity(Perplexity.Parameters(model="judge"), {"model": JUDGE})
    evaluator.powers = Letters()
    scores = evaluator.evaluate(generation("A", "ab", "cc", prompt="abc"))
    assert scores == {"mean-logprob": -1, "perplexity": pytest.approx(math.e)}
    assert evaluator.evaluate(generation("A", "")) == {}


def test_recorded_generations_are_scored_with_a_file_of_references(
    session: muniment.Session, tmp_path: Path
) -> None:
    specs = [muniment.GenerationSpec(CHINESE, generator="echo") for _ in range(2)]
    made = list(session.run(specs, policy="none", evaluate=[]))
    ids = [item.id for item in made if isinstance(item, muniment.Generation)]
    file = tmp_path / "references.jsonl"
    file.write_text(json.dumps({"prompt": CHINESE, "references": [CHINESE]}) + "\n")
    names = ["bleu,chrf,rouge-l,self-bleu,diversity"]
    [group] = session.evaluate(ids, names, references=str(file))
    for name in ids:
        scores = {score.name: score.value for score in group.scores(name)}
        assert scores["bleu"] == scores["chrf"] == scores["self-bleu"] == 100
        assert scores["rouge-l"] == 1
        assert scores["vendi-score"] == pytest.approx(1)


@pytest.mark.model
def test_the_default_model_measures_recorded_texts(home: Path, gemma_home: Path) -> None:
    shutil.copytree(gemma_home, home, copy_function=os.link)
    with muniment.open(home) as session:
        specs = [muniment.GenerationSpec("The moon is", seed=seed) for seed in (1, 2)]
        made = list(session.run(specs, policy="none", evaluate=["perplexity"]))
        own = {item.id: item.scores for item in made if isinstance(item, muniment.Generation)}
        names = ["perplexity(model=gemma-3-270m),embedding-similarity(model=gemma-3-270m)"]
        [group] = session.evaluate(list(own), names)
    for name, recorded in own.items():
        scores = {score.name: score.value or 0 for score in group.scores(name)}
        [own_value] = [score.value for score in recorded if score.name == "mean-logprob"]
        assert scores["mean-logprob"] == pytest.approx(own_value, abs=0.3)
        assert 0 < scores["sibling-cosine"] <= 1


def test_importing_the_evaluators_imports_no_heavy_library() -> None:
    """A generation imports all evaluators, to see which are default."""
    program = (
        "import sys, muniment_analysis.plugin as p\n"
        "for place in p._EVALUATORS.values():\n"
        "    __import__('muniment_analysis.evaluators.' + place.partition(':')[0])\n"
        "heavy = {'numpy', 'scipy', 'sacrebleu', 'rapidfuzz', 'torch', 'transformers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
