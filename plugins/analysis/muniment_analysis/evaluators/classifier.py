"""The evaluator `classifier`, which labels texts with a local model of transformers.

The model is a folder with `config.json`, a tokenizer and weights as safetensors, as
`save_pretrained` of a class `…ForSequenceClassification` writes it. Code in the folder is never
run. transformers and torch are imported for the first text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import muniment

if TYPE_CHECKING:
    from muniment_analysis.sequence_classifier import SequenceClassifier


class Classifier(muniment.Evaluator):
    """The most probable label of a text, and the probability of a wanted one.

    Scores are numbers, and their names do not depend on the model. So `label` is the position of
    the most probable label, from 0, and `confidence` its probability. If the parameter `label`
    names a label, `label-probability` is its probability, and `label-match` is 1 if it is the most
    probable one and else 0.
    """

    name = "classifier"
    measures = (
        muniment.Measure("label"),
        muniment.Measure("confidence"),
        muniment.Measure("label-probability", higher_is_better=True),
        muniment.Measure("label-match", higher_is_better=True),
    )

    class Parameters(muniment.Parameters):
        """Parameters of the evaluator."""

        model: str = muniment.param(
            "", model=True, help="folder of a model for sequence classification"
        )
        label: str = muniment.param("", help="wanted label; by default, none")
        labels: list[str] = muniment.param(
            (), help="names of the labels in their order; by default, id2label of the model"
        )

    def __init__(
        self, parameters: Any = None, models: Mapping[str, muniment.Model] | None = None
    ) -> None:
        """Raise ParameterError without a model or its label, or ModelError for another model."""
        super().__init__(parameters, models)
        if "model" not in self.models:
            raise muniment.ParameterError(
                "model", "there is no model; use classifier(model=FOLDER)"
            )
        given: Any = self.parameters
        known = read_labels(self.models["model"])
        if given.labels and len(given.labels) != len(known):
            raise muniment.ParameterError(
                "labels",
                f"there are {len(given.labels)} labels, but the model has {len(known)}: "
                f"{', '.join(known)}",
            )
        names = list(given.labels) or known
        if given.label and names.count(given.label) != 1:
            raise muniment.ParameterError(
                "label", f"the model has no label {given.label!r}; use {', '.join(names)}"
            )
        self._wanted = names.index(given.label) if given.label else None
        self._classifier: SequenceClassifier | None = None

    def evaluate(self, generation: muniment.Generation) -> Mapping[str, float]:
        """Return the measures of all text outputs together, or none for a text without tokens.

        Raises ModelError if the model cannot be loaded.
        """
        if not generation.text.strip():
            return {}
        if self._classifier is None:
            from muniment_analysis.sequence_classifier import SequenceClassifier

            self._classifier = SequenceClassifier(self.models["model"])
        probabilities = self._classifier.probabilities(generation.text)
        if not probabilities:
            return {}
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        scores = {"label": float(best), "confidence": probabilities[best]}
        if self._wanted is not None:
            scores["label-probability"] = probabilities[self._wanted]
            scores["label-match"] = float(best == self._wanted)
        return scores


def read_labels(model: muniment.Model) -> list[str]:
    """Return the labels of a model in their order. Raise ModelError if it is no classifier."""
    path = Path(model.path) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        problem = getattr(error, "strerror", None) or error
        raise muniment.ModelError(
            model.name, f"{path} cannot be read ({problem}); use a folder of transformers"
        ) from None
    names = config.get("architectures") if isinstance(config, dict) else None
    if not names or not str(names[0]).endswith("ForSequenceClassification"):
        raise muniment.ModelError(
            model.name,
            f"the model {model.name} has no layer for labels; use a folder of a class "
            "…ForSequenceClassification",
        )
    labels = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}  # not written if default
    try:
        ordered = [str(labels[str(place)]) for place in range(len(labels))]
    except (KeyError, TypeError):
        raise muniment.ModelError(
            model.name, f"the id2label of {path} is not numbered from 0; correct it"
        ) from None
    if len(ordered) < 2:
        raise muniment.ModelError(
            model.name, f"the model {model.name} has one label, which has no alternative"
        )
    return ordered
