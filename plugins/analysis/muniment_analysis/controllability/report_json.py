"""The JSON of a report on controllability. Every estimate is `{value, low, high, n}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from muniment_analysis.intervals import Estimate

from .advice import advice
from .measure_analysis import MeasureResult
from .report import ControllabilityReport


def to_json(report: ControllabilityReport) -> dict[str, Any]:
    """Return a report as JSON values."""
    design = report.design
    return {
        "run": report.run,
        "at": report.at.isoformat(),
        "generator": design.generator,
        "models": dict(report.models),
        "design": {
            "items": len(design.items),
            "paraphrases": design.paraphrases,
            "settings": {name: list(values) for name, values in design.settings.items()},
            "replicates": design.replicates,
            "typos": design.typos,
            "seed": str(design.seed),
            "generations": design.size,
        },
        "sample": {
            "complete": report.complete,
            "left_out": [
                {"item": id, "missing": dict(reasons)} for id, reasons in report.left_out.items()
            ],
            "lost": [
                {"setting": setting, "outputs": lost}
                for setting, lost in zip(design.combinations, report.lost, strict=True)
            ],
            "warnings": list(report.warnings),
        },
        "replay": None if report.replay is None else report.replay.to_json(),
        "measures": [_measure(report, result) for result in report.measures],
        "omitted": [
            {
                "measure": one.name,
                "items": one.items,
                "needed": one.needed,
                "reason": one.reason,
            }
            for one in report.omitted
        ],
        "outputs": {
            "agreement": report.outputs.agreement.to_json(),
            "entropy": report.outputs.entropy.to_json(),
            "entropy_underestimated": report.outputs.underestimated,
            "diversity": _estimates(report.outputs.diversity),
            "overlap": _estimates(report.outputs.overlap),
        },
        "worst": [
            {
                "item": item.id,
                "controllability": item.controllability,
                "generations": list(item.generations),
            }
            for item in report.worst
        ],
        "advice": advice(report),
    }


def _measure(report: ControllabilityReport, result: MeasureResult) -> dict[str, Any]:
    shares, settings = result.shares, report.design.combinations
    return {
        "measure": result.name,
        "unit": result.unit,
        "items": result.items,
        "left_out": list(result.left_out),
        "shares": None if shares is None else _estimates(shares.shares),
        "components": None if shares is None else dict(shares.components),
        "controllability": None if shares is None else _estimate(shares.controllability),
        "no_shares": result.constant,
        "seed_variance": None
        if shares is None
        else [
            {"setting": setting, **estimate.to_json()}
            for setting, estimate in zip(settings, shares.seed_variance.values(), strict=True)
        ],
        "distances": _estimates(result.distances),
        "step_ratio": _estimate(result.step_ratio),
        "sensitivity": _estimate(result.distances.get("paraphrase")),
        "typos": _estimate(result.typos),
        "seed_distances": [
            {"setting": setting, **estimate.to_json()}
            for setting, estimate in zip(settings, result.seed_distances, strict=True)
        ],
        "response": {
            name: {
                "spearman": _estimate(response.spearman),
                "slope": _estimate(response.slope),
                "means": [
                    {"level": level, **mean.to_json()}
                    for level, mean in zip(response.levels, response.means, strict=True)
                ],
            }
            for name, response in result.response.items()
        },
        "error": _estimates(result.error),
        "compliance": None
        if result.compliance is None
        else {
            "rate": result.compliance.rate.to_json(),
            "settings": [
                {"setting": setting, **estimate.to_json()}
                for setting, estimate in zip(settings, result.compliance.by_setting, strict=True)
            ],
            "pass": [
                {"k": k, **estimate.to_json()}
                for k, estimate in enumerate(result.compliance.curve, 1)
            ],
        },
    }


def _estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate.to_json()


def _estimates(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: estimate.to_json() for name, estimate in estimates.items()}
