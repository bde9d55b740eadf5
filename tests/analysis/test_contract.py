"""The evaluators keep the contract that every evaluator is held to."""

from __future__ import annotations

from typing import ClassVar

from muniment.testing import EvaluatorContract
from muniment_analysis.evaluators.instructions import Instructions
from muniment_analysis.evaluators.perplexity import Perplexity
from muniment_analysis.evaluators.text_statistics import TextStatistics


class TestTextStatistics(EvaluatorContract):
    evaluator = TextStatistics
    undirected = ("characters", "words")


class TestPerplexity(EvaluatorContract):
    evaluator = Perplexity


class TestInstructions(EvaluatorContract):
    evaluator = Instructions
    parameters: ClassVar = {"ids": ["punctuation:no_comma", "startend:quotation"]}
