"""Cells of experiments, policies of generations, categories of verdicts, and added scores.

Revision 1004, after 1003. Entries of earlier versions have no cells and add no scores.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
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
    op.execute("DROP VIEW v_score")
    _rebuild_scores(["generation", "entry", "position"])
    _create_view()
    op.execute(
        f"INSERT INTO backfill (revision, position) SELECT '{revision}', -1 "
        "WHERE EXISTS (SELECT 1 FROM entry)"
    )


def fill(connection: sa.Connection, entries: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Insert the policies and categories of a page of entries.

    `entries` are their numbers and fields, without those of altered entries. `muniment db upgrade`
    calls this after all migrations, in a transaction for each page.
    """
    policies = [
        {"seq": seq, "policy": body["policy"]}
        for seq, body in entries
        if body["kind"] == "started" and body["policy"] is not None
    ]
    if policies:
        update = sa.text("UPDATE generation SET policy = :policy WHERE seq = :seq")
        connection.execute(update, policies)
    categories = [
        row
        for seq, body in entries
        if body["kind"] == "outcome"
        for row in _categories(connection, seq, body)
    ]
    if categories:
        insert = (
            "INSERT INTO verdict_category VALUES (:generation, :position, :category) "
            "ON CONFLICT DO NOTHING"
        )
        connection.execute(sa.text(insert), categories)


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
            for position, text in json.loads(content)["verdicts"].items()
        }
    return {}


def downgrade() -> None:
    """Remove the tables. New entries remain, which the older program cannot read."""
    op.execute("DROP VIEW v_cell")
    op.execute("DROP VIEW v_score")
    _rebuild_scores(["generation", "position"])
    _create_view(before=True)
    op.drop_column("generation", "policy")
    op.drop_table("verdict_category")
    op.drop_table("cell")


def _rebuild_scores(key: list[str]) -> None:
    """Make the table `score` anew with a primary key, from the rows of outcomes in the old one."""
    op.drop_index(op.f("ix_score_name_evaluator_value_generation"), "score")
    op.rename_table("score", "score_before")
    if op.get_bind().dialect.name == "postgresql":  # where the name of a key is unique
        op.drop_constraint("pk_score", "score_before", type_="primary")
    numbers = [name for name in key if name != "position"]
    op.create_table(
        "score",
        *(sa.Column(name, Number, autoincrement=False, nullable=False) for name in numbers),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("evaluator", Text, nullable=False),
        sa.Column("name", Text, nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_score")),
        sqlite_with_rowid=False,
    )
    is_of_outcome = "g.outcome IS NOT NULL" if "entry" in key else "g.outcome = b.entry"
    columns = ["g.seq", *(["g.outcome"] if "entry" in key else [])]
    op.execute(
        f"INSERT INTO score SELECT {', '.join(columns)}, b.position, b.evaluator, b.name, b.value "
        f"FROM score_before b JOIN generation g ON g.seq = b.generation WHERE {is_of_outcome}"
    )
    op.drop_table("score_before")
    op.create_index(
        op.f("ix_score_name_evaluator_value_generation"),
        "score",
        ["name", "evaluator", "value", "generation"],
    )


def _create_view(*, before: bool = False) -> None:
    """Create `v_score`, or the view of the revision before."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    sql = SQLITE if is_sqlite else POSTGRESQL
    columns = SQLITE_COLUMNS if is_sqlite else POSTGRESQL_COLUMNS
    sql = sql.format(columns="" if before else f",{columns}")
    if before:
        sql = sql.replace("e.seq = s.entry", "e.seq = g.outcome")
    op.get_bind().exec_driver_sql(sql if is_sqlite else sql.replace("%", "%%"))


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

# The view `v_score` of revision 1002, which reads the entry of the score.
SQLITE = """
    CREATE VIEW v_score AS
    SELECT
        s.generation AS seq,
        g.id AS generation,
        s.evaluator AS evaluator,
        (
            SELECT json_extract(
                CAST(e.canonical_bytes AS TEXT), '$.scores[' || s.position || '].version'
            )
            FROM entry e WHERE e.seq = s.entry
        ) AS version,
        s.name AS name,
        s.value AS value,
        (
            SELECT json_extract(
                CAST(e.canonical_bytes AS TEXT), '$.scores[' || s.position || '].unit'
            )
            FROM entry e WHERE e.seq = s.entry
        ) AS unit,
        (
            SELECT json_extract(
                CAST(e.canonical_bytes AS TEXT), '$.scores[' || s.position || '].higher_is_better'
            )
            FROM entry e WHERE e.seq = s.entry
        ) AS higher_is_better,
        (
            SELECT json_extract(
                CAST(e.canonical_bytes AS TEXT), '$.scores[' || s.position || '].failed'
            )
            FROM entry e WHERE e.seq = s.entry
        ) AS failed{columns}
    FROM score s
    LEFT JOIN generation g ON g.seq = s.generation
"""
_SQLITE_NAME = """coalesce((
                SELECT json_extract(
                    CAST(p.content AS TEXT), '$.scores.' || {score}.position || '.evaluator'
                )
                FROM payload p
                WHERE p.entry = {score}.entry AND p.kind = 'detail' AND p.position = 0
            ), {score}.evaluator)"""


def _newest(full_name: str) -> str:
    """Return SQL for whether no later score has the same measure and full name of evaluator."""
    return f"""NOT EXISTS (
            SELECT 1 FROM score later
            WHERE later.generation = s.generation AND later.entry > s.entry
            AND later.name = s.name AND later.evaluator = s.evaluator
            AND {full_name.format(score="later")} = {full_name.format(score="s")}
        )"""


SQLITE_COLUMNS = f"""
        (
            SELECT strftime(
                '%Y-%m-%dT%H:%M:%fZ',
                json_extract(CAST(e.canonical_bytes AS TEXT), '$.at') / 1000.0,
                'unixepoch'
            )
            FROM entry e WHERE e.seq = s.entry
        ) AS at,
        {_newest(_SQLITE_NAME)} AS newest"""

_ENTRY = "convert_from(e.canonical_bytes, 'UTF8')::jsonb"
# PostgreSQL permits no escaped NUL in JSON.
_DETAIL = (
    r"regexp_replace(convert_from(p.content, 'UTF8'), "
    r"'(?<!\\)((?:\\\\)*)\\u0000', '\1', 'g')::jsonb"
)
POSTGRESQL = f"""
    CREATE VIEW v_score AS
    SELECT
        s.generation AS seq,
        g.id AS generation,
        s.evaluator AS evaluator,
        (
            SELECT {_ENTRY} -> 'scores' -> s.position ->> 'version'
            FROM entry e WHERE e.seq = s.entry
        ) AS version,
        s.name AS name,
        s.value AS value,
        (
            SELECT {_ENTRY} -> 'scores' -> s.position ->> 'unit'
            FROM entry e WHERE e.seq = s.entry
        ) AS unit,
        (
            SELECT ({_ENTRY}
                -> 'scores' -> s.position ->> 'higher_is_better')::boolean::integer
            FROM entry e WHERE e.seq = s.entry
        ) AS higher_is_better,
        (
            SELECT ({_ENTRY}
                -> 'scores' -> s.position ->> 'failed')::boolean::integer
            FROM entry e WHERE e.seq = s.entry
        ) AS failed{{columns}}
    FROM score s
    LEFT JOIN generation g ON g.seq = s.generation
"""
_POSTGRESQL_NAME = f"""coalesce((
                SELECT {_DETAIL} -> 'scores' -> {{score}}.position::text ->> 'evaluator'
                FROM payload p
                WHERE p.entry = {{score}}.entry AND p.kind = 'detail' AND p.position = 0
            ), {{score}}.evaluator)"""
POSTGRESQL_COLUMNS = f"""
        (
            SELECT to_char(
                timestamp 'epoch' + ({_ENTRY} ->> 'at')::bigint * interval '1 millisecond',
                'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
            )
            FROM entry e WHERE e.seq = s.entry
        ) AS at,
        ({_newest(_POSTGRESQL_NAME)})::integer AS newest"""
