"""Measure families of recommendation models against the same models of other libraries.

EASE and item-kNN are compared with lenskit, ALS with implicit. Both have the same settings, one
thread, the same training part of leave-one-out and the same users, for whom they score all items.
Histories have no recency. They run by turns, and the times are medians of processor seconds.
The quality is NDCG@10, and its difference has the interval of paired users.

Prints one JSON line for each family. `lenskit==2025.8.1` needs another pandas than the tests, so
install it in an environment of its own.

    python benchmarks/recommendation_models.py --data FOLDER [--families ease,item-knn,als]
        [--rounds 3]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions, Numbers
from muniment_recommendation.data.reading import read_data
from muniment_recommendation.data.splits import leave_one_out
from muniment_recommendation.measures.intervals import difference_intervals
from muniment_recommendation.measures.metrics import NAMES, measure
from muniment_recommendation.models.base import Scores
from muniment_recommendation.models.families import family_class

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "LK_NUM_THREADS"), "1"
)
SEED = 0
REGULARIZATION = 400.0
NEIGHBOURS = 200
FACTORS, ITERATIONS = 64, 15
ALS_REGULARIZATION, ALS_CONFIDENCE = 10.0, 5.0  # those of the family, which has no options for them
DIFFERENCE_LIMIT, TIME_LIMIT = 0.002, 1.0

ScoreUsers = Callable[[Sequence[Numbers]], Scores]
Fit = Callable[[Interactions], ScoreUsers]
"""A function that fits a model and returns the one that scores all items for histories."""


class Pair(NamedTuple):
    """A family of this plugin and the same model of another library."""

    ours: Fit
    peer: Fit
    library: str
    modules: Sequence[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="Folder of interactions")
    parser.add_argument("--families", default=",".join(PAIRS))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not os.environ.items() >= ONE_THREAD.items():  # the libraries read it when imported
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)
    data = read_data(options.data)
    split = leave_one_out(data.interactions)
    histories = split.train.histories(split.users)
    for name in options.families.split(","):
        pair = PAIRS[name]
        for module in pair.modules:
            importlib.import_module(module)  # so that no import is timed
        runs: dict[str, list[Run]] = {"ours": [], "peer": []}
        for _ in range(options.rounds):
            runs["ours"].append(run(pair.ours, split.train, histories, split.targets))
            runs["peer"].append(run(pair.peer, split.train, histories, split.targets))
        column = NAMES.index("ndcg@10")
        ours, peer = (runs[side][0].metrics[:, [column]] for side in ("ours", "peer"))
        (difference,) = difference_intervals(peer, ours)
        fits, scorings = (
            {side: median(getattr(run, field) for run in runs[side]) for side in runs}
            for field in ("fit_seconds", "score_seconds")
        )
        ratio = (fits["ours"] + scorings["ours"]) / (fits["peer"] + scorings["peer"])
        record = {
            "benchmark": "recommendation_models",
            "date": datetime.now(UTC).date().isoformat(),
            "family": name,
            "peer": pair.library,
            "users": len(histories),
            "items": split.train.item_count,
            "interactions": len(data.interactions.items),
            "ndcg@10": {"ours": float(ours.mean()), "peer": float(peer.mean())},
            "difference": difference._asdict(),
            "fit_seconds": fits,
            "score_seconds": scorings,
            "time_ratio": round(ratio, 3),
            "fit_time_ratio": round(fits["ours"] / fits["peer"], 3),
            "ok": abs(difference.value) <= DIFFERENCE_LIMIT and ratio <= TIME_LIMIT,
        }
        print(json.dumps(record), flush=True)


class Run(NamedTuple):
    """The metrics [users, names] of one fit, and the processor seconds of its parts."""

    metrics: Scores
    fit_seconds: float
    score_seconds: float


def run(
    fit: Fit, train: Interactions, histories: Sequence[Numbers], targets: Sequence[Numbers]
) -> Run:
    """Fit a model, and rank all items for the histories."""
    start = time.process_time()
    score_users = fit(train)
    fit_seconds = time.process_time() - start
    score_seconds = 0.0

    def timed(block: Sequence[Numbers]) -> Scores:
        nonlocal score_seconds
        before = time.process_time()
        scores = score_users(block)
        score_seconds += time.process_time() - before
        return scores

    metrics = measure(timed, histories, targets, train.item_count)
    return Run(metrics, fit_seconds, score_seconds)


def median(values: Any) -> float:
    """Return the median with 3 decimal digits."""
    return round(statistics.median(values), 3)


def ours(name: str, **options: float) -> Fit:
    """Return the fit of a family of this plugin."""

    def fit(train: Interactions) -> ScoreUsers:
        catalogue = Catalogue(())  # these families read the interactions alone
        model = family_class(name).fit(train, catalogue, options, SEED)
        return model.with_values({"half_life": 1e6}).scores

    return fit


def lenskit(make: Callable[[], Any]) -> Fit:
    """Return the fit of a scorer of lenskit, which scores one user at a time."""

    def fit(train: Interactions) -> ScoreUsers:
        import pandas
        from lenskit.data import ItemList, RecQuery, from_interactions_df

        users = np.repeat(np.arange(len(train.users)), train.lengths)
        frame = pandas.DataFrame({"user_id": users, "item_id": train.items.astype(np.int64)})
        scorer = make()
        scorer.train(from_interactions_df(frame, items=list(range(train.item_count))))
        all_items = ItemList(item_ids=np.arange(train.item_count))

        def score_users(histories: Sequence[Numbers]) -> Scores:
            rows = []
            for history in histories:
                query = RecQuery(history_items=ItemList(item_ids=history.astype(np.int64)))
                rows.append(scorer(query, all_items).scores())
            # An item without a common user has no score there, and 0 here.
            return np.nan_to_num(np.array(rows, np.float64))

        return score_users

    return fit


def lenskit_ease() -> Any:
    from lenskit.knn import EASEScorer

    return EASEScorer(regularization=REGULARIZATION)


def lenskit_item_knn() -> Any:
    from lenskit.knn import ItemKNNScorer

    # All saved neighbours add to a score, as here.
    return ItemKNNScorer(max_nbrs=10**6, save_nbrs=NEIGHBOURS, feedback="implicit")


def implicit_als(train: Interactions) -> ScoreUsers:
    """Fit the model of implicit, and fold in the histories."""
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(
        factors=FACTORS,
        iterations=ITERATIONS,
        regularization=ALS_REGULARIZATION,
        alpha=ALS_CONFIDENCE,
        random_state=SEED,
        num_threads=1,
    )
    model.fit(_matrix(train.histories(), train.item_count), show_progress=False)

    def score_users(histories: Sequence[Numbers]) -> Scores:
        rows = np.arange(len(histories))
        users = model.recalculate_user(rows, _matrix(histories, train.item_count))
        return np.asarray(users @ model.item_factors.T, np.float64)

    return score_users


def _matrix(histories: Sequence[Numbers], item_count: int) -> scipy.sparse.csr_matrix:
    """Return ones [histories, items] in the type that implicit reads."""
    offsets = np.cumsum([0, *map(len, histories)])
    items = np.concatenate([np.zeros(0, np.int32), *histories])
    ones = np.ones(len(items), np.float32)
    return scipy.sparse.csr_matrix((ones, items, offsets), shape=(len(histories), item_count))


LENSKIT = ("lenskit.data", "lenskit.knn", "pandas")
PAIRS = {
    "ease": Pair(
        ours("ease", regularization=REGULARIZATION), lenskit(lenskit_ease), "lenskit", LENSKIT
    ),
    "item-knn": Pair(
        ours("item-knn", neighbours=NEIGHBOURS), lenskit(lenskit_item_knn), "lenskit", LENSKIT
    ),
    "als": Pair(
        ours("als", factors=FACTORS, iterations=ITERATIONS),
        implicit_als,
        "implicit",
        ("implicit.cpu.als",),
    ),
}


if __name__ == "__main__":
    main()
