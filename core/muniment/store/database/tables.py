"""The tables of the store.

`entry`, `ledger_head`, `node`, `checkpoint` and `payload` are the evidence. `lease` and `pending`
record which processes are writing. The tables from `actor` to `event` are projections of entries,
which `rebuild` can recreate and `verify` recomputes and compares.

Projections have only the columns that a command filters or sorts by. Everything that is displayed
of a generation is read from its entries and payloads.

Rows refer to each other by entry numbers. The number of a generation is that of its `started`
entry, and the number of a run is that of its first generation. The newest rows are therefore last
in every index. Partial indexes are in `indexes.py`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text as SqlText,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

SUFFIX = 4  # characters of `id_suffix`, the shortest suffix by which an id can be looked up

# In SQLite only a column declared INTEGER is the row id. On PostgreSQL, INTEGER has just 32 bits.
Sequence = BigInteger().with_variant(Integer, "sqlite")
# Sorted by code points on both databases, so that prefixes can be looked up as ranges.
Text = SqlText().with_variant(SqlText(collation="C"), "postgresql")

entry = Table(
    "entry",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("canonical_bytes", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary(32), nullable=False),
)

ledger_head = Table(
    "ledger_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1: the only row
    Column("log_id", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
)

node = Table(
    "node",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("index", Sequence, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
    sqlite_with_rowid=False,
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("key", Text, primary_key=True),  # one row a key: the last checkpoint it signed
    Column("size", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
)

payload = Table(
    "payload",
    metadata,
    Column("entry", Sequence, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("salt", LargeBinary(32), nullable=False),
    Column("content", LargeBinary, nullable=False),
)

lease = Table(
    "lease",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("process_start", Text, nullable=False),
    Column("heartbeat_at", BigInteger, nullable=False),
)

pending = Table(
    "pending",
    metadata,
    Column("generation", Sequence, primary_key=True, autoincrement=False),
    Column("lease", Text, nullable=False),
)

actor = Table(
    "actor",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, index=True),
)

policy = Table(
    "policy",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, index=True),
)

environment = Table(
    "environment",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False, unique=True),
)

plugin = Table(
    "plugin",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("distribution", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("digest", Text, nullable=False),
    UniqueConstraint("distribution", "version", "digest"),
)

run = Table(
    "run",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
)

generation = Table(
    "generation",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("outcome", Sequence),
    Column("id", Text, nullable=False, unique=True),
    Column("id_suffix", Text, nullable=False),
    Column("run", Sequence, nullable=False),
    Column("line", Integer),
    Column("actor", Sequence, nullable=False),
    Column("generator", Text, nullable=False),
    Column("model_name", Text, nullable=False),  # empty if no model runs
    Column("model_digest", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),  # minus 2^63: integers are signed
    Column("status", Text, nullable=False),
    Column("decision", Text),
    Column("failure", Text),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("prompt_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("policy", Sequence),
    Column("plugins", Text),  # the numbers of their entries, in order: few different texts
)
for _columns in (
    ("id_suffix",),
    ("run", "seq"),
    ("actor", "seq"),
    ("seed", "seq"),
    # Two, because in one a filter needs a lookup for each recorded pair of both.
    ("policy", "seq"),
    ("plugins", "seq"),
    # One index for all combinations of these filters (`queries/filters.py`), as each index slows
    # down writing.
    ("generator", "model_name", "model_digest", "status", "decision", "seq"),
):
    Index(None, *(generation.c[_name] for _name in _columns))

period = Table(
    "period",
    metadata,
    Column("block", Sequence, primary_key=True, autoincrement=False),
    Column("earliest", BigInteger, nullable=False),
    Column("latest", BigInteger, nullable=False),
)


def _child(name: str, *columns: Column[Any]) -> Table:
    """Return a table of ordered items, of which one generation has several."""
    return Table(
        name,
        metadata,
        Column("generation", Sequence, primary_key=True, autoincrement=False),
        Column("position", Integer, primary_key=True, autoincrement=False),
        *columns,
        sqlite_with_rowid=False,
    )


verdict = _child(
    "verdict",
    Column("policy_rule", Integer),
    Column("filter", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("item", Integer),  # from 1
)
Index(None, verdict.c.filter, verdict.c.decision, verdict.c.generation)

# The categories of verdicts that did not allow, or whose action did not.
verdict_category = _child(
    "verdict_category", Column("category", Text, primary_key=True, autoincrement=False)
)
Index(None, verdict_category.c.category, verdict_category.c.generation)

# The entry is the outcome, or the `scored` entry of scores that were added later.
score = Table(
    "score",
    metadata,
    Column("generation", Sequence, primary_key=True, autoincrement=False),
    Column("entry", Sequence, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("evaluator", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Double),  # NULL if the evaluator failed
    sqlite_with_rowid=False,
)
Index(None, score.c.name, score.c.evaluator, score.c.value, score.c.generation)

generation_tag = _child("generation_tag", Column("tag", Text, nullable=False))
Index(None, generation_tag.c.tag, generation_tag.c.generation)

generation_parent = _child(
    "generation_parent",
    Column("parent", Text, nullable=False, index=True),
)

generation_input = _child(
    "generation_input",
    Column("name", Text, nullable=False),
    Column("input", Sequence, nullable=False, index=True),
)

# The position is that of the output. The digest is the SHA-256 of the fingerprint.
fingerprint = _child("fingerprint", Column("digest", Text, nullable=False, index=True))

# The run and the levels of a generation of an experiment.
cell = Table(
    "cell",
    metadata,
    Column("generation", Sequence, primary_key=True, autoincrement=False),
    Column("run", Sequence, nullable=False),
    Column("item", BigInteger, nullable=False),
    Column("paraphrase", BigInteger, nullable=False),
    Column("setting", BigInteger, nullable=False),
    Column("replicate", BigInteger, nullable=False),
)
Index(
    "ix_cell_place",
    *(cell.c.run, cell.c.item, cell.c.paraphrase, cell.c.setting, cell.c.replicate),
    cell.c.generation,
)

event = Table(
    "event",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("subject", Sequence),
    Column("key", Text),
)
Index(None, event.c.kind, event.c.subject, event.c.seq)
Index(None, event.c.kind, event.c.key, event.c.seq)

# Erasures whose bytes are not purged yet, and the register of backups. Neither is evidence, and
# neither can be rebuilt from entries.
erasing = Table(
    "erasing",
    metadata,
    Column("erasure", Sequence, primary_key=True, autoincrement=False),
    Column("snapshot_xid", BigInteger, nullable=False),
)

backup = Table(
    "backup",
    metadata,
    Column("file", Text, primary_key=True),
    Column("made_at", BigInteger, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("root", Text, nullable=False),
)

# Migrations whose tables are not filled yet, with the number of the last entry that was read. While
# it has rows, the upgrade of the store is unfinished.
backfill = Table(
    "backfill",
    metadata,
    Column("revision", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

VIEWS = ("v_generation", "v_verdict", "v_score", "v_event", "v_cell")
"""The views for SQL tools, which the migrations create (docs/reference/sql.md)."""

alembic_version = Table(
    "alembic_version", MetaData(), Column("version_num", Text, primary_key=True)
)
