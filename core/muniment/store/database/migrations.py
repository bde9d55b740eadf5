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
    if connection.dialect.name == "postgresql":
        _order_by_code_points(connection)


def _order_by_code_points(connection: Connection) -> None:
    """Let every text sort and compare as on SQLite, whatever the database's own collation.

    Prefixes of ids and digests are looked for as ranges, which a language's order would break.
    """
    for table, changes in connection.exec_driver_sql(_UNORDERED).all():
        connection.exec_driver_sql(f"ALTER TABLE {table} {changes}")


_UNORDERED = """
SELECT a.attrelid::regclass::text,
       string_agg(
           format('ALTER COLUMN %I TYPE %s COLLATE "C"',
                  a.attname, format_type(a.atttypid, a.atttypmod)), ', ')
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_collation k ON k.oid = a.attcollation
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
  AND a.attnum > 0 AND NOT a.attisdropped AND k.collname <> 'C'
GROUP BY a.attrelid
""".replace("%", "%%")
