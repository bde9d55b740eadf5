"""The command `muniment recommendation evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

import muniment
from muniment.command import (
    Column,
    emit,
    headers_option,
    json_option,
    pass_session,
    progress,
    write_json,
    write_note,
)
from muniment_recommendation.data.protocols import PROTOCOLS

from .options import data_option, family_or_folder_option, fit_options_of, min_rating_option

if TYPE_CHECKING:
    from muniment_recommendation.measures.evaluation import EvaluationResult

_CUTOFF = 10
"""The number of first items whose metrics the table has."""
_KINDS_OF_ONE = ("hr", "ndcg", "mrr")
"""The metrics that differ if one item is hidden."""


@click.command
@family_or_folder_option
@data_option
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    default=PROTOCOLS[0],
    show_default=True,
    help="Division into interactions to train on and items to predict.",
)
@click.option(
    "--shuffles",
    metavar="N",
    type=click.IntRange(0, 1000),
    default=10,
    show_default=True,
    help="Number of random orders of equal timestamps.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(0, 2**32 - 1),
    help="Seed of the fit, and the first one of shuffles and of hidden items. That of the folder, "
    "else 0, by default.",
)
@min_rating_option
@headers_option
@json_option
@pass_session
def evaluate(
    session: muniment.Session,
    model: str,
    data: Path,
    protocol: str,
    shuffles: int,
    seed: int | None,
    min_rating: float | None,
    as_json: bool,
) -> None:
    """Measure how well a model predicts interactions that it was not fitted on.

    The model is fitted and tuned again on a part of the data, and ranks all items that a user has
    not seen. Values that a model folder has from its own tuning are not used.

    The protocol leave-one-out predicts the last item of each user. With global-time all items after
    one moment are predicted. With cold-item a fifth of the items is hidden, by each of three seeds.
    Users with fewer than 3 interactions are not tested. Intervals are those of 1,000 resamples.

    The table has the metrics of the first 10 items. Under leave-one-out it omits those that equal
    another, as recall equals hr with one hidden item. The output of --json has all metrics, also
    those of the first 5 and 20 items.
    """
    from muniment_recommendation.data.reading import read_data
    from muniment_recommendation.measures import evaluation

    options = fit_options_of(session, model, seed)
    if min_rating is None:
        min_rating = options.options.get("min_rating")
    with progress("reading data"):
        read = read_data(data, min_rating=min_rating)
    for note in read.notes:
        write_note(note)
    splits = evaluation.splits_of(read.interactions, protocol, options.seed)
    with progress("fitting and ranking", evaluation.count_fits(splits, shuffles)) as bar:
        result = evaluation.evaluate(
            evaluation.fit_function(options),
            read.interactions,
            read.catalogue,
            protocol,
            shuffles=shuffles,
            seed=options.seed,
            advance=bar.advance,
        )
    write_note(
        f"{result.users:,} users tested, {result.skipped:,} not tested, {result.items:,} items, "
        f"{result.seconds:.1f} s"
    )
    if result.items <= _CUTOFF:
        write_note(
            f"there are only {result.items:,} items, so the first {_CUTOFF} are all of them, and "
            f"hr@{_CUTOFF} is the same for every model"
        )
    if result.tied and result.shuffles is None:
        write_note(
            f"the order of the file decides the last item of {result.tied:,} users; use --shuffles "
            "to see its effect"
        )
    if as_json:
        used = dict(options.options)
        if min_rating is not None:
            used["min_rating"] = min_rating
        write_json({"family": options.family, "options": used, **result.to_json()})
    else:
        emit(_rows(result), _columns(result), as_json=False)


class _Row(NamedTuple):
    """The texts of one metric, without those that a result does not have."""

    metric: str
    value: str
    shuffles: str
    random: str
    hidden: str
    random_hidden: str


def _rows(result: EvaluationResult) -> list[_Row]:
    from muniment_recommendation.measures.metrics import KINDS

    rows = []
    kinds = _KINDS_OF_ONE if result.protocol == "leave-one-out" else KINDS
    for name in [f"{kind}@{_CUTOFF}" for kind in kinds]:
        interval = result.metrics[name]
        shuffles = random = hidden = random_hidden = ""
        if result.shuffles is not None:
            means, spreads = result.shuffles.means, result.shuffles.spreads
            shuffles = f"{means[name]:.4f} ± {spreads[name]:.4f}"
        if result.cold is not None:
            random = f"{result.cold.random_overall[name]:.4f}"
            random_hidden = f"{result.cold.random[name]:.4f}"
            hidden = _shown(*result.cold.metrics[name])
        rows.append(_Row(name, _shown(*interval), shuffles, random, hidden, random_hidden))
    return rows


def _columns(result: EvaluationResult) -> list[Column[_Row]]:
    columns: list[Column[_Row]] = [("metric", "metric"), ("value", "value")]
    if result.shuffles is not None:
        columns.append(("shuffled ties", "shuffles"))
    if result.cold is not None:
        columns += [
            ("random", "random"),
            ("among hidden", "hidden"),
            ("random among hidden", "random_hidden"),
        ]
    return columns


def _shown(value: float, low: float, high: float) -> str:
    return f"{value:.4f} ({low:.4f} to {high:.4f})"
