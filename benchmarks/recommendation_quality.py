"""Measure the default recommendation model against each of its parts, and its stability.

Every model is fitted and tuned on the same training part of leave-one-out, and ranks all items for
the same users. Differences of NDCG@10 have the interval of paired users. Cold items are those of
the protocol cold-item. The stability is the mean rank-biased overlap (depth 10, p = 0.9) of the
lists with and without one item of each history. `--further next` also measures the transformer, by
itself and as a further part of the blend.

Prints one JSON line. The exit code is 1 if the blend does not have a higher NDCG@10 than each part.

    python benchmarks/recommendation_quality.py --data FOLDER [--shuffles 10] [--quick]
        [--further FAMILY]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from muniment_recommendation.data.interactions import Interactions
from muniment_recommendation.data.reading import Data, read_data
from muniment_recommendation.fitting.fit import fit
from muniment_recommendation.fitting.options import FitOptions
from muniment_recommendation.measures.evaluation import (
    EvaluationResult,
    compare,
    evaluate,
    fit_function,
)
from muniment_recommendation.measures.stability import dropped_item_overlap
from muniment_recommendation.models.blend import Blend

SHOWN = ("hr@10", "ndcg@10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="Folder of interactions")
    parser.add_argument("--shuffles", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="Compare with the parts only")
    parser.add_argument("--further", help="Family to measure as a further part")
    options = parser.parse_args()
    data = read_data(options.data)
    shuffles = 0 if options.quick else options.shuffles
    start = time.process_time()
    model = fit(data.interactions, data.catalogue, FitOptions())
    fit_seconds = time.process_time() - start
    blend = leave_one_out(data, FitOptions(), shuffles)
    parts = {part.name: leave_one_out(data, FitOptions(part.name), 0) for part in model.blend.parts}
    differences = {name: compare(part, blend)["ndcg@10"] for name, part in parts.items()}
    beaten = all(difference.value > 0 for difference in differences.values())
    record: dict[str, Any] = {
        "benchmark": "recommendation_quality",
        "date": datetime.now(UTC).date().isoformat(),
        "users": blend.users,
        "items": blend.items,
        "interactions": len(data.interactions.items),
        "fit_processor_seconds": round(fit_seconds, 2),
        "blend": shown(blend),
        "parts": {name: shown(part) for name, part in parts.items()},
        "blend_minus_part": {name: value._asdict() for name, value in differences.items()},
    }
    if options.further is not None:
        names = tuple(part.name for part in model.blend.parts)
        record[options.further] = further_part(data, names, options.further, blend)
    if not options.quick:
        cold = evaluate(fit_function(FitOptions()), data.interactions, data.catalogue, "cold-item")
        assert cold.cold is not None
        among, random = cold.cold.metrics["ndcg@10"].value, cold.cold.random["ndcg@10"]
        record["cold"] = {
            "ndcg@10": cold.metrics["ndcg@10"]._asdict(),
            "ndcg@10_among_hidden": among,
            "ratio_to_random": round(among / random, 2),
        }
        record["stability"] = round(stability(model.blend, data.interactions), 4)
    record |= {"ok": beaten, "load": round(os.getloadavg()[0], 1)}
    print(json.dumps(record))
    sys.exit(0 if beaten else 1)


def leave_one_out(data: Data, options: FitOptions, shuffles: int) -> EvaluationResult:
    """Evaluate a family and print its values to stderr."""
    result = evaluate(
        fit_function(options), data.interactions, data.catalogue, "leave-one-out", shuffles=shuffles
    )
    print(options.family, json.dumps(shown(result)), file=sys.stderr, flush=True)
    return result


def further_part(
    data: Data, names: tuple[str, ...], family: str, blend: EvaluationResult
) -> dict[str, Any]:
    """Return the quality and the processor seconds of a family, alone and in the blend."""
    start = time.process_time()
    alone = leave_one_out(data, FitOptions(family), 0)
    between = time.process_time()
    options = FitOptions(options={"parts": (*names, family)})
    together = leave_one_out(data, options, 0)
    return {
        "alone": shown(alone),
        "alone_processor_seconds": round(between - start, 1),
        "in_blend": shown(together),
        "in_blend_processor_seconds": round(time.process_time() - between, 1),
        "in_blend_minus_blend": compare(blend, together)["ndcg@10"]._asdict(),
    }


def shown(result: EvaluationResult) -> dict[str, Any]:
    """Return the values of two metrics, and their means over shuffles."""
    record: dict[str, Any] = {name: result.metrics[name]._asdict() for name in SHOWN}
    if result.shuffles is not None:
        record["mean_over_shuffles"] = {name: result.shuffles.means[name] for name in SHOWN}
    return record


def stability(blend: Blend, interactions: Interactions) -> float:
    """Return the mean overlap over all users with at least two items."""
    users = np.flatnonzero(interactions.lengths >= 2)
    histories = interactions.histories(users)
    return float(dropped_item_overlap(blend.scores, histories, interactions.item_count).mean())


if __name__ == "__main__":
    main()
