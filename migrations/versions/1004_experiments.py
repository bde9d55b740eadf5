"""Cells of experiments.

Revision 1004, after 1003. Entries of earlier versions have none of them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1004"
down_revision = "1003"
branch_labels = None
depends_on = None

Sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LEVELS = ("item", "paraphrase", "setting", "replicate")


def upgrade() -> None:
    op.create_table(
        "cell",
        sa.Column("generation", Sequence, autoincrement=False, nullable=False),
        sa.Column("run", Sequence, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in LEVELS),
        sa.PrimaryKeyConstraint("generation", name=op.f("pk_cell")),
    )
    op.create_index("ix_cell_place", "cell", ["run", *LEVELS, "generation"])
    op.execute(CELL)


def downgrade() -> None:
    """Remove the tables. New entries remain, which the older program cannot read."""
    op.execute("DROP VIEW v_cell")
    op.drop_table("cell")


CELL = """
    CREATE VIEW v_cell AS
    SELECT
        c.generation AS seq,
        g.id AS generation,
        r.id AS run,
        c.item AS item,
        c.paraphrase AS paraphrase,
        c.setting AS setting,
        c.replicate AS replicate
    FROM cell c
    LEFT JOIN generation g ON g.seq = c.generation
    LEFT JOIN run r ON r.seq = c.run
"""
