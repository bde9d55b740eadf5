"""The command `muniment recommendation stats`."""

from __future__ import annotations

from pathlib import Path

import click

from muniment.command import emit_one, json_option, progress, write_note

from .options import data_option, min_rating_option

_COLUMNS = (
    ("users", "users"),
    ("items", "items"),
    ("interactions", "interactions"),
    ("repeated rows", "repeats"),
    ("disliked", "disliked"),
    ("density", lambda counts: f"{counts.density:.4%}"),
    ("median per user", "median_length"),
    ("users under 3", "short_users"),
    ("users with ties", "tied_users"),
    ("cold items", "cold_items"),
    ("share of top 10 %", lambda counts: f"{counts.top_share:.1%}"),
    ("gini", lambda counts: f"{counts.gini:.3f}"),
    ("first", "first"),
    ("last", "last"),
    ("digest", "digest"),
)


@click.command
@data_option
@min_rating_option
@json_option
def stats(data: Path, min_rating: float | None, as_json: bool) -> None:
    """Count the users, items and interactions of data.

    Ties are users whose last two interactions have the same time. Cold items have no interactions.
    The Gini coefficient is 0 if all items are equally popular.
    """
    from muniment_recommendation.data.reading import read_data
    from muniment_recommendation.data.statistics import statistics_of

    with progress("reading data"):
        tables = read_data(data, min_rating=min_rating)
    for note in tables.notes:
        write_note(note)
    emit_one(statistics_of(tables), _COLUMNS, as_json)
