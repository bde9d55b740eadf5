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
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_actor")),
    )
    op.create_index(op.f("ix_actor_name"), "actor", ["name"])
    op.create_table(
        "checkpoint",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_checkpoint")),
    )
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
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_environment")),
        sa.UniqueConstraint("digest", name=op.f("uq_environment_digest")),
    )
    op.create_table(
        "generation",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("outcome", Sequence, nullable=True),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("tail", sa.String(length=4), nullable=False),
        sa.Column("run", Sequence, nullable=False),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("actor", Sequence, nullable=False),
        sa.Column("generator", sa.Text(), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("model_digest", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("decision", sa.String(length=8), nullable=True),
        sa.Column("failure", sa.String(length=16), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_generation")),
        sa.UniqueConstraint("id", name=op.f("uq_generation_id")),
    )
    op.create_index(op.f("ix_generation_actor_seq"), "generation", ["actor", "seq"])
    op.create_index(
        op.f("ix_generation_generator_model_name_model_digest_status_decision_seq"),
        "generation",
        ["generator", "model_name", "model_digest", "status", "decision", "seq"],
    )
    is_line, is_open = sa.text("line IS NOT NULL"), sa.text("status = 'started'")
    op.create_index(
        "ix_generation_run_line",
        "generation",
        ["run", "line"],
        sqlite_where=is_line,
        postgresql_where=is_line,
    )
    op.create_index(
        "ix_generation_open",
        "generation",
        ["seq"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_index(op.f("ix_generation_run_seq"), "generation", ["run", "seq"])
    op.create_index(op.f("ix_generation_seed_seq"), "generation", ["seed", "seq"])
    op.create_index(op.f("ix_generation_tail"), "generation", ["tail"])
    op.create_table(
        "period",
        sa.Column("stretch", Sequence, autoincrement=False, nullable=False),
        sa.Column("earliest", sa.BigInteger(), nullable=False),
        sa.Column("latest", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stretch", name=op.f("pk_period")),
    )
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
        "node",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("index", Sequence, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("level", "index", name=op.f("pk_node")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "payload",
        sa.Column("entry", Sequence, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("salt", sa.LargeBinary(length=32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("entry", "kind", "position", name=op.f("pk_payload")),
    )
    op.create_table(
        "pending",
        sa.Column("generation", Sequence, autoincrement=False, nullable=False),
        sa.Column("lease", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("generation", name=op.f("pk_pending")),
    )
    op.create_table(
        "plugin",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("distribution", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_plugin")),
        sa.UniqueConstraint(
            "distribution",
            "version",
            "digest",
            name=op.f("uq_plugin_distribution_version_digest"),
        ),
    )
    op.create_table(
        "policy",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_policy")),
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
        sa.Column("generation", Sequence, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("parent", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("generation", "position", name=op.f("pk_generation_parent")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_generation_parent_parent"), "generation_parent", ["parent"])
    op.create_table(
        "generation_tag",
        sa.Column("generation", Sequence, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("generation", "position", name=op.f("pk_generation_tag")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_generation_tag_tag_generation"), "generation_tag", ["tag", "generation"]
    )
    op.create_table(
        "verdict",
        sa.Column("generation", Sequence, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("stage", sa.String(length=8), nullable=False),
        sa.Column("decision", sa.String(length=8), nullable=False),
        sa.Column("action", sa.String(length=8), nullable=False),
        sa.PrimaryKeyConstraint("generation", "position", name=op.f("pk_verdict")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_verdict_filter_decision_generation"),
        "verdict",
        ["filter", "decision", "generation"],
    )
    _create_acts()
    _create_search()


def _create_acts() -> None:
    """What people do about generations, and what is still to be done."""
    for name in ("feedback", "review", "replay"):
        op.create_table(
            name,
            sa.Column("seq", Sequence, autoincrement=False, nullable=False),
            sa.Column("generation", Sequence, nullable=False),
            sa.PrimaryKeyConstraint("seq", name=op.f(f"pk_{name}")),
        )
        op.create_index(op.f(f"ix_{name}_generation"), name, ["generation"])
    for name in ("erasure", "retention", "model"):
        op.create_table(
            name,
            sa.Column("seq", Sequence, autoincrement=False, nullable=False),
            sa.PrimaryKeyConstraint("seq", name=op.f(f"pk_{name}")),
        )
    op.create_table(
        "installation",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("distribution", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_installation")),
    )
    op.create_index(op.f("ix_installation_distribution"), "installation", ["distribution"])
    for name in ("hold", "release"):
        op.create_table(
            name,
            sa.Column("seq", Sequence, autoincrement=False, nullable=False),
            sa.Column("hold", sa.String(length=26), nullable=False),
            sa.PrimaryKeyConstraint("seq", name=op.f(f"pk_{name}")),
        )
        op.create_index(op.f(f"ix_{name}_hold"), name, ["hold"])
    op.create_table(
        "held",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("generation", Sequence, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("seq", "generation", name=op.f("pk_held")),
    )
    op.create_index(op.f("ix_held_generation"), "held", ["generation"])
    op.create_table(
        "erasing",
        sa.Column("erasure", Sequence, autoincrement=False, nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("erasure", name=op.f("pk_erasing")),
    )
    op.create_table(
        "backup",
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("file", name=op.f("pk_backup")),
    )


def _create_search() -> None:
    """The search index is no table that the two databases have in common."""
    if op.get_bind().dialect.name == "sqlite":
        # No text beside the index, no positions in it: the payloads have both.
        op.execute(
            "CREATE VIRTUAL TABLE search USING fts5"
            "(terms, content='', columnsize=0, detail='none', tokenize='ascii')"
        )
        op.execute("INSERT INTO search (search, rank) VALUES ('automerge', 8)")
        return
    op.create_table(
        "search",
        sa.Column("generation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("terms", sa.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("generation", name=op.f("pk_search")),
    )
    op.create_index(op.f("ix_search_terms"), "search", ["terms"], postgresql_using="gin")


def downgrade() -> None:
    for table in (
        "search",
        "backup",
        "erasing",
        "held",
        "release",
        "hold",
        "installation",
        "model",
        "retention",
        "erasure",
        "review",
        "replay",
        "feedback",
        "verdict",
        "generation_tag",
        "generation_parent",
        "run",
        "policy",
        "plugin",
        "period",
        "pending",
        "payload",
        "node",
        "ledger_head",
        "lease",
        "generation",
        "environment",
        "entry",
        "checkpoint",
        "actor",
    ):
        op.drop_table(table)
