"""The folder of a report: its numbers as JSON, and charts of them as PNG."""

from __future__ import annotations

import json
from pathlib import Path

from muniment_recommendation.data.writing import new_folder

from .charts import draw_bars
from .report import POPULARITY, Report


def write_report(report: Report, folder: Path, family: str) -> list[str]:
    """Write a report into a new folder, and return the names of its files. Raises DataError."""
    model, popular = report.model, report.popularity
    costs = report.diversities
    charts = {
        "accuracy.png": draw_bars(
            ["HR@10", "NDCG@10"],
            {
                family: [model.hr.value, model.ndcg.value],
                f"{POPULARITY} alone": [popular.hr.value, popular.ndcg.value],
            },
            title="Accuracy: the last item of a user in the list",
        ),
        "exposure.png": draw_bars(
            [f"{tier.tier} ({tier.items:,} items)" for tier in model.tiers],
            {
                "interactions": [tier.interactions for tier in model.tiers],
                family: [tier.exposure for tier in model.tiers],
                f"{POPULARITY} alone": [tier.exposure for tier in popular.tiers],
            },
            title="Share of the positions by the popularity of items",
        ),
        "diversity.png": draw_bars(
            [f"diversity {cost.diversity:g}" for cost in costs],
            {
                "distance": [cost.distance for cost in costs],
                "NDCG@10": [cost.ndcg for cost in costs],
            },
            title="Distance within lists, and its cost in accuracy",
        ),
    }
    text = json.dumps({"family": family, **report.to_json()}, ensure_ascii=False, indent=1)
    with new_folder(folder) as temporary:
        (temporary / "report.json").write_text(f"{text}\n", "utf-8")
        for name, chart in charts.items():
            chart.save(temporary / name)
    return ["report.json", *charts]
