"""Measure the processor time of one recommendation from a loaded model, with its explanation.

The data is made by a seed: 10,000 items with a title, a text and tags, of which few are popular.
The histories of the queries have 100 items. Recording is not included. The peer is the model of the
library implicit, which recommends for the same histories and explains each of the first ten items.

Prints one JSON line for each kind of list, and one for the peer.

    python benchmarks/recommendation.py [--items N] [--history N] [--queries N] [--users N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a processor time is that of one thread

import numpy as np
import scipy.sparse
from implicit.cpu.als import AlternatingLeastSquares

from muniment_recommendation.data.catalogue import Catalogue, CatalogueItem
from muniment_recommendation.data.interactions import Interactions, Numbers
from muniment_recommendation.fitting.fit import fit
from muniment_recommendation.fitting.options import FitOptions
from muniment_recommendation.lists.list_maker import ListMaker
from muniment_recommendation.ranking.document import write_ranking
from muniment_recommendation.requests.query import ListOptions, Query

KINDS: dict[str, dict[str, Any]] = {
    "explained": {},
    "with a wish": {},
    "with a counterfactual": {"counterfactuals": 1},
    "diverse": {"diversity": 0.3},
    "calibrated": {"calibrate": "tags"},
    "sampled": {"temperature": 1.0},
}
WISH = "word1 word20 word300"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--items", type=int, default=10_000)
    arguments.add_argument("--users", type=int, default=2_000)
    arguments.add_argument("--history", type=int, default=100)
    arguments.add_argument("--queries", type=int, default=50)
    options = arguments.parse_args()
    random = np.random.default_rng(0)
    shares = 1 / np.arange(1, options.items + 1) ** 0.8
    shares /= shares.sum()

    def history(length: int) -> Numbers:
        return random.choice(options.items, length, replace=False, p=shares).astype(np.int32)

    catalogue = make_catalogue(options.items, random)
    data = make_data([history(60) for _ in range(options.users)], options.items)
    model = fit(data, catalogue, FitOptions())
    histories = [history(options.history) for _ in range(options.queries)]
    lists = ListMaker(model)
    nothing = np.zeros(options.items, dtype=bool)
    for kind, values in KINDS.items():
        wish = WISH if kind == "with a wish" else ""
        chosen = ListOptions(**values)
        queries = [(Query(items, wish, nothing), chosen) for items in histories]
        milliseconds = median_ms(lambda query: write_ranking(lists.ranking(*query)), queries)
        report(kind, milliseconds, options, parts={part.name: part.weight for part in model.parts})
    report("peer", peer_ms(data, histories), options, peer="implicit ALS, recommend and explain")


def make_catalogue(size: int, random: np.random.Generator) -> Catalogue:
    words = np.array([f"word{number}" for number in range(8000)])
    return Catalogue(
        tuple(
            CatalogueItem(
                str(number),
                f"Title {number}",
                " ".join(random.choice(words, 30)),
                (words[number % 20], words[20 + number % 7]),
            )
            for number in range(size)
        )
    )


def make_data(histories: Sequence[Numbers], item_count: int) -> Interactions:
    offsets = np.cumsum([0, *map(len, histories)])
    return Interactions(
        tuple(f"u{number}" for number in range(len(histories))),
        offsets,
        np.concatenate(histories),
        np.arange(offsets[-1]),
        item_count,
    )


def peer_ms(data: Interactions, histories: Sequence[Numbers]) -> float:
    model = AlternatingLeastSquares(factors=64, random_state=0, num_threads=1)
    model.fit(scipy.sparse.csr_matrix(data.matrix().astype(np.float32)), show_progress=False)

    def recommend(history: Numbers) -> None:
        ones = np.ones(len(history), np.float32)
        row = scipy.sparse.csr_matrix((ones, history, [0, len(history)]), (1, data.item_count))
        items, _ = model.recommend(0, row, N=10, recalculate_user=True)
        for item in items:
            model.explain(0, row, item)

    return median_ms(recommend, histories)


def median_ms(call: Callable[[Any], object], queries: Sequence[Any]) -> float:
    call(queries[0])
    times = []
    for query in queries:
        start = time.process_time()
        call(query)
        times.append(time.process_time() - start)
    return round(1000 * statistics.median(times), 2)


def report(kind: str, milliseconds: float, options: argparse.Namespace, **facts: object) -> None:
    record = {
        "benchmark": "recommendation",
        "date": datetime.now(UTC).date().isoformat(),
        "kind": kind,
        "items": options.items,
        "history": options.history,
        "queries": options.queries,
        "median_ms": milliseconds,
        **facts,
    }
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
