"""What alembic runs: migrations on the connection that the store hands over.

The store begins the transaction and commits it, so that a migration happens whole or not at all.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine

from muniment.store.database import indexes  # noqa: F401 - what else the tables have
from muniment.store.database.tables import metadata


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("migrations run on a store, not into a script: use `muniment db upgrade`")

given = context.config.attributes.get("connection")
if isinstance(given, Connection):
    run(given)
else:
    url = context.get_x_argument(as_dictionary=True).get("url")
    engine = given if given is not None else create_engine(url or "sqlite://")
    with engine.begin() as connection:
        run(connection)
