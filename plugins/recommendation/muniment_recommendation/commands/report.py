"""The command `muniment recommendation report`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

import muniment
from muniment.command import (
    emit,
    headers_option,
    json_option,
    pass_session,
    progress,
    write_json,
    write_note,
)

from .options import data_option, family_or_folder_option, fit_options_of, min_rating_option

if TYPE_CHECKING:
    from muniment_recommendation.measures.intervals import Interval
    from muniment_recommendation.reports.report import ListMeasures, Report


@click.command
@family_or_folder_option
@data_option
@click.option(
    "-o",
    "--output",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="New folder for report.json and charts. It needs Pillow.",
)
@click.option(
    "--users",
    metavar="N",
    type=click.IntRange(2, 1_000_000),
    default=500,
    show_default=True,
    help="Maximum number of users with lists, selected by the seed.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(0, 2**32 - 2),
    help="Seed of the fit and of the selected users. That of the folder, else 0, by default.",
)
@min_rating_option
@headers_option
@json_option
@pass_session
def report(
    session: muniment.Session,
    model: str,
    data: Path,
    output: Path | None,
    users: int,
    seed: int | None,
    min_rating: float | None,
    as_json: bool,
) -> None:
    """Report how accurate, diverse, fair and stable the lists of a model are.

    The model is fitted again without the last item of each user, as by evaluate. Its lists of 10
    are compared with those of popularity alone, and with its own at a diversity of 0.2 and 0.5.

    Coverage is the share of the catalogue that is in a list. The Gini coefficient is 0 if all items
    are in equally many lists. Novelty is in bits. Distance is that of the pairs of a list, from 0
    to 1. Miscalibration is the divergence of the tags of a list from those of the history in bits.
    Exposure is the share of positions that the most popular items (head), the middle and the tail
    have. Stability is the overlap of two lists, 1 if they are equal: with and without an item of
    the history, and with two seeds.
    """
    from muniment_recommendation.data.reading import read_data
    from muniment_recommendation.reports.report import STEPS, report_of

    if output is not None:
        _check_output(output)
    options = fit_options_of(session, model, seed)
    if min_rating is None:
        min_rating = options.options.get("min_rating")
    with progress("reading data"):
        read = read_data(data, min_rating=min_rating)
    for note in read.notes:
        write_note(note)
    with progress("fitting and recommending", STEPS) as bar:
        result = report_of(
            read.interactions, read.catalogue, options, users=users, advance=bar.advance
        )
    write_note(f"lists of {result.depth} for {result.users:,} users, {result.items:,} items")
    if output is not None:
        from muniment_recommendation.reports.folder import write_report

        names = write_report(result, output, options.family)
        write_note(f"wrote {', '.join(names)} into {output}")
    if as_json:
        write_json({"family": options.family, "options": dict(options.options), **result.to_json()})
    else:
        columns = [("measure", "measure"), (options.family, "model"), ("popularity", "popularity")]
        emit(_rows(result), columns, as_json=False)


def _check_output(folder: Path) -> None:
    """Raise UsageError unless the folder is new and Pillow is installed."""
    if folder.exists():
        raise muniment.UsageError(f"{folder} exists already; use the path of a new folder")
    try:
        import PIL  # noqa: F401 - checks that it is installed
    except ImportError:
        raise muniment.UsageError(
            "charts need Pillow, which is not installed; run `pip install "
            "'muniment-recommendation[plots]'`, or remove --output"
        ) from None


class _Row(NamedTuple):
    """The texts of one measure. That of popularity is empty if only the model has it."""

    measure: str
    model: str
    popularity: str = ""


def _rows(report: Report) -> Iterator[_Row]:
    model, popular = report.model, report.popularity
    yield _Row(f"hr@{report.depth}", _shown(model.hr), _shown(popular.hr))
    yield _Row(f"ndcg@{report.depth}", _shown(model.ndcg), _shown(popular.ndcg))
    yield _Row("ndcg beyond popularity", _shown(report.gain))
    for name, value, other in zip(_NAMES, _values(model), _values(popular), strict=True):
        yield _Row(name, value, other)
    for tier, other_tier in zip(model.tiers, popular.tiers, strict=True):
        name = f"exposure of {tier.tier} ({tier.interactions:.0%} of interactions)"
        yield _Row(name, f"{tier.exposure:.3f}", f"{other_tier.exposure:.3f}")
    yield _Row("stability without an item", f"{report.stability_dropped:.3f}")
    yield _Row("stability across seeds", f"{report.stability_seeds:.3f}")
    for cost in report.diversities[1:]:
        yield _Row(f"distance at diversity {cost.diversity:g}", f"{cost.distance:.3f}")
        yield _Row(f"ndcg@{report.depth} at diversity {cost.diversity:g}", f"{cost.ndcg:.4f}")
        yield _Row(f"ndcg change at diversity {cost.diversity:g}", _shown(cost.change))


_NAMES = ("coverage", "gini", "novelty", "distance", "miscalibration")


def _values(measures: ListMeasures) -> list[str]:
    values = (getattr(measures, name) for name in _NAMES)
    return ["" if value is None else f"{value:.3f}" for value in values]


def _shown(interval: Interval) -> str:
    return f"{interval.value:.4f} ({interval.low:.4f} to {interval.high:.4f})"
