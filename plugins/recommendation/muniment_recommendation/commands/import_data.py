"""The command `muniment recommendation import`."""

from __future__ import annotations

from pathlib import Path

import click

from muniment.command import emit_one, json_option, progress, write_note

from .options import new_folder_option

_COLUMNS = (("folder", "folder"), ("rows", "rows"), ("users", "users"), ("items", "items"))


@click.command("import")
@click.argument("source", metavar="SOURCE", type=click.Path(path_type=Path))
@new_folder_option("New folder for interactions.csv and items.csv.")
@json_option
def import_data(source: Path, out: Path, as_json: bool) -> None:
    """Write the data of SOURCE as interactions.csv and items.csv.

    SOURCE is a folder, or a table of interactions in it. RecBole names its tables NAME.inter and
    NAME.item, MovieLens ratings.csv and movies.csv. All rows are kept in their order, and ids stay
    as they are written.
    """
    from muniment_recommendation.data.tables import read_tables
    from muniment_recommendation.data.writing import write_tables

    with progress("reading data"):
        tables = read_tables(source)
    with progress("writing data"):
        write_tables(out, tables)
    for note in tables.notes:
        write_note(note)
    record = {
        "folder": str(out),
        "rows": len(tables.rows),
        "users": len(tables.rows.users.distinct),
        "items": len(tables.catalogue),
    }
    emit_one(record, _COLUMNS, as_json)
