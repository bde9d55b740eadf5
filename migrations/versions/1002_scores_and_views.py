"""The table `score`, filled from the recorded outcomes, and the views for SQL tools.

Revision 1002, after 1001.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "1002"
down_revision = "1001"
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "score",
        sa.Column("generation", Number, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("evaluator", Text, nullable=False),
        sa.Column("name", Text, nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("generation", "position", name=op.f("pk_score")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_score_name_evaluator_value_generation"),
        "score",
        ["name", "evaluator", "value", "generation"],
    )
    op.create_table(
        "backfill",
        sa.Column("revision", Text, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_backfill")),
    )
    op.execute(
        f"INSERT INTO backfill (revision, position) SELECT '{revision}', -1 "
        "WHERE EXISTS (SELECT 1 FROM entry)"
    )
    if op.get_bind().dialect.name == "sqlite":
        statements = SQLITE
    else:  # psycopg reads % as the beginning of a placeholder
        statements = [statement.replace("%", "%%") for statement in POSTGRESQL]
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)


def fill(connection: sa.Connection, entries: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Insert the scores of a page of entries.

    `entries` are their numbers and fields, without those of altered entries. `muniment db upgrade`
    calls this after all migrations, in a transaction for each page.
    """
    rows = [
        {
            "generation": outcome["generation"],
            "entry": seq,  # a column of revision 1004
            "position": position,
            "evaluator": score["evaluator"],
            "name": score["name"],
            "value": None if score["value"] is None else float(score["value"]),
        }
        for seq, outcome in entries
        if outcome["kind"] == "outcome"
        for position, score in enumerate(outcome["scores"])
    ]
    if rows:
        connection.execute(
            sa.text(
                "INSERT INTO score (generation, entry, position, evaluator, name, value) "
                "VALUES (:generation, :entry, :position, :evaluator, :name, :value) "
                "ON CONFLICT DO NOTHING"
            ),
            rows,
        )


def downgrade() -> None:
    for view in ("v_event", "v_score", "v_verdict", "v_generation"):
        op.execute(f"DROP VIEW {view}")
    op.drop_table("backfill")
    op.drop_table("score")


# The views have the same names and columns on both databases. A later revision may append columns
# to a view, but changes none. Every view begins with `seq`, by which it is sorted quickly.
#
# Bytes are cast to text before `json_extract`, because newer versions of SQLite read a BLOB as
# their binary JSON. Ordered aggregates need SQLite 3.44, so rows are ordered in a sub-select.
SQLITE = [
    """
    CREATE VIEW v_generation AS
    SELECT
        g.seq AS seq,
        g.id AS id,
        r.id AS run,
        a.name AS actor,
        g.status AS status,
        nullif(g.generator, '') AS generator,
        nullif(g.model_name, '') AS model_name,
        nullif(g.model_digest, '') AS model_digest,
        (
            SELECT CAST(p.content AS TEXT) FROM payload p
            WHERE p.entry = g.seq AND p.kind = 'prompt' AND p.position = 0
        ) AS prompt,
        (
            SELECT group_concat(text, char(10, 10)) FROM (
                SELECT
                    CAST(p.content AS TEXT) AS text,
                    json_extract(
                        CAST(e.canonical_bytes AS TEXT),
                        '$.outputs[' || p.position || '].media_type'
                    ) || ';' AS media_type
                FROM payload p JOIN entry e ON e.seq = p.entry
                WHERE p.entry = g.outcome AND p.kind = 'output'
                ORDER BY p.position
            )
            WHERE media_type LIKE 'text/%'
                OR media_type LIKE '%/json;%'
                OR media_type LIKE '%+json;%'
        ) AS output,
        CASE
            WHEN g.seed < 0 THEN printf('%d', g.seed + 9223372036854775807 + 1)
            ELSE printf(
                '%d%09d',
                9223372036 + g.seed / 1000000000
                    + (854775808 + g.seed % 1000000000) / 1000000000,
                (854775808 + g.seed % 1000000000) % 1000000000
            )
        END AS seed,
        g.decision AS decision,
        strftime('%Y-%m-%dT%H:%M:%fZ', g.started_at / 1000.0, 'unixepoch') AS started_at,
        strftime('%Y-%m-%dT%H:%M:%fZ', g.finished_at / 1000.0, 'unixepoch') AS finished_at,
        g.prompt_tokens AS prompt_tokens,
        g.output_tokens AS output_tokens,
        CASE
            WHEN (
                SELECT json_extract(CAST(e.canonical_bytes AS TEXT), '$.request')
                FROM entry e WHERE e.seq = g.seq
            ) IS NULL
            OR EXISTS (
                SELECT 1 FROM payload p
                WHERE p.entry = g.seq AND p.kind = 'request' AND p.position = 0
            )
            THEN (
                SELECT json_group_array(tag) FROM (
                    SELECT t.tag AS tag FROM generation_tag t
                    WHERE t.generation = g.seq ORDER BY t.position
                )
            )
        END AS tags,
        (
            SELECT count(*) FROM payload p
            WHERE p.entry IN (g.seq, g.outcome)
                AND p.kind IN ('prompt', 'request', 'output', 'detail')
        ) <> (
            SELECT 1 + (json_extract(CAST(e.canonical_bytes AS TEXT), '$.request') IS NOT NULL)
            FROM entry e WHERE e.seq = g.seq
        ) + coalesce((
            SELECT json_array_length(CAST(e.canonical_bytes AS TEXT), '$.outputs')
                + (json_extract(CAST(e.canonical_bytes AS TEXT), '$.detail') IS NOT NULL)
            FROM entry e WHERE e.seq = g.outcome
        ), 0) AS erased
    FROM generation g
    LEFT JOIN run r ON r.seq = g.run
    LEFT JOIN actor a ON a.seq = g.actor AND a.name <> ''
    """,
    """
    CREATE VIEW v_verdict AS
    SELECT
        v.generation AS seq,
        g.id AS generation,
        v.position AS position,
        v.policy_rule AS policy_rule,
        v.stage AS stage,
        coalesce(nullif(v.filter, ''), (
            SELECT json_extract(
                CAST(p.content AS TEXT), '$.verdicts.' || v.position || '.filter'
            )
            FROM payload p
            WHERE p.entry = g.outcome AND p.kind = 'detail' AND p.position = 0
        )) AS filter,
        (
            SELECT json_extract(
                CAST(e.canonical_bytes AS TEXT), '$.verdicts[' || v.position || '].version'
            )
            FROM entry e WHERE e.seq = g.outcome
        ) AS version,
        v.decision AS decision,
        v.action AS action,
        (
            SELECT json_group_object(key, json(value)) FROM (
                SELECT c.key AS key, c.value AS value
                FROM entry e
                JOIN json_each(
                    CAST(e.canonical_bytes AS TEXT),
                    '$.verdicts[' || v.position || '].categories'
                ) c
                WHERE e.seq = g.outcome
                UNION ALL
                SELECT c.key, c.value
                FROM payload p
                JOIN json_each(
                    CAST(p.content AS TEXT), '$.verdicts.' || v.position || '.categories'
                ) c
                WHERE p.entry = g.outcome AND p.kind = 'detail' AND p.position = 0
            )
        ) AS categories,
        (
            SELECT json_extract(
                CAST(e.canonical_bytes AS TEXT), '$.verdicts[' || v.position || '].failed'
            )
            FROM entry e WHERE e.seq = g.outcome
        ) AS failed
    FROM verdict v
    LEFT JOIN generation g ON g.seq = v.generation
    """,
    """
    CREATE VIEW v_score AS
    SELECT
        s.generation AS seq,
        g.id AS generation,
        s.evaluator AS evaluator,
        (
            SELECT json_extract(
                CAST(e.canonical_bytes AS TEXT), '$.scores[' || s.position || '].version'
            )
            FROM entry e WHERE e.seq = g.outcome
        ) AS version,
        s.name AS name,
        s.value AS value,
        (
            SELECT json_extract(
                CAST(e.canonical_bytes AS TEXT), '$.scores[' || s.position || '].unit'
            )
            FROM entry e WHERE e.seq = g.outcome
        ) AS unit,
        (
            SELECT json_extract(
                CAST(e.canonical_bytes AS TEXT), '$.scores[' || s.position || '].higher_is_better'
            )
            FROM entry e WHERE e.seq = g.outcome
        ) AS higher_is_better,
        (
            SELECT json_extract(
                CAST(e.canonical_bytes AS TEXT), '$.scores[' || s.position || '].failed'
            )
            FROM entry e WHERE e.seq = g.outcome
        ) AS failed
    FROM score s
    LEFT JOIN generation g ON g.seq = s.generation
    """,
    """
    CREATE VIEW v_event AS
    SELECT
        v.seq AS seq,
        (
            SELECT strftime(
                '%Y-%m-%dT%H:%M:%fZ',
                json_extract(CAST(e.canonical_bytes AS TEXT), '$.at') / 1000.0,
                'unixepoch'
            )
            FROM entry e WHERE e.seq = v.seq
        ) AS at,
        (
            SELECT nullif(a.name, '')
            FROM entry e
            JOIN actor a ON a.seq = json_extract(CAST(e.canonical_bytes AS TEXT), '$.actor')
            WHERE e.seq = v.seq
        ) AS actor,
        v.kind AS kind,
        g.id AS generation,
        v.key AS key
    FROM event v
    LEFT JOIN generation g ON g.seq = v.subject
    """,
]

# Well-formed UTF-8 in hexadecimal (RFC 3629, section 4). For other bytes, `convert_from` would fail
# the whole SELECT. A function of the database could catch the error, but backups would lack it:
# `pg_dump --table` includes no functions.
_UTF8 = (
    "^(?:[0-7].|(?:c[2-9a-f]|d.)[89ab].|e0[ab].[89ab].|e[1-9abcef][89ab].[89ab].|ed[89].[89ab]."
    "|f0[9ab].[89ab].[89ab].|f[123][89ab].[89ab].[89ab].|f48.[89ab].[89ab].)*$"
)


def _text(content: str) -> str:
    """Return SQL for bytes as text without NUL, which PostgreSQL cannot store.

    The value is NULL for bytes that are not UTF-8.
    """
    without_nul = rf"""CASE
                    WHEN position('\x00'::bytea IN {content}) = 0 THEN {content}
                    ELSE decode(
                        regexp_replace(
                            encode({content}, 'hex'), '00|(.[^0]|[^0].)', '\1', 'g'
                        ),
                        'hex'
                    )
                END"""
    return f"""CASE WHEN encode({content}, 'hex') ~ '{_UTF8}' THEN
                convert_from({without_nul}, 'UTF8')
            END"""


def _json(content: str) -> str:
    """Return SQL for bytes as JSON, in which PostgreSQL permits no escaped NUL."""
    text = r"'(?<!\\)((?:\\\\)*)\\u0000', '\1', 'g'"
    return f"regexp_replace(convert_from({content}, 'UTF8'), {text})::jsonb"


_ENTRY = "convert_from(e.canonical_bytes, 'UTF8')::jsonb"

POSTGRESQL = [
    f"""
    CREATE VIEW v_generation AS
    SELECT
        g.seq AS seq,
        g.id AS id,
        r.id AS run,
        a.name AS actor,
        g.status AS status,
        nullif(g.generator, '') AS generator,
        nullif(g.model_name, '') AS model_name,
        nullif(g.model_digest, '') AS model_digest,
        (
            SELECT {_text("p.content")} FROM payload p
            WHERE p.entry = g.seq AND p.kind = 'prompt' AND p.position = 0
        ) AS prompt,
        (
            SELECT string_agg(text, chr(10) || chr(10) ORDER BY position) FROM (
                SELECT
                    p.position AS position,
                    {_text("p.content")} AS text,
                    {_ENTRY}
                        -> 'outputs' -> p.position ->> 'media_type' || ';' AS media_type
                FROM payload p JOIN entry e ON e.seq = p.entry
                WHERE p.entry = g.outcome AND p.kind = 'output'
            ) t
            WHERE media_type LIKE 'text/%'
                OR media_type LIKE '%/json;%'
                OR media_type LIKE '%+json;%'
        ) AS output,
        (g.seed::numeric + 9223372036854775808)::text AS seed,
        g.decision AS decision,
        to_char(
            timestamp 'epoch' + g.started_at * interval '1 millisecond',
            'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
        ) AS started_at,
        to_char(
            timestamp 'epoch' + g.finished_at * interval '1 millisecond',
            'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
        ) AS finished_at,
        g.prompt_tokens AS prompt_tokens,
        g.output_tokens AS output_tokens,
        CASE
            WHEN (
                SELECT {_ENTRY} ->> 'request'
                FROM entry e WHERE e.seq = g.seq
            ) IS NULL
            OR EXISTS (
                SELECT 1 FROM payload p
                WHERE p.entry = g.seq AND p.kind = 'request' AND p.position = 0
            )
            THEN (
                SELECT '[' || coalesce(
                    string_agg(to_json(t.tag)::text, ',' ORDER BY t.position), ''
                ) || ']'
                FROM generation_tag t WHERE t.generation = g.seq
            )
        END AS tags,
        ((
            SELECT count(*) FROM payload p
            WHERE p.entry IN (g.seq, g.outcome)
                AND p.kind IN ('prompt', 'request', 'output', 'detail')
        ) <> (
            SELECT 1 + ({_ENTRY} ->> 'request' IS NOT NULL)::integer
            FROM entry e WHERE e.seq = g.seq
        ) + coalesce((
            SELECT jsonb_array_length({_ENTRY} -> 'outputs')
                + ({_ENTRY} ->> 'detail' IS NOT NULL)::integer
            FROM entry e WHERE e.seq = g.outcome
        ), 0))::integer AS erased
    FROM generation g
    LEFT JOIN run r ON r.seq = g.run
    LEFT JOIN actor a ON a.seq = g.actor AND a.name <> ''
    """,
    f"""
    CREATE VIEW v_verdict AS
    SELECT
        v.generation AS seq,
        g.id AS generation,
        v.position AS position,
        v.policy_rule AS policy_rule,
        v.stage AS stage,
        coalesce(nullif(v.filter, ''), (
            SELECT {_json("p.content")} -> 'verdicts' -> v.position::text ->> 'filter'
            FROM payload p
            WHERE p.entry = g.outcome AND p.kind = 'detail' AND p.position = 0
        )) AS filter,
        (
            SELECT {_ENTRY} -> 'verdicts' -> v.position ->> 'version'
            FROM entry e WHERE e.seq = g.outcome
        ) AS version,
        v.decision AS decision,
        v.action AS action,
        (
            SELECT '{{' || coalesce(
                string_agg(to_json(key)::text || ':' || (value #>> '{{}}'), ','), ''
            ) || '}}'
            FROM (
                SELECT c.key AS key, c.value AS value
                FROM entry e
                CROSS JOIN jsonb_each(
                    {_ENTRY} -> 'verdicts' -> v.position -> 'categories'
                ) c
                WHERE e.seq = g.outcome
                UNION ALL
                SELECT c.key, c.value
                FROM payload p
                CROSS JOIN jsonb_each(
                    {_json("p.content")} -> 'verdicts' -> v.position::text -> 'categories'
                ) c
                WHERE p.entry = g.outcome AND p.kind = 'detail' AND p.position = 0
            ) c
        ) AS categories,
        (
            SELECT ({_ENTRY}
                -> 'verdicts' -> v.position ->> 'failed')::boolean::integer
            FROM entry e WHERE e.seq = g.outcome
        ) AS failed
    FROM verdict v
    LEFT JOIN generation g ON g.seq = v.generation
    """,
    f"""
    CREATE VIEW v_score AS
    SELECT
        s.generation AS seq,
        g.id AS generation,
        s.evaluator AS evaluator,
        (
            SELECT {_ENTRY} -> 'scores' -> s.position ->> 'version'
            FROM entry e WHERE e.seq = g.outcome
        ) AS version,
        s.name AS name,
        s.value AS value,
        (
            SELECT {_ENTRY} -> 'scores' -> s.position ->> 'unit'
            FROM entry e WHERE e.seq = g.outcome
        ) AS unit,
        (
            SELECT ({_ENTRY}
                -> 'scores' -> s.position ->> 'higher_is_better')::boolean::integer
            FROM entry e WHERE e.seq = g.outcome
        ) AS higher_is_better,
        (
            SELECT ({_ENTRY}
                -> 'scores' -> s.position ->> 'failed')::boolean::integer
            FROM entry e WHERE e.seq = g.outcome
        ) AS failed
    FROM score s
    LEFT JOIN generation g ON g.seq = s.generation
    """,
    f"""
    CREATE VIEW v_event AS
    SELECT
        v.seq AS seq,
        (
            SELECT to_char(
                timestamp 'epoch' + ({_ENTRY} ->> 'at')::bigint
                    * interval '1 millisecond',
                'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
            )
            FROM entry e WHERE e.seq = v.seq
        ) AS at,
        (
            SELECT nullif(a.name, '')
            FROM entry e
            JOIN actor a ON a.seq = ({_ENTRY} ->> 'actor')::bigint
            WHERE e.seq = v.seq
        ) AS actor,
        v.kind AS kind,
        g.id AS generation,
        v.key AS key
    FROM event v
    LEFT JOIN generation g ON g.seq = v.subject
    """,
]
