"""Run alembic's migrations inside the caller's transaction, without its log output.

Imported only when a store is created or upgraded, because importing alembic is slow.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select

from muniment.ledger.schema import decode
from muniment.ledger.tree import leaf_hash
from muniment.store.database.raw import Values, any_text, raw, tuples
from muniment.store.database.tables import backfill, entry
from muniment.store.errors import UNREADABLE

PAGE = 2000  # entries that a migration reads in one transaction


def configuration(folder: Path) -> Config:
    """Return alembic's configuration for a folder of migrations, without an alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config


def migrate(connection: Connection, folder: Path, revision: str = "head") -> None:
    """Upgrade the database to a revision. The caller commits or rolls back."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = configuration(folder)
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def fill_page(connection: Connection, folder: Path) -> int | None:
    """Fill the tables of migrations with rows for one page of entries.

    Each migration that creates such a table has a function `fill`, which receives the entries of
    the page. The oldest migration is finished first. Return the number of the last entry that was
    read, or None if no page remained.
    """
    due = connection.execute(select(backfill).order_by(backfill.c.revision)).first()
    if due is None:
        return None
    row = backfill.c.revision == due.revision
    columns = select(*raw(entry, "seq", "canonical_bytes", "leaf_hash"))
    page = columns.where(entry.c.seq > due.position).order_by(entry.c.seq).limit(PAGE)
    with any_text(connection):
        stored = tuples(connection, page)
    if not stored:
        connection.execute(backfill.delete().where(row))
        return int(due.position)
    script = ScriptDirectory.from_config(configuration(folder)).get_revision(due.revision)
    script.module.fill(connection, list(_bodies(stored)))
    position: int = stored[-1][0]
    connection.execute(backfill.update().where(row).values(position=position))
    return position


def _bodies(stored: Sequence[Values]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the numbers and fields of entries, except altered ones.

    So a store with an altered entry can be upgraded, and verification reports the entry.
    """
    for seq, data, leaf in stored:
        with suppress(*UNREADABLE):
            decode(data)  # also a hash can be altered
            if leaf_hash(data) == leaf:
                yield seq, json.loads(data)
