"""The plugin module that the core loads. An evaluator is imported only when it is used."""

from __future__ import annotations

import muniment

_EVALUATORS = {
    "text-statistics": "text_statistics:TextStatistics",
    "instructions": "instructions:Instructions",
    "perplexity": "perplexity:Perplexity",
    "classifier": "classifier:Classifier",
    "bleu": "reference_overlap:Bleu",
    "chrf": "reference_overlap:Chrf",
    "rouge-l": "reference_overlap:RougeL",
    "self-bleu": "group_diversity:SelfBleu",
    "diversity": "group_diversity:Diversity",
    "embedding-similarity": "embedding_similarity:EmbeddingSimilarity",
}


@muniment.hookimpl
def muniment_evaluators(register: muniment.Register) -> None:
    """Register the evaluators of this distribution."""
    for name, place in _EVALUATORS.items():
        register(f"muniment_analysis.evaluators.{place}", name=name)
