"""Run alembic's migrations inside the caller's transaction, without its log output.

Imported only when a store is created or upgraded, because importing alembic is slow.
"""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select

from muniment.store.database.tables import backfill


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

    Each migration that creates such a table has a function `fill`, and the oldest migration is
    finished first. Return the number of the last entry that was read, or None if no page remained.
    """
    due = connection.execute(select(backfill).order_by(backfill.c.revision)).first()
    if due is None:
        return None
    script = ScriptDirectory.from_config(configuration(folder)).get_revision(due.revision)
    position: int | None = script.module.fill(connection, due.position)
    row = backfill.c.revision == due.revision
    if position is None:
        connection.execute(backfill.delete().where(row))
    else:
        connection.execute(backfill.update().where(row).values(position=position))
    return due.position if position is None else position
