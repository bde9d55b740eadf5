"""The first schema: the ledger, payloads, and the query tables.

Revision 1001, after nothing. Revision 0001 was that of an unreleased version.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1001"
down_revision = None
branch_labels = None
depends_on = None

Sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "actor",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("name", Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_actor")),
    )
    op.create_index(op.f("ix_actor_name"), "actor", ["name"])
    op.create_table(
        "checkpoint",
        sa.Column("key", Text, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("note", Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_checkpoint")),
    )
    op.create_table(
        "entry",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("kind", Text, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("canonical_bytes", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_entry")),
    )
    op.create_table(
        "environment",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("digest", Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_environment")),
        sa.UniqueConstraint("digest", name=op.f("uq_environment_digest")),
    )
    op.create_table(
        "generation",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("outcome", Sequence, nullable=True),
        sa.Column("id", Text, nullable=False),
        sa.Column("id_suffix", Text, nullable=False),
        sa.Column("run", Sequence, nullable=False),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("actor", Sequence, nullable=False),
        sa.Column("generator", Text, nullable=False),
        sa.Column("model_name", Text, nullable=False),
        sa.Column("model_digest", Text, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("status", Text, nullable=False),
        sa.Column("decision", Text, nullable=True),
        sa.Column("failure", Text, nullable=True),
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
    op.create_index(op.f("ix_generation_id_suffix"), "generation", ["id_suffix"])
    op.create_table(
        "period",
        sa.Column("block", Sequence, autoincrement=False, nullable=False),
        sa.Column("earliest", sa.BigInteger(), nullable=False),
        sa.Column("latest", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("block", name=op.f("pk_period")),
    )
    op.create_table(
        "lease",
        sa.Column("id", Text, nullable=False),
        sa.Column("host", Text, nullable=False),
        sa.Column("boot_id", Text, nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("process_start", Text, nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lease")),
    )
    op.create_table(
        "ledger_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("log_id", Text, nullable=False),
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
        sa.Column("kind", Text, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("salt", sa.LargeBinary(length=32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("entry", "kind", "position", name=op.f("pk_payload")),
    )
    op.create_table(
        "pending",
        sa.Column("generation", Sequence, autoincrement=False, nullable=False),
        sa.Column("lease", Text, nullable=False),
        sa.PrimaryKeyConstraint("generation", name=op.f("pk_pending")),
    )
    op.create_table(
        "plugin",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("distribution", Text, nullable=False),
        sa.Column("version", Text, nullable=False),
        sa.Column("digest", Text, nullable=False),
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
        sa.Column("name", Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_policy")),
    )
    op.create_index(op.f("ix_policy_name"), "policy", ["name"])
    op.create_table(
        "run",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("id", Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_run")),
        sa.UniqueConstraint("id", name=op.f("uq_run_id")),
    )
    op.create_table(
        "generation_parent",
        sa.Column("generation", Sequence, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("parent", Text, nullable=False),
        sa.PrimaryKeyConstraint("generation", "position", name=op.f("pk_generation_parent")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_generation_parent_parent"), "generation_parent", ["parent"])
    op.create_table(
        "generation_tag",
        sa.Column("generation", Sequence, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tag", Text, nullable=False),
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
        sa.Column("policy_rule", sa.Integer(), nullable=True),
        sa.Column("filter", Text, nullable=False),
        sa.Column("stage", Text, nullable=False),
        sa.Column("decision", Text, nullable=False),
        sa.Column("action", Text, nullable=False),
        sa.PrimaryKeyConstraint("generation", "position", name=op.f("pk_verdict")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_verdict_filter_decision_generation"),
        "verdict",
        ["filter", "decision", "generation"],
    )
    _create_events()
    _create_search()


def _create_events() -> None:
    """The events about generations, plugins and models, and the state of erasures and backups."""
    op.create_table(
        "event",
        sa.Column("seq", Sequence, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", Text, nullable=False),
        sa.Column("subject", Sequence, nullable=True),
        sa.Column("key", Text, nullable=True),
        sa.PrimaryKeyConstraint("seq", "position", name=op.f("pk_event")),
    )
    op.create_index(op.f("ix_event_kind_subject_seq"), "event", ["kind", "subject", "seq"])
    op.create_index(op.f("ix_event_kind_key_seq"), "event", ["kind", "key", "seq"])
    op.create_table(
        "erasing",
        sa.Column("erasure", Sequence, autoincrement=False, nullable=False),
        sa.Column("snapshot_xid", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("erasure", name=op.f("pk_erasing")),
    )
    op.create_table(
        "backup",
        sa.Column("file", Text, nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("root", Text, nullable=False),
        sa.PrimaryKeyConstraint("file", name=op.f("pk_backup")),
    )


def _create_search() -> None:
    """The search index, which is a different kind of table on each database."""
    if op.get_bind().dialect.name == "sqlite":
        # The index has neither texts nor positions, because the payloads have both.
        op.execute(
            "CREATE VIRTUAL TABLE search USING fts5"
            "(terms, content='', columnsize=0, detail='none', tokenize='ascii')"
        )
        op.execute("INSERT INTO search (search, rank) VALUES ('automerge', 8)")
        return
    op.create_table(
        "search",
        sa.Column("generation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("terms", sa.ARRAY(sa.Text(collation="C")), nullable=False),
        sa.PrimaryKeyConstraint("generation", name=op.f("pk_search")),
    )
    op.create_index(op.f("ix_search_terms"), "search", ["terms"], postgresql_using="gin")


def downgrade() -> None:
    for table in (
        "search",
        "backup",
        "erasing",
        "event",
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
