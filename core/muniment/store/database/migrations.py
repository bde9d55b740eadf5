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
    if connection.dialect.name == "postgresql":
        _order_by_code_points(connection)


def _order_by_code_points(connection: Connection) -> None:
    """Give every text column the collation "C", so that texts sort as on SQLite."""
    # Prefixes of ids and digests are looked up as ranges; a language's collation would break these.
    for table, changes in connection.exec_driver_sql(_COLUMNS_WITHOUT_C).all():
        connection.exec_driver_sql(f"ALTER TABLE {table} {changes}")


_COLUMNS_WITHOUT_C = """
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
