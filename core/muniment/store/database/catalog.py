"""Read the definitions of all objects in the store's schema, to compare them with the migrations.

An object is named by its type and name, such as `index ix_actor_name`. Owners, privileges and the
places of tables in the file are not part of a definition.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import Connection

from muniment.store.database import bulk
from muniment.store.database.raw import any_text

Definitions: TypeAlias = Mapping[str, str]
"""The definitions of objects by type and name."""


def definitions(connection: Connection) -> Definitions:
    """Return the definitions of all objects in the store's schema."""
    found: dict[str, str] = {}
    for name, definition in _objects(connection):
        # An altered SQLite file can have two objects of one name.
        found[name] = f"{found[name]}; {definition}" if name in found else definition
    return dict(sorted(found.items()))


def migrations() -> Path:
    """Return the folder of the migrations, in the installed package or in the repository."""
    package = Path(__file__).parents[2]
    packaged = package / "migrations"
    return packaged if packaged.is_dir() else package.parents[1] / "migrations"


def differences(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield each object that is not as the migrations make it, and the difference.

    The migrations are those up to the revision that the store records.
    """
    recorded = revisions(connection)
    if len(recorded) != 1:
        yield "table alembic_version", f"it has {len(recorded)} rows"
        return
    [revision] = recorded
    file = migrations() / "schema" / f"{revision}.{connection.dialect.name}.json"
    if not file.is_file():
        yield "table alembic_version", f"its revision {revision} is unknown"
        return
    expected: Definitions = json.loads(file.read_text(encoding="utf-8"))
    found = definitions(connection)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            yield name, "it is missing"
        elif name not in expected:
            yield name, "it is not part of the schema"
        elif found[name] != expected[name]:
            yield name, "its definition was changed"


def revisions(connection: Connection) -> tuple[Any, ...]:
    """Return the revisions that the store records. An unaltered store has one, which is a text."""
    with any_text(connection):
        rows = bulk.execute(connection, "SELECT version_num FROM alembic_version")
    return tuple(revision for (revision,) in rows)


def matching(connection: Connection) -> list[str]:
    """Return the revisions whose schema the store has, whatever revision it records."""
    found = definitions(connection)
    suffix = f".{connection.dialect.name}.json"
    files = sorted((migrations() / "schema").glob(f"*{suffix}"))
    return [
        file.name.removesuffix(suffix)
        for file in files
        if json.loads(file.read_text(encoding="utf-8")) == found
    ]


def is_newer(revisions: tuple[Any, ...]) -> bool:
    """Return whether a newer Muniment upgraded the store that records these revisions."""
    newest = max(file.name for file in (migrations() / "schema").glob("*.json"))
    match revisions:
        case (revision,) if is_revision(revision):
            return bool(revision > newest)
    return False


def is_revision(value: object) -> bool:
    """Return whether a value has the form of a revision. Revisions are numbered in order."""
    return isinstance(value, str) and bool(_REVISION.fullmatch(value))


def first_problem(problems: Iterable[tuple[str, str]]) -> str:
    """Return the first problem of objects, with the number of problems, or an empty text."""
    every = list(problems)
    if not every:
        return ""
    where, message = every[0]
    return f"{where}: {message} (problem 1 of {len(every)})"


def damage(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield each inconsistent index of an SQLite file, or else `database`, and the problem.

    SQLite compares every index with its table, and checks the order and the use of all pages.
    PostgreSQL has no such check without an extension, so its indexes are trusted.
    """
    if connection.dialect.name != "sqlite":
        return
    for (lines,) in connection.exec_driver_sql("PRAGMA integrity_check"):
        for message in lines.splitlines():
            if message != "ok" and not message.startswith("***"):
                index = _INDEX.search(message)
                yield (index[0] if index else "database"), message


def _objects(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield type and name, and definition, of each object."""
    if connection.dialect.name == "postgresql":
        yield from map(tuple, connection.exec_driver_sql(_OBJECTS))
        return
    sql = "SELECT type, name, tbl_name, sql FROM main.sqlite_master"
    with any_text(connection):
        rows = bulk.execute(connection, sql)
    for kind, name, table, statement in rows:
        # The white space between tokens depends on the version of SQLAlchemy.
        tokens = " ".join(_TOKENS.findall(f"{statement}"))
        if (name, tokens) not in _STATISTICS:
            yield f"{kind} {name}", f"on {table}: {tokens}"


_REVISION = re.compile(r"[0-9]{4}")
_INDEX = re.compile(r"index \S+$")
_TOKENS = re.compile(r"""\w*'(?:[^']|'')*'|"(?:[^"]|"")*"|--|/\*|\w+|\S""", re.ASCII)

# Tables that ANALYZE makes. They only affect which index SQLite uses.
_STATISTICS = {
    ("sqlite_stat1", "CREATE TABLE sqlite_stat1 ( tbl , idx , stat )"),
    ("sqlite_stat4", "CREATE TABLE sqlite_stat4 ( tbl , idx , neq , nlt , ndlt , sample )"),
}

# The functions pg_get_… write names without a schema if `search_path` finds them. NOT NULL is
# part of a column here, because only PostgreSQL 18 lists it among the constraints. Objects of
# extensions are left out, since many are installed into the schema `public`.
_OBJECTS = """
WITH store AS (SELECT relnamespace AS schema FROM pg_class WHERE oid = to_regclass('ledger_head')),
relation AS (
    SELECT c.* FROM pg_class c JOIN store ON relnamespace = schema
    WHERE relkind NOT IN ('i', 'I') AND NOT EXISTS (
        SELECT FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e'
    )
),
path AS (
    SELECT oid FROM pg_namespace
    WHERE nspname = ANY (current_schemas(false)) AND nspname <> 'pg_catalog'
)
SELECT
    CASE relkind
        WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'f' THEN 'foreign table'
        WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
        ELSE 'type'
    END || ' ' || relname,
    concat_ws(
        ' ',
        CASE relpersistence WHEN 'u' THEN 'UNLOGGED' END,
        CASE WHEN NOT pg_table_is_visible(c.oid) THEN 'not in search_path' END,
        CASE WHEN relrowsecurity THEN 'ROW LEVEL SECURITY' END,
        (SELECT 'USING ' || amname FROM pg_am a WHERE a.oid = relam),
        CASE WHEN relkind IN ('v', 'm') THEN
            concat_ws(' ', reloptions::text, pg_get_viewdef(c.oid))
        END
    )
FROM relation c
UNION ALL
SELECT
    'column ' || relname || '.' || attname,
    concat_ws(
        ' ',
        format_type(atttypid, atttypmod),
        (
            SELECT 'COLLATE ' || attcollation::regcollation FROM pg_type t
            WHERE t.oid = atttypid AND attcollation <> typcollation
        ),
        CASE WHEN attnotnull THEN 'NOT NULL' END,
        nullif(attidentity::text || attgenerated::text, ''),
        pg_get_expr(adbin, adrelid)
    )
FROM relation c
JOIN pg_attribute ON attrelid = c.oid
LEFT JOIN pg_attrdef ON adrelid = c.oid AND adnum = attnum
WHERE attnum > 0 AND NOT attisdropped AND relkind NOT IN ('v', 'S')
UNION ALL
SELECT 'inheritance ' || inhrelid::regclass || ' from ' || inhparent::regclass, ''
FROM pg_inherits WHERE inhrelid IN (SELECT oid FROM relation)
    OR inhparent IN (SELECT oid FROM relation)
UNION ALL
SELECT 'constraint ' || relname || '.' || conname, pg_get_constraintdef(k.oid, true)
FROM relation c JOIN pg_constraint k ON conrelid = c.oid WHERE contype <> 'n'
UNION ALL
SELECT
    'index ' || indexrelid::regclass,
    concat_ws(
        ' ',
        pg_get_indexdef(indexrelid, 0, true),
        CASE WHEN NOT (indisvalid AND indisready) THEN 'INVALID' END
    )
FROM relation c JOIN pg_index ON indrelid = c.oid
UNION ALL
SELECT
    'trigger ' || relname || '.' || tgname,
    concat_ws(' ', pg_get_triggerdef(t.oid, true), tgenabled)
FROM relation c JOIN pg_trigger t ON tgrelid = c.oid
UNION ALL
SELECT
    'rule ' || relname || '.' || rulename,
    concat_ws(' ', pg_get_ruledef(r.oid, true), ev_enabled)
FROM relation c JOIN pg_rewrite r ON ev_class = c.oid
WHERE rulename <> '_RETURN' OR relkind NOT IN ('v', 'm')
UNION ALL
SELECT
    'policy ' || relname || '.' || polname,
    concat_ws(
        ' ',
        polcmd,
        polpermissive,
        pg_get_expr(polqual, polrelid),
        pg_get_expr(polwithcheck, polrelid)
    )
FROM relation c JOIN pg_policy ON polrelid = c.oid
UNION ALL
SELECT
    'function ' || f.oid::regprocedure,
    concat_ws(' ', prokind, lanname, provolatile, prosecdef, proconfig::text, prosrc)
FROM path JOIN pg_proc f ON pronamespace = path.oid JOIN pg_language l ON l.oid = prolang
WHERE (
    pronamespace IN (SELECT schema FROM store) OR proname IN (
        SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
    )
) AND NOT EXISTS (
    SELECT FROM pg_depend
    WHERE classid = 'pg_proc'::regclass AND objid = f.oid AND deptype = 'e'
)
UNION ALL
SELECT 'operator ' || o.oid::regoperator, oprcode::text
FROM path JOIN pg_operator o ON oprnamespace = path.oid
WHERE NOT EXISTS (
    SELECT FROM pg_depend
    WHERE classid = 'pg_operator'::regclass AND objid = o.oid AND deptype = 'e'
)
"""
