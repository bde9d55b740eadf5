"""The plugin module that the core loads. An evaluator is imported only when it is used."""

from __future__ import annotations

import muniment


@muniment.hookimpl
def muniment_evaluators(register: muniment.Register) -> None:
    """Register the evaluators of this distribution."""
    register("muniment_analysis.evaluators.text_statistics:TextStatistics", name="text-statistics")
    register("muniment_analysis.evaluators.instructions:Instructions", name="instructions")
    register("muniment_analysis.evaluators.perplexity:Perplexity", name="perplexity")
