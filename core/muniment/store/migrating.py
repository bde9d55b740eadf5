"""Running alembic inside a transaction of ours, silently; imported only to make or upgrade."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def configuration(folder: Path) -> Config:
    """Return alembic's configuration; there is no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config


def migrate(connection: Connection, folder: Path, revision: str = "head") -> None:
    """Upgrade the connection's database to a revision; the caller commits."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = configuration(folder)
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
