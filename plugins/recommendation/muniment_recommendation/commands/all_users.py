"""The command `muniment recommendation all`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING

import click

import muniment
from muniment.command import (
    OutputFile,
    Progress,
    emit_one,
    json_option,
    overwrite_option,
    pass_session,
    progress,
)

from .options import load_model, model_option

if TYPE_CHECKING:
    from muniment_recommendation.lists.list_maker import ListMaker
    from muniment_recommendation.lists.user_lists import UserList

_COLUMNS = (
    ("file", "file"),
    ("users", "users"),
    ("empty lists", "empty"),
    ("items", "items"),
    ("bytes", "bytes"),
)


@click.command("all")
@model_option
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    required=True,
    help="New file: .jsonl (a line for each user) or .csv (a row for each item).",
)
@click.option(
    "-k",
    "--k",
    "k",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    help="Number of items for each user.",
)
@overwrite_option
@json_option
@pass_session
def all_users(
    session: muniment.Session, model: str, output: str, k: int, overwrite: bool, as_json: bool
) -> None:
    """Write the recommended items of every user to one file.

    The items are those of `muniment generate recommendation --user`, with its default parameters.
    The lists are not recorded as generations: no policy applies, and they cannot be replayed.

    In CSV, a title that a spreadsheet would compute as a formula begins with an apostrophe. Ids are
    written as they are.
    """
    import threadpoolctl

    from muniment_recommendation.lists.list_maker import ListMaker
    from muniment_recommendation.lists.user_lists import FORMATS

    write = FORMATS.get(PurePath(output).suffix.lower())
    if write is None:
        raise muniment.UsageError(
            f"{output} has no known format; use a name that ends with {' or '.join(FORMATS)}"
        )
    file = OutputFile(output, overwrite=overwrite, inputs=[model])
    lists = ListMaker(load_model(session, model))
    counts = {"users": 0, "empty": 0, "items": 0, "bytes": 0}
    with (
        threadpoolctl.threadpool_limits(1),
        progress("recommending", len(lists.model.interactions.users)) as bar,
        file.open() as target,
    ):
        for block in write(_counted(lists, k, counts, bar)):
            counts["bytes"] += target.write(block)
    emit_one({"file": output, **counts}, _COLUMNS, as_json)


def _counted(lists: ListMaker, k: int, counts: dict[str, int], bar: Progress) -> Iterator[UserList]:
    """Yield the lists of all users, and add up their numbers."""
    from muniment_recommendation.lists.user_lists import user_lists

    for one in user_lists(lists, k):
        counts["users"] += 1
        counts["empty"] += not one.items
        counts["items"] += len(one.items)
        bar.advance(1)
        yield one
