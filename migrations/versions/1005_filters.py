"""Plugins of generations, and indexes of policies, plugins and categories.

Revision 1005, after 1004. The indexes are those of the filters by policy, plugin and category.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "1005"
down_revision = "1004"
branch_labels = None
depends_on = None

Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INDEXES = {
    "ix_generation_policy_seq": ("generation", ["policy", "seq"]),
    "ix_generation_plugins_seq": ("generation", ["plugins", "seq"]),
    "ix_verdict_category_category_generation": ("verdict_category", ["category", "generation"]),
}


def upgrade() -> None:
    op.add_column("generation", sa.Column("plugins", Text, nullable=True))
    for name, (table, columns) in INDEXES.items():
        op.create_index(op.f(name), table, columns)
    op.execute(
        f"INSERT INTO backfill (revision, position) SELECT '{revision}', -1 "
        "WHERE EXISTS (SELECT 1 FROM entry)"
    )


def fill(connection: sa.Connection, entries: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Set the plugins of the generations in a page of entries.

    `entries` are their numbers and fields, without those of altered entries. `muniment db upgrade`
    calls this after all migrations, in a transaction for each page.
    """
    plugins: dict[int, str] = {}
    for seq, body in entries:
        if body["kind"] in ("started", "outcome"):
            numbers = ",".join(map(str, sorted(set(body["plugins"]))))
            if body["kind"] == "started":
                plugins[seq] = numbers
            elif numbers:  # otherwise those of `started` apply
                plugins[body["generation"]] = numbers
    if plugins:
        update = sa.text("UPDATE generation SET plugins = :plugins WHERE seq = :seq")
        connection.execute(update, [{"seq": n, "plugins": text} for n, text in plugins.items()])


def downgrade() -> None:
    for name, (table, _) in reversed(INDEXES.items()):
        op.drop_index(op.f(name), table)
    op.drop_column("generation", "plugins")
