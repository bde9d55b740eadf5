"""The evaluator `instructions`, which checks verifiable instructions of IFEval."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

import muniment
from muniment_analysis.ifeval.compliance import check_response
from muniment_analysis.ifeval.data import read_json
from muniment_analysis.ifeval.instructions import read_instructions


class Instructions(muniment.Evaluator):
    """The shares of instructions that the text outputs follow, strict and loose."""

    name = "instructions"
    measures = (
        muniment.Measure("strict", higher_is_better=True),
        muniment.Measure("loose", higher_is_better=True),
    )

    class Parameters(muniment.Parameters):
        """Parameters of the evaluator."""

        ids: list[str] = muniment.param((), help="ids of instructions, as in IFEval's data")
        arguments: str = muniment.param(
            "",
            help="JSON list of one object for each id, such as [{}, "
            '{"num_words": 100, "relation": "at least"}]; if omitted, all objects are empty',
        )

    def __init__(
        self, parameters: Any = None, models: Mapping[str, muniment.Model] | None = None
    ) -> None:
        """Raise ParameterError without an instruction, and for an invalid one."""
        super().__init__(parameters, models)
        given: Any = self.parameters
        ids, text = given.ids, given.arguments
        if not ids:
            raise muniment.ParameterError(
                "ids", 'there is no instruction; use instructions(ids=["punctuation:no_comma"])'
            )
        try:
            arguments = read_json(text) if text else [{} for _ in ids]
        except ValueError as error:
            raise muniment.ParameterError("arguments", f"arguments is not JSON: {error}") from None
        try:
            self._instructions = read_instructions(ids, arguments)
        except ValueError as error:
            raise muniment.ParameterError("ids", str(error)) from None

    def evaluate(self, generation: muniment.Generation) -> Mapping[str, float]:
        """Return both shares, averaged over the text outputs, or none without a text output."""
        texts = [output.text for output in generation.outputs if output.text is not None]
        if not texts:
            return {}
        results = [check_response(text, self._instructions) for text in texts]
        return {
            "strict": fmean(result for strict, _ in results for result in strict),
            "loose": fmean(result for _, loose in results for result in loose),
        }
