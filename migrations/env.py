"""The environment of alembic, which runs the migrations on a connection of the store.

The store begins the transaction and commits it, so that an upgrade is atomic.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine

from muniment.store.database import indexes  # noqa: F401 - adds the partial indexes
from muniment.store.database.tables import metadata


def run(connection: Connection) -> None:
    """Run the migrations that are due on a connection."""
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit(
        "alembic's offline mode is not supported; run `muniment db upgrade` on a store"
    )

bind = context.config.attributes.get("connection")
if isinstance(bind, Connection):
    run(bind)
else:
    url = context.get_x_argument(as_dictionary=True).get("url")
    engine = bind if bind is not None else create_engine(url or "sqlite://")
    with engine.begin() as connection:
        run(connection)
