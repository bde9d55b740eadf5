"""The report on controllability as a self-contained HTML page, and as rows of a CSV file."""

from __future__ import annotations

from collections.abc import Iterator

from muniment_analysis.intervals import Estimate
from muniment_analysis.pages import plots
from muniment_analysis.pages.csv_table import csv_text
from muniment_analysis.pages.html import render, trusted

from .advice import advice
from .measure_analysis import MeasureResult
from .report import ControllabilityReport


def html(report: ControllabilityReport) -> str:
    """Return the page."""
    shares = {item.name: item.shares.shares for item in report.measures if item.shares is not None}
    return render(
        "controllability.html",
        title=f"Controllability of {report.design.generator}",
        design=report.design,
        models=report.models,
        run=report.run,
        at=f"{report.at:%Y-%m-%d %H:%M} UTC",
        warnings=report.warnings,
        shares_plot=trusted(plots.stacked_shares(shares)) if shares else None,
        sources=list(dict.fromkeys(name for parts in shares.values() for name in parts)),
        measures=report.measures,
        plots={result.name: list(_plots(result)) for result in report.measures},
        settings=setting_names(report),
        outputs=report.outputs,
        replay=report.replay,
        left_out=report.left_out,
        lost=report.lost,
        worst=report.worst,
        prompts={item.id: item.paraphrases[0] for item in report.design.items},
        advice=advice(report),
        zip=zip,
    )


def csv(report: ControllabilityReport) -> str:
    """Return every estimate of the report as a row of CSV."""
    headers = ("measure", "statistic", "name", "value", "low", "high", "n")
    return csv_text(headers, [(*place, *estimate) for place, estimate in named_estimates(report)])


def setting_names(report: ControllabilityReport) -> list[str]:
    """Return a name of each setting, such as `temperature=0.2`."""
    controls = report.design.controls
    return [
        ", ".join(f"{name}={values[name]}" for name in controls) or "all"
        for values in report.design.combinations
    ]


def named_estimates(
    report: ControllabilityReport,
) -> Iterator[tuple[tuple[str, str, str], Estimate]]:
    """Yield every estimate of a report with its measure, statistic and the name within it."""
    settings = setting_names(report)
    for result in report.measures:
        name = result.name
        if result.shares is not None:
            for source, share in result.shares.shares.items():
                yield (name, "share", source), share
            if result.shares.controllability is not None:
                yield (name, "controllability", ""), result.shares.controllability
            variances = result.shares.seed_variance.values()
            for setting, variance in zip(settings, variances, strict=True):
                yield (name, "seed variance", setting), variance
        for source, distance in result.distances.items():
            yield (name, "distance", source), distance
        if result.step_ratio is not None:
            yield (name, "step ratio", ""), result.step_ratio
        if result.typos is not None:
            yield (name, "distance", "typos"), result.typos
        for control, response in result.response.items():
            if response.spearman is not None:
                yield (name, "spearman", control), response.spearman
            if response.slope is not None:
                yield (name, "slope", control), response.slope
            for level, mean in zip(response.levels, response.means, strict=True):
                yield (name, "mean", f"{control}={level:g}"), mean
        for kind, estimate in result.error.items():
            yield (name, "error", kind), estimate
        if result.compliance is not None:
            yield (name, "compliance", ""), result.compliance.rate
            for k, estimate in enumerate(result.compliance.curve, 1):
                yield (name, "pass", str(k)), estimate
    yield ("", "agreement", ""), report.outputs.agreement
    yield ("", "entropy", ""), report.outputs.entropy
    for name, estimate in {**report.outputs.diversity, **report.outputs.overlap}.items():
        yield ("", name, ""), estimate


def _plots(result: MeasureResult) -> Iterator[tuple[str, str]]:
    for name, response in result.response.items():
        plot = plots.curve(response.levels, response.means, x_label=name, y_label=result.name)
        yield f"mean of {result.name} at each {name}", trusted(plot)
    groups = {
        name: values
        for name, values in result.item_distances.items()
        if name in ("seed", "setting") and len(values)
    }
    if groups:
        plot = plots.violins(groups, y_label="mean distance of an item")
        yield "distance between seeds and between settings, by item", trusted(plot)
    if result.compliance is not None and len(result.compliance.curve) > 1:
        curve = result.compliance.curve
        counts = list(range(1, len(curve) + 1))
        plot = plots.curve(counts, curve, x_label="k", y_label="pass^k")
        yield "probability that k outputs all comply", trusted(plot)
