"""Measure variance shares against known answers, and their speed against statsmodels' MixedLM.

Each simulation draws the outputs of a generator with known shares: 30 items with 5 wordings, 4
settings and 5 seeds, and effects with the distribution of Laplace. It reports the bias, the error
of the share of the seed and the coverage of the 95 % intervals over all simulations.

The speed is that of the estimate with 2,000 resamples on a table of 3,000 rows, against one fit of
MixedLM (REML) on the same table in the same process. The share of each must agree.

Prints one JSON line. The exit code is 1 if a known answer or the speed is missed.

    OMP_NUM_THREADS=1 python benchmarks/analysis_variance.py [--simulations 1000]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from datetime import UTC, datetime
from statistics import median
from typing import Any

import numpy as np

from muniment_analysis.intervals import Floats
from muniment_analysis.variance.design import Design
from muniment_analysis.variance.mean_squares import mean_squares
from muniment_analysis.variance.shares import VarianceShares, variance_shares

DESIGN = Design(
    ("paraphrase", "temperature"),
    (tuple("abcde"), tuple("abcd")),
    seeds=5,
    controls=("temperature",),
)
ITEMS = 30
# Shares of wording, setting, their interaction and the seed.
SHARE_SETS = ((0.2, 0.2, 0.1, 0.5), (0.05, 0.05, 0.05, 0.85), (0.1, 0.7, 0.1, 0.1))
WITHOUT_CONTROL = {
    "seed alone": (0.0, 0.0, 0.0, 1.0),
    "wording alone": (0.5, 0.0, 0.0, 0.5),
    "wording that depends on the setting": (0.2, 0.0, 0.1, 0.7),
}
REPETITIONS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1000)
    count = parser.parse_args().simulations
    known = [known_answer(shares, count) for shares in SHARE_SETS]
    controls = [without_control(name, shares, count) for name, shares in WITHOUT_CONTROL.items()]
    exact = deterministic(count)
    peer = against_mixed_model()
    passed = all(entry["ok"] for entry in [*known, *controls, peer]) and exact == 0.0
    record = {
        "benchmark": "analysis_variance",
        "date": datetime.now(UTC).date().isoformat(),
        "simulations": count,
        "known_answers": known,
        "without_control": controls,
        "coverage_with_10_items": known_answer(SHARE_SETS[0], count, items=10)["coverage"],
        "largest_seed_share_of_a_deterministic_generator": exact,
        "mixed_model": peer,
        "ok": passed,
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(record))
    sys.exit(0 if passed else 1)


def simulate(shares: tuple[float, ...], seed: int, items: int = ITEMS) -> Floats:
    """Return values [items, wordings, settings, seeds] of a generator with known shares."""
    generator = np.random.default_rng(seed)
    wordings, settings = DESIGN.shape
    shapes = ((wordings, 1, 1), (1, settings, 1), (wordings, settings, 1))
    values = np.zeros((items, wordings, settings, DESIGN.seeds))
    for share, shape in zip(shares, [*shapes, values.shape[1:]], strict=True):
        # The variance of Laplace is twice the square of its scale.
        values += generator.laplace(scale=np.sqrt(share / 2), size=(items, *shape))
    return values


def analyse(values: Floats) -> VarianceShares:
    return variance_shares(DESIGN, mean_squares(DESIGN, values))


def known_answer(shares: tuple[float, ...], simulations: int, items: int = ITEMS) -> dict[str, Any]:
    """Return bias, error and coverage of each share. The controllability is that of the setting."""
    values = np.empty((simulations, len(shares)))
    covered = np.empty((simulations, len(shares)), bool)
    for number in range(simulations):
        estimates = analyse(simulate(shares, number, items)).shares.values()
        values[number] = [estimate.value for estimate in estimates]
        covered[number] = [
            estimate.low <= share <= estimate.high
            for estimate, share in zip(estimates, shares, strict=True)
        ]
    bias = values.mean(axis=0) - shares
    rmse = float(np.sqrt(np.square(values[:, -1] - shares[-1]).mean()))
    coverage = covered.mean(axis=0)
    return {
        "shares": shares,
        "bias": dict(zip(DESIGN.names, bias.round(4).tolist(), strict=True)),
        "rmse_of_seed": round(rmse, 4),
        "coverage": dict(zip(DESIGN.names, coverage.round(3).tolist(), strict=True)),
        "ok": bool(np.abs(bias).max() <= 0.012 and rmse <= 0.037 and coverage.min() >= 0.88),
    }


def without_control(name: str, shares: tuple[float, ...], simulations: int) -> dict[str, Any]:
    """Return the bias of the controllability, and how often it is at most .02."""
    values = np.array([controllability(simulate(shares, number)) for number in range(simulations)])
    small = float((values <= 0.02).mean())
    return {
        "generator": name,
        "bias": round(float(values.mean()), 4),
        "share_up_to_0.02": round(small, 4),
        "largest": round(float(values.max()), 4),
        "ok": bool(values.mean() <= 0.015 and small >= 0.99),
    }


def controllability(values: Floats) -> float:
    estimate = analyse(values).controllability
    assert estimate is not None
    return estimate.value


def deterministic(simulations: int) -> float:
    """Return the largest share of the seed if all seeds have the same output."""
    largest = 0.0
    for number in range(simulations):
        values = simulate((0.3, 0.4, 0.3, 0.0), number)
        largest = max(largest, analyse(values).shares["seed"].high)
    return largest


def against_mixed_model() -> dict[str, Any]:
    """Return times and the largest difference of shares on a table of 3,000 rows."""
    values = next(
        values
        for values in (simulate(SHARE_SETS[0], number) for number in range(100))
        if min(analyse(values).components.values()) > 0
    )
    seconds = []
    for _ in range(REPETITIONS):
        start = time.process_time()
        estimates = analyse(values)
        seconds.append(time.process_time() - start)
    shares, converged, peer_seconds = fit_mixed_model(values)
    difference = max(
        abs(estimates.shares[name].value - share)
        for name, share in zip(DESIGN.names, shares, strict=True)
    )
    ratio = peer_seconds / median(seconds)
    return {
        "rows": values.size,
        "seconds": round(median(seconds), 4),
        "mixed_model_seconds": round(peer_seconds, 3),
        "ratio": round(ratio, 1),
        "largest_difference": round(difference, 5),
        "converged": converged,
        "ok": bool(converged and difference <= 0.01 and ratio >= 10),
    }


def fit_mixed_model(values: Floats) -> tuple[list[float], bool, float]:
    """Return the shares of one fit of MixedLM, whether it converged, and its seconds."""
    import pandas as pd
    from statsmodels.regression.mixed_linear_model import MixedLM

    places = np.indices(values.shape).reshape(4, -1)
    names = ("item", "paraphrase", "temperature", "seed")
    table = pd.DataFrame({**dict(zip(names, places, strict=True)), "y": values.ravel()})
    formulas = {
        "a": "0 + C(paraphrase)",
        "b": "0 + C(temperature)",
        "c": "0 + C(paraphrase):C(temperature)",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MixedLM.from_formula(
            "y ~ 1", table, groups="item", re_formula="1", vc_formula=formulas
        )
        start = time.process_time()
        result = model.fit(reml=True)
        seconds = time.process_time() - start
    components = np.array([*result.vcomp, result.scale])
    return (components / components.sum()).tolist(), bool(result.converged), seconds


if __name__ == "__main__":
    main()
