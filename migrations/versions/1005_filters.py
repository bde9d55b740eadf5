"""Plugins of generations, and indexes of policies, plugins and categories.

Revision 1005, after 1004. The indexes are those of the filters by policy, plugin and category.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "1005"
down_revision = "1004"
branch_labels = None
depends_on = None

Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
PAGE = 2000  # entries read in one transaction
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


def fill(connection: sa.Connection, after: int) -> int | None:
    """Set the plugins of the generations in the page of entries after a number.

    Return its last number, or None if there are no entries after that number. `muniment db upgrade`
    calls this after all migrations, in a transaction for each page.
    """
    entries = connection.execute(
        sa.text(
            "SELECT seq, kind, canonical_bytes FROM entry WHERE seq > :after "
            f"ORDER BY seq LIMIT {PAGE}"
        ),
        {"after": after},
    ).all()
    updates = []
    for seq, kind, content in entries:
        if kind in ("started", "outcome"):
            body = json.loads(bytes(content))
            numbers = ",".join(map(str, sorted(set(body["plugins"]))))
            if kind == "started":
                updates.append({"number": seq, "plugins": numbers})
            elif numbers:  # otherwise those of `started` apply
                updates.append({"number": body["generation"], "plugins": numbers})
    if updates:
        update = sa.text("UPDATE generation SET plugins = :plugins WHERE seq = :number")
        connection.execute(update, updates)
    return entries[-1].seq if entries else None


def downgrade() -> None:
    for name, (table, _) in reversed(INDEXES.items()):
        op.drop_index(op.f(name), table)
    op.drop_column("generation", "plugins")
