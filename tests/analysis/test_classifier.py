"""The evaluator `classifier`, with a small model that is made here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from safetensors.torch import load_file, save_file

import muniment
from muniment.testing import EvaluatorContract
from muniment_analysis.evaluators.classifier import Classifier
from support.classifiers import make_classifier
from support.generations import completed
from support.sharing import once


@pytest.fixture(scope="module")
def classifier(shared: Path) -> Path:
    return once(shared / "sentiment", make_classifier)


def model(folder: Path) -> muniment.Model:
    return muniment.Model("sentiment", "tree1-sha256:0", str(folder))


@pytest.fixture
def label(classifier: Path) -> Callable[..., Mapping[str, float]]:
    """Return a function that scores texts with the model."""

    def scores(*texts: str, **parameters: Any) -> Mapping[str, float]:
        values = Classifier.Parameters(model="sentiment", **parameters)
        evaluator = Classifier(values, {"model": model(classifier)})
        return evaluator.evaluate(completed(*texts))

    return scores


class TestClassifier(EvaluatorContract):
    evaluator = Classifier
    parameters: ClassVar = {"model": "sentiment", "label": "positive"}
    undirected = ("label", "confidence")

    @pytest.fixture
    def models(self, classifier: Path) -> Mapping[str, muniment.Model]:
        return {"model": model(classifier)}


@pytest.mark.parametrize(
    ("text", "place"), [("a good day", 1), ("What a DARK night!", 0), ("我爱你", 1), ("坏", 0)]
)
def test_the_label_is_the_most_probable_one(
    label: Callable[..., Mapping[str, float]], text: str, place: int
) -> None:
    scores = label(text)
    assert scores["label"] == place
    assert 0.8 < scores["confidence"] <= 1
    assert set(scores) == {"label", "confidence"}


def test_the_wanted_label_has_a_probability(label: Callable[..., Mapping[str, float]]) -> None:
    good, bad = label("good", label="positive"), label("bad", label="positive")
    assert (good["label-match"], bad["label-match"]) == (1, 0)
    assert good["label-probability"] == good["confidence"]
    assert bad["label-probability"] == pytest.approx(1 - bad["confidence"])


def test_labels_can_have_other_names(label: Callable[..., Mapping[str, float]]) -> None:
    scores = label("good", labels=["消极", "积极"], label="积极")
    assert scores["label-match"] == 1


def test_a_text_over_the_limit_is_read_up_to_it(label: Callable[..., Mapping[str, float]]) -> None:
    assert label("good " * 500) == label("good " * 5000)


@pytest.mark.parametrize("texts", [(), ("",), (" \n", ""), ("\x1b",)])
def test_without_tokens_there_is_no_label(
    label: Callable[..., Mapping[str, float]], texts: tuple[str, ...]
) -> None:
    assert label(*texts) == {}


@pytest.mark.parametrize(
    ("parameters", "name"),
    [({"label": "neutral"}, "label"), ({"labels": ["one"]}, "labels")],
)
def test_labels_that_the_model_does_not_have_are_refused(
    label: Callable[..., Mapping[str, float]], parameters: dict[str, Any], name: str
) -> None:
    with pytest.raises(muniment.ParameterError) as refusal:
        label("good", **parameters)
    assert refusal.value.name == name
    assert "negative" in str(refusal.value)


def test_without_a_model_there_is_an_error() -> None:
    with pytest.raises(muniment.ParameterError, match="no model"):
        Classifier()


def with_config(folder: Path, **fields: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return folder


def without_weights(folder: Path) -> Path:
    """Remove the layer for labels, which transformers would fill with random numbers."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    kept = {name: value for name, value in weights.items() if "classifier" not in name}
    save_file(kept, path, {"format": "pt"})
    return folder


def without(folder: Path, name: str) -> Path:
    (folder / name).unlink()
    return folder


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder: with_config(folder, architectures=["BertModel"]), "layer for labels"),
        (lambda folder: with_config(folder, architectures=None), "layer for labels"),
        (lambda folder: with_config(folder, id2label={"0": "only"}), "one label"),
        (lambda folder: with_config(folder, id2label={"1": "a", "2": "b"}), "numbered"),
        (lambda folder: without(folder, "config.json"), "config.json"),
        (without_weights, "classifier"),
        (lambda folder: without(folder, "model.safetensors"), "cannot be loaded"),
        (lambda folder: without(folder, "tokenizer.json"), "cannot be loaded"),
    ],
)
def test_a_folder_that_is_no_classifier_is_an_error(
    classifier: Path, tmp_path: Path, change: Callable[[Path], Path], expected: str
) -> None:
    folder = change(Path(shutil.copytree(classifier, tmp_path / "model")))
    with pytest.raises(muniment.ModelError, match=expected):
        Classifier(Classifier.Parameters(model="m"), {"model": model(folder)}).evaluate(
            completed("good")
        )


def test_several_labels_for_a_text_have_independent_probabilities(
    classifier: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(classifier, tmp_path / "model"))
    with_config(folder, problem_type="multi_label_classification")
    one, other = (
        Classifier(Classifier.Parameters(model="m", label=name), {"model": model(folder)}).evaluate(
            completed("a day")
        )["label-probability"]
        for name in ("negative", "positive")
    )
    assert one + other != pytest.approx(1, abs=1e-6)


def test_the_scores_are_recorded_with_the_digest_of_the_model(
    session: muniment.Session, classifier: Path
) -> None:
    name = f'classifier(model="{classifier}", label=positive)'
    done = session.generate("good", generator="echo", policy="none", evaluate=[name])
    scores = {score.name: score for score in session.generation(done.id).scores}
    assert scores["label-match"].value == 1
    assert scores["label-match"].models["model"].startswith("tree1-sha256:")


def test_an_unknown_label_is_refused_before_anything_is_generated(
    session: muniment.Session, home: Path, classifier: Path
) -> None:
    name = f'classifier(model="{classifier}", label=neutral)'
    with pytest.raises(muniment.ParameterError, match="neutral"):
        session.generate("good", generator="echo", policy="none", evaluate=[name])
    assert not home.exists() or not any(home.glob("*.db"))
