"""The command `muniment recommendation split`."""

from __future__ import annotations

from pathlib import Path

import click

from muniment.command import emit_one, json_option, progress, write_note
from muniment_recommendation.data.protocols import PROTOCOLS

from .options import data_option, new_folder_option

_COLUMNS = (
    ("folder", "folder"),
    ("training rows", "train"),
    ("test rows", "test"),
    ("tested users", "users"),
    ("skipped users", "skipped"),
    ("users with ties", "tied"),
)


@click.command
@data_option
@new_folder_option("New folder for the folders train and test.")
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    default=PROTOCOLS[0],
    show_default=True,
    help="Rows that are held out: the last item of a user, the last tenth, or a fifth of items.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    show_default=True,
    help="Seed of the hidden items of cold-item.",
)
@json_option
def split(data: Path, out: Path, protocol: str, seed: int, as_json: bool) -> None:
    """Divide data into a folder to train on and a folder to test with.

    All rows of a held-out pair of user and item are test rows. So are the later rows of a tested
    user, and with global-time those of all users. Both folders describe all items. Users with fewer
    than 3 items are trained on and not tested.
    """
    from muniment_recommendation.data.division import divide_tables
    from muniment_recommendation.data.tables import read_tables
    from muniment_recommendation.data.writing import write_parts

    with progress("reading data"):
        tables = read_tables(data)
        train, test, parts = divide_tables(tables, protocol, seed)
    with progress("writing data"):
        write_parts(out, {"train": train, "test": test})
    for note in tables.notes:
        write_note(note)
    record = {
        "folder": str(out),
        "protocol": protocol,
        "train": len(train.rows),
        "test": len(test.rows),
        "users": len(parts.users),
        "skipped": parts.skipped,
        "tied": parts.tied,
    }
    emit_one(record, _COLUMNS, as_json)
