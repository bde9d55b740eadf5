"""A model of transformers that gives a text a probability for each label."""

from __future__ import annotations

from pathlib import Path

import muniment

try:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging as transformers_logging
except ImportError as error:
    raise muniment.UsageError(
        "a classifier needs transformers and torch, which are not installed; install "
        "muniment-analysis[classifier]"
    ) from error

_MAX_TOKENS = 1_000_000  # above it, a tokenizer states no limit
_RESERVED = 2  # positions that models such as RoBERTa do not use for tokens


class SequenceClassifier:
    """A loaded model. It reads one text at a time, so that no text changes another's numbers."""

    def __init__(self, model: muniment.Model) -> None:
        """Raise ModelError for a folder that cannot be loaded or lacks weights."""
        folder = Path(model.path)
        transformers_logging.disable_progress_bar()
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            loaded, report = AutoModelForSequenceClassification.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
        except Exception as error:
            raise muniment.ModelError(
                model.name, f"the classifier {model.name} cannot be loaded: {error}"
            ) from error
        missing = sorted(report["missing_keys"])
        if missing:  # transformers fills them with random numbers
            raise muniment.ModelError(
                model.name,
                f"the classifier {model.name} lacks the weights {missing[0]}; use a trained model",
            )
        self._model = loaded.eval()
        limits = [self._tokenizer.model_max_length]
        if positions := getattr(loaded.config, "max_position_embeddings", None):
            limits.append(positions - _RESERVED)
        self._max_tokens = min(limits) if min(limits) < _MAX_TOKENS else None
        self._is_exclusive = loaded.config.problem_type != "multi_label_classification"

    def probabilities(self, text: str) -> list[float]:
        """Return the probability of each label. Tokens after the model's limit are not read.

        They sum to 1, except for a model with several labels for a text. There are none for a text
        without tokens: a tokenizer may remove control characters, for example.
        """
        tokens = self._tokenizer(
            text,
            truncation=self._max_tokens is not None,
            max_length=self._max_tokens,
            return_tensors="pt",
        )
        if tokens["input_ids"].numel() == 0:
            return []
        with torch.inference_mode():
            logits = self._model(**tokens).logits[0].double()
        values = logits.softmax(-1) if self._is_exclusive else logits.sigmoid()
        probabilities: list[float] = values.tolist()
        return probabilities
