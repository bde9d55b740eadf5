"""The evaluators keep the contract that every evaluator is held to."""

from __future__ import annotations

from muniment.testing import EvaluatorContract
from muniment_analysis.evaluators.perplexity import Perplexity
from muniment_analysis.evaluators.text_statistics import TextStatistics


class TestTextStatistics(EvaluatorContract):
    evaluator = TextStatistics
    undirected = ("characters", "words")


class TestPerplexity(EvaluatorContract):
    evaluator = Perplexity
