"""Inputs of generations, fingerprints of outputs, and verdicts on items.

Revision 1003, after 1002. Entries of earlier versions have none of them. Outputs of JSON are text
from this revision on, so that those of earlier generations are added to the search index.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from alembic import op

from muniment.errors import DamagedStoreError
from muniment.store.queries.loader import load_numbers
from muniment.store.search import index
from muniment.types.generations import Generation
from muniment.types.media_types import is_text_type

revision = "1003"
down_revision = "1002"
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    for name, columns in (
        (
            "generation_input",
            (sa.Column("name", Text, nullable=False), sa.Column("input", Number, nullable=False)),
        ),
        ("fingerprint", (sa.Column("digest", Text, nullable=False),)),
    ):
        op.create_table(
            name,
            sa.Column("generation", Number, autoincrement=False, nullable=False),
            sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
            *columns,
            sa.PrimaryKeyConstraint("generation", "position", name=op.f(f"pk_{name}")),
            sqlite_with_rowid=False,
        )
    op.create_index(op.f("ix_generation_input_input"), "generation_input", ["input"])
    op.create_index(op.f("ix_fingerprint_digest"), "fingerprint", ["digest"])
    op.add_column("verdict", sa.Column("item", sa.Integer(), nullable=True))
    _create_view()
    op.execute(
        f"INSERT INTO backfill (revision, position) SELECT '{revision}', -1 "
        "WHERE EXISTS (SELECT 1 FROM entry)"
    )


def fill(connection: sa.Connection, entries: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Index the outputs of JSON in a page of entries.

    `entries` are their numbers and fields, without those of altered entries. `muniment db upgrade`
    calls this after all migrations, in a transaction for each page.
    """
    numbers = {
        outcome["generation"]: None
        for _, outcome in entries
        if outcome["kind"] == "outcome"
        and any(_is_new_text(output["media_type"]) for output in outcome["outputs"])
    }
    before, now, altered = [], [], []
    for number, item in _readable(connection, list(numbers)):
        now.append((number, index.terms_of(item)))
        if item.altered:
            altered.append(number)
            continue
        texts = [output for output in item.outputs if not _is_new_text(output.media_type)]
        before.append((number, index.terms_of(replace(item, outputs=tuple(texts)))))
    index.delete(connection, before)
    index.delete_altered(connection, altered)
    index.insert(connection, now)


def _readable(
    connection: sa.Connection, numbers: Sequence[int]
) -> Iterable[tuple[int, Generation]]:
    """Return generations with their numbers, except those that altered entries belong to."""
    try:
        return load_numbers(connection, numbers)
    except DamagedStoreError:
        if len(numbers) == 1:
            return []
        return [item for number in numbers for item in _readable(connection, [number])]


def _is_new_text(media_type: str) -> bool:
    return is_text_type(media_type) and not media_type.startswith("text/")


def downgrade() -> None:
    """Remove the tables. Entries of version 2 remain, which the older program cannot read."""
    _create_view(without=",\n        v.item AS item")
    op.drop_column("verdict", "item")
    op.drop_table("fingerprint")
    op.drop_table("generation_input")


def _create_view(without: str = "") -> None:
    """Create `v_verdict` anew, without a part of its statement."""
    op.execute("DROP VIEW v_verdict")
    sql = SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL
    op.get_bind().exec_driver_sql(sql.replace(without, ""))


# The view `v_verdict` of revision 1002, with the column `item`.
SQLITE = """
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
        ) AS failed,
        v.item AS item
    FROM verdict v
    LEFT JOIN generation g ON g.seq = v.generation
"""


def _json(content: str) -> str:
    """Return SQL for bytes as JSON, in which PostgreSQL permits no escaped NUL."""
    text = r"'(?<!\\)((?:\\\\)*)\\u0000', '\1', 'g'"
    return f"regexp_replace(convert_from({content}, 'UTF8'), {text})::jsonb"


_ENTRY = "convert_from(e.canonical_bytes, 'UTF8')::jsonb"

POSTGRESQL = f"""
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
        ) AS failed,
        v.item AS item
    FROM verdict v
    LEFT JOIN generation g ON g.seq = v.generation
"""
