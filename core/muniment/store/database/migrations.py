"""Run alembic's migrations inside the caller's transaction, without its log output.

Imported only when a store is created or upgraded, because importing alembic is slow.
"""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


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
