"""The tables. `entry`, `ledger_head` and `payload` are the evidence, the rest can be made again.

Projections (`generation` and below) only serve to find: what is shown of a generation is read
from its entries and payloads. They are recomputed and compared by `verify`. `lease` and `pending`
tell who is at work right now and are no evidence at all.

A generation is known inside the database by the sequence number of its `started` entry, so the
newest come last in every index.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
)

from muniment.store.columns import Words

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID = 26  # characters of a ULID
TAIL = 4  # characters that a suffix of an id needs at least

# SQLite numbers rows by itself only in columns declared INTEGER; elsewhere 32 bits are too few.
Sequence = BigInteger().with_variant(Integer, "sqlite")

entry = Table(
    "entry",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("kind", Words(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("canonical_bytes", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary(32), nullable=False),
)

ledger_head = Table(
    "ledger_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # one row, 1
    Column("log_id", Words(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
)

payload = Table(
    "payload",
    metadata,
    Column("owner", Words(ID), primary_key=True),
    Column("kind", Words(16), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("id", LargeBinary(16), nullable=False),
    Column("salt", LargeBinary(32), nullable=False),
    Column("content", LargeBinary, nullable=False),
)

lease = Table(
    "lease",
    metadata,
    Column("id", Words(ID), primary_key=True),
    Column("host", Words, nullable=False),
    Column("boot_id", Words, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("process_start", Words, nullable=False),
    Column("heartbeat_at", BigInteger, nullable=False),
)

pending = Table(
    "pending",
    metadata,
    Column("generation", Sequence, primary_key=True, autoincrement=False),
    Column("lease", Words(ID), nullable=False),
)

actor = Table(
    "actor",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("id", Words(ID), nullable=False, unique=True),
    Column("name", Words, nullable=False, index=True),
)

policy = Table(
    "policy",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("id", Words(ID), nullable=False, unique=True),
    Column("name", Words, nullable=False, index=True),
)

environment = Table(
    "environment",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("id", Words(64), nullable=False, unique=True),
)

run = Table(
    "run",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("id", Words(ID), nullable=False, unique=True),
)

generation = Table(
    "generation",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("outcome", Sequence, unique=True),
    Column("id", Words(ID), nullable=False, unique=True),
    Column("tail", Words(TAIL), nullable=False),
    Column("run", Words(ID), nullable=False),
    Column("line", Integer),
    Column("actor", Words(ID), nullable=False),
    Column("generator", Words, nullable=False),
    Column("model_name", Words),
    Column("model_digest", Words),
    Column("seed", Words(20), nullable=False),
    Column("policy", Words(ID)),
    Column("status", Words(16), nullable=False),
    Column("decision", Words(8)),
    Column("failure", Words(16)),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("prompt_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("environment", Words(64)),
)
for _columns in (
    ("tail",),
    ("run", "seq"),
    ("run", "line"),
    ("actor", "seq"),
    ("generator", "seq"),
    ("model_name", "seq"),
    ("model_digest", "seq"),
    ("seed", "seq"),
    ("status", "seq"),
    ("decision", "seq"),
    ("started_at", "seq"),
):
    Index(None, *(generation.c[_name] for _name in _columns))


def _child(name: str, *columns: Column[object]) -> Table:
    """Return the table of things that a generation has several of, in order."""
    return Table(
        name,
        metadata,
        Column("generation", Sequence, ForeignKey("generation.seq"), primary_key=True),
        Column("position", Integer, primary_key=True, autoincrement=False),
        *columns,
    )


output = _child(
    "output",
    Column("media_type", Words, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("finish_reason", Words(16)),
)

verdict = _child(
    "verdict",
    Column("filter", Words, nullable=False),
    Column("version", Words, nullable=False),
    Column("stage", Words(8), nullable=False),
    Column("decision", Words(8), nullable=False),
    Column("action", Words(8), nullable=False),
    Column("latency_us", BigInteger, nullable=False),
    Column("failed", Boolean, nullable=False),
)
Index(None, verdict.c.filter, verdict.c.generation, verdict.c.action)

score = _child(
    "score",
    Column("evaluator", Words, nullable=False),
    Column("version", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("value", Double),
    Column("unit", Words, nullable=False),
    Column("higher_is_better", Boolean),
    Column("failed", Boolean, nullable=False),
)

generation_tag = _child("generation_tag", Column("tag", Words, nullable=False))
Index(None, generation_tag.c.tag, generation_tag.c.generation)

generation_parent = _child(
    "generation_parent",
    Column("parent", Words(ID), nullable=False, index=True),
)

alembic_version = Table(
    "alembic_version", MetaData(), Column("version_num", Words(32), primary_key=True)
)
