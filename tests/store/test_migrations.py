"""The migrations make the tables that the code describes, and can be undone."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from muniment.store import Store
from muniment.store.database import tables
from muniment.store.database.catalog import migrations
from muniment.store.database.migrations import configuration, migrate
from muniment.store.database.opening import open_database
from muniment.store.recording.schema_version import HEAD

pytestmark = pytest.mark.dialect


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    """A connection to an empty database."""
    database = open_database(url)
    database.prepare()
    with database.engine.connect() as connection:
        yield connection
    database.close()


def names(connection: Connection) -> set[str]:
    """Name the tables that both databases have in common: the search index is none of them."""
    found = set(inspect(connection).get_table_names()) - {"alembic_version"}
    return {name for name in found if not _is_search(name)}


def _is_search(name: str | None) -> bool:
    return name is not None and (name == "search" or name.startswith("search_"))


def test_the_newest_migration_is_the_version_that_the_code_names() -> None:
    scripts = ScriptDirectory.from_config(configuration(migrations()))
    assert scripts.get_heads() == [HEAD]


def test_revisions_are_numbered_in_order() -> None:
    scripts = ScriptDirectory.from_config(configuration(migrations()))
    revisions = [script.revision for script in scripts.walk_revisions()][::-1]
    assert revisions == [str(1001 + number) for number in range(len(revisions))]


def test_a_migrated_store_has_the_tables_that_the_code_describes(store: Store) -> None:
    with store._database.engine.connect() as connection:
        options = {
            "compare_type": True,
            "include_name": lambda name, kind, parents: kind != "table" or not _is_search(name),
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.metadata) == []


def test_every_migration_can_be_undone_and_done_again(connection: Connection) -> None:
    with connection.begin():
        migrate(connection, migrations())
        assert names(connection) == set(tables.metadata.tables)
    config = configuration(migrations())
    config.attributes["connection"] = connection
    with connection.begin():
        command.downgrade(config, "base")
        assert names(connection) == set()
    with connection.begin():
        migrate(connection, migrations())
        assert names(connection) == set(tables.metadata.tables)


def test_migrating_says_nothing(
    connection: Connection, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="root"), connection.begin():
        migrate(connection, migrations())
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_the_migrations_are_found() -> None:
    assert (migrations() / "env.py").is_file()
    assert list((migrations() / "versions").glob("1001_*.py"))
