"""Cells of experiments, the policies of generations and the categories of verdicts.

Revision 1004, after 1003. Entries of earlier versions have no cells.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from alembic import op

from muniment.validation import recordable_name

revision = "1004"
down_revision = "1003"
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
LEVELS = ("item", "paraphrase", "setting", "replicate")
PAGE = 2000  # entries read in one transaction


def upgrade() -> None:
    op.create_table(
        "cell",
        sa.Column("generation", Number, autoincrement=False, nullable=False),
        sa.Column("run", Number, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in LEVELS),
        sa.PrimaryKeyConstraint("generation", name=op.f("pk_cell")),
    )
    op.create_index("ix_cell_place", "cell", ["run", *LEVELS, "generation"])
    op.create_table(
        "verdict_category",
        sa.Column("generation", Number, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("category", Text, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint(
            "generation", "position", "category", name=op.f("pk_verdict_category")
        ),
        sqlite_with_rowid=False,
    )
    op.add_column("generation", sa.Column("policy", Number, nullable=True))
    op.execute(CELL)
    op.execute(
        f"INSERT INTO backfill (revision, position) SELECT '{revision}', -1 "
        "WHERE EXISTS (SELECT 1 FROM entry)"
    )


def fill(connection: sa.Connection, after: int) -> int | None:
    """Insert the policies and categories of the page of entries after a number.

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
    bodies = [(row.seq, row.kind, json.loads(bytes(row.canonical_bytes))) for row in entries]
    policies = [
        {"seq": seq, "policy": body["policy"]}
        for seq, kind, body in bodies
        if kind == "started" and body["policy"] is not None
    ]
    if policies:
        update = sa.text("UPDATE generation SET policy = :policy WHERE seq = :seq")
        connection.execute(update, policies)
    categories = [
        row
        for seq, kind, body in bodies
        if kind == "outcome"
        for row in _categories(connection, seq, body)
    ]
    if categories:
        insert = "INSERT INTO verdict_category VALUES (:generation, :position, :category)"
        connection.execute(sa.text(insert), categories)
    return entries[-1].seq if entries else None


def _categories(
    connection: sa.Connection, seq: int, outcome: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the verdicts of an outcome, other than those that only allow."""
    positions = [
        position
        for position, verdict in enumerate(outcome["verdicts"])
        if {verdict["decision"], verdict["action"]} != {"allow"}
    ]
    if not positions:
        return
    undeclared = _undeclared(connection, seq)
    for position in positions:
        declared = outcome["verdicts"][position]["categories"]
        scores = {**declared, **undeclared.get(str(position), {})}
        for name in {recordable_name(name) for name, score in scores.items() if float(score) > 0}:
            yield {"generation": outcome["generation"], "position": position, "category": name}


def _undeclared(connection: sa.Connection, seq: int) -> Mapping[str, Mapping[str, float]]:
    """Return the scores of the undeclared categories of an outcome, by position of the verdict.

    They are empty if the payload was erased or altered.
    """
    statement = sa.text(
        "SELECT content FROM payload WHERE entry = :seq AND kind = 'detail' AND position = 0"
    )
    content = connection.execute(statement, {"seq": seq}).scalar()
    with suppress(ValueError, TypeError, AttributeError, KeyError):
        return {
            position: {name: float(score) for name, score in text.get("categories", {}).items()}
            for position, text in json.loads(bytes(content))["verdicts"].items()
        }
    return {}


def downgrade() -> None:
    """Remove the tables. New entries remain, which the older program cannot read."""
    op.execute("DROP VIEW v_cell")
    op.drop_column("generation", "policy")
    op.drop_table("verdict_category")
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
