"""Sentences on what a reader can do about the results of a report."""

from __future__ import annotations

from collections.abc import Iterator

from muniment_analysis.variance.sample import FEW_ITEMS

from .experiment_design import WORDING
from .measure_analysis import MeasureResult
from .report import ControllabilityReport

_LARGE = 0.5
_SMALL = 0.1
_SENSITIVE = 0.2


def advice(report: ControllabilityReport) -> list[str]:
    """Return the sentences of a report, without repetitions."""
    sentences = [text for result in report.measures for text in _of_measure(report, result)]
    if report.complete < FEW_ITEMS:
        sentences.append(
            "`muniment analyze plan` computes how many items a wanted precision of a score needs"
        )
    if report.outputs.underestimated:
        sentences.append(
            "most outputs of a cell occur once, so their entropy is underestimated: use more seeds"
        )
    return list(dict.fromkeys(sentences))


def _of_measure(report: ControllabilityReport, result: MeasureResult) -> Iterator[str]:
    if result.shares is None:
        yield f"{result.name}: {result.constant}"
        return
    shares, control = result.shares.shares, result.shares.controllability
    seed = shares["seed"]
    if seed.low > _LARGE:
        remedy = "average several outputs"
        if "temperature" in report.design.settings:
            remedy = f"lower the temperature, or {remedy}"
        yield (
            f"{result.name}: the seed moves the output most ({_percent(seed.value)}), so one "
            f"output says little: {remedy}"
        )
    if control is not None and control.high < _SMALL:
        names = ", ".join(report.design.controls)
        yield (
            f"{result.name}: less than {_percent(_SMALL)} of it is due to {names}: control it by "
            "other parameters, or by the prompt"
        )
    wording = shares.get(WORDING)
    if wording is not None and wording.low > _SENSITIVE:
        yield (
            f"{result.name}: the wording moves it by {_percent(wording.value)}: fix the wording of "
            "prompts, and compare models with several wordings"
        )
    for name, response in result.response.items():
        spearman = response.spearman
        if spearman is not None and spearman.low <= 0 <= spearman.high:
            yield f"{result.name}: no trend with {name} is shown: use more items or wider settings"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
