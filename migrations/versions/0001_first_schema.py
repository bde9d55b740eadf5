"""The first schema: the ledger, payloads, and what finds generations.

Revision 0001, after nothing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "actor",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_actor")),
        sa.UniqueConstraint("id", name=op.f("uq_actor_id")),
    )
    op.create_index(op.f("ix_actor_name"), "actor", ["name"])
    op.create_table(
        "entry",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("canonical_bytes", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_entry")),
    )
    op.create_table(
        "environment",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_environment")),
        sa.UniqueConstraint("id", name=op.f("uq_environment_id")),
    )
    op.create_table(
        "generation",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("outcome", Sequence, nullable=True),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("tail", sa.String(length=4), nullable=False),
        sa.Column("run", sa.String(length=26), nullable=False),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("actor", sa.String(length=26), nullable=False),
        sa.Column("generator", sa.Text(), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=True),
        sa.Column("model_digest", sa.Text(), nullable=True),
        sa.Column("seed", sa.String(length=20), nullable=False),
        sa.Column("policy", sa.String(length=26), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("decision", sa.String(length=8), nullable=True),
        sa.Column("failure", sa.String(length=16), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("environment", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_generation")),
        sa.UniqueConstraint("id", name=op.f("uq_generation_id")),
        sa.UniqueConstraint("outcome", name=op.f("uq_generation_outcome")),
    )
    op.create_index(op.f("ix_generation_actor_seq"), "generation", ["actor", "seq"])
    op.create_index(op.f("ix_generation_decision_seq"), "generation", ["decision", "seq"])
    op.create_index(op.f("ix_generation_generator_seq"), "generation", ["generator", "seq"])
    op.create_index(op.f("ix_generation_model_digest_seq"), "generation", ["model_digest", "seq"])
    op.create_index(op.f("ix_generation_model_name_seq"), "generation", ["model_name", "seq"])
    op.create_index(op.f("ix_generation_run_line"), "generation", ["run", "line"])
    op.create_index(op.f("ix_generation_run_seq"), "generation", ["run", "seq"])
    op.create_index(op.f("ix_generation_seed_seq"), "generation", ["seed", "seq"])
    op.create_index(op.f("ix_generation_started_at_seq"), "generation", ["started_at", "seq"])
    op.create_index(op.f("ix_generation_status_seq"), "generation", ["status", "seq"])
    op.create_index(op.f("ix_generation_tail"), "generation", ["tail"])
    op.create_table(
        "lease",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("process_start", sa.Text(), nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lease")),
    )
    op.create_table(
        "ledger_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("log_id", sa.String(length=32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_head")),
    )
    op.create_table(
        "payload",
        sa.Column("owner", sa.String(length=26), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("salt", sa.LargeBinary(length=32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "kind", "position", name=op.f("pk_payload")),
    )
    op.create_table(
        "pending",
        sa.Column("generation", Sequence, autoincrement=False, nullable=False),
        sa.Column("lease", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("generation", name=op.f("pk_pending")),
    )
    op.create_table(
        "policy",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_policy")),
        sa.UniqueConstraint("id", name=op.f("uq_policy_id")),
    )
    op.create_index(op.f("ix_policy_name"), "policy", ["name"])
    op.create_table(
        "run",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_run")),
        sa.UniqueConstraint("id", name=op.f("uq_run_id")),
    )
    op.create_table(
        "generation_parent",
        sa.Column("generation", Sequence, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("parent", sa.String(length=26), nullable=False),
        sa.ForeignKeyConstraint(
            ["generation"],
            ["generation.seq"],
            name=op.f("fk_generation_parent_generation_generation"),
        ),
        sa.PrimaryKeyConstraint("generation", "position", name=op.f("pk_generation_parent")),
    )
    op.create_index(op.f("ix_generation_parent_parent"), "generation_parent", ["parent"])
    op.create_table(
        "generation_tag",
        sa.Column("generation", Sequence, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["generation"], ["generation.seq"], name=op.f("fk_generation_tag_generation_generation")
        ),
        sa.PrimaryKeyConstraint("generation", "position", name=op.f("pk_generation_tag")),
    )
    op.create_index(
        op.f("ix_generation_tag_tag_generation"), "generation_tag", ["tag", "generation"]
    )
    op.create_table(
        "output",
        sa.Column("generation", Sequence, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("finish_reason", sa.String(length=16), nullable=True),
        sa.ForeignKeyConstraint(
            ["generation"], ["generation.seq"], name=op.f("fk_output_generation_generation")
        ),
        sa.PrimaryKeyConstraint("generation", "position", name=op.f("pk_output")),
    )
    op.create_table(
        "score",
        sa.Column("generation", Sequence, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("evaluator", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("higher_is_better", sa.Boolean(), nullable=True),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["generation"], ["generation.seq"], name=op.f("fk_score_generation_generation")
        ),
        sa.PrimaryKeyConstraint("generation", "position", name=op.f("pk_score")),
    )
    op.create_table(
        "verdict",
        sa.Column("generation", Sequence, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("stage", sa.String(length=8), nullable=False),
        sa.Column("decision", sa.String(length=8), nullable=False),
        sa.Column("action", sa.String(length=8), nullable=False),
        sa.Column("latency_us", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["generation"], ["generation.seq"], name=op.f("fk_verdict_generation_generation")
        ),
        sa.PrimaryKeyConstraint("generation", "position", name=op.f("pk_verdict")),
    )
    op.create_index(
        op.f("ix_verdict_filter_generation_action"), "verdict", ["filter", "generation", "action"]
    )


def downgrade() -> None:
    for table in (
        "verdict",
        "score",
        "output",
        "generation_tag",
        "generation_parent",
        "run",
        "policy",
        "pending",
        "payload",
        "ledger_head",
        "lease",
        "generation",
        "environment",
        "entry",
        "actor",
    ):
        op.drop_table(table)
