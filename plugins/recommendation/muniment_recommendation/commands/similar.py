"""The command `muniment recommendation similar`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

import muniment
from muniment.command import Column, emit, headers_option, json_option, pass_session, write_note

from .options import load_model, model_option


@click.command
@click.argument("item")
@model_option
@click.option(
    "-n",
    "--number",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    help="Number of items.",
)
@headers_option
@json_option
@pass_session
def similar(session: muniment.Session, item: str, model: str, number: int, as_json: bool) -> None:
    """List the items that a model recommends to users who took ITEM alone.

    ITEM is the id of an item. The last column has the components of each score by the parts of the
    model. They sum to the score. The list is not recorded.
    """
    import threadpoolctl

    from muniment_recommendation.lists.list_maker import ListMaker
    from muniment_recommendation.lists.similar_items import similar_items

    lists = ListMaker(load_model(session, model))
    with threadpoolctl.threadpool_limits(1):
        ranking = similar_items(lists, item, number)
    for note in ranking.notes:
        write_note(note)
    records: list[dict[str, Any]] = [
        {
            "rank": rank,
            "item": ranked.item,
            "title": ranked.title,
            "score": ranked.score,
            "components": ranked.components,
        }
        for rank, ranked in enumerate(ranking.items, 1)
    ]
    columns: list[Column[dict[str, Any]]] = [
        ("#", "rank"),
        ("item", "item"),
        ("title", "title"),
        ("score", lambda record: f"{record['score']:.3f}"),
        ("parts", _parts),
    ]
    emit(records, columns, as_json)


def _parts(record: Mapping[str, Any]) -> str:
    """Return the components, the largest first, as in `ease 2.10, als 0.35`."""
    largest = sorted(record["components"].items(), key=lambda pair: -pair[1])
    return ", ".join(f"{name} {value:.2f}" for name, value in largest)
