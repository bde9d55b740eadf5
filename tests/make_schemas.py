"""Write the definitions of all database objects after each migration, for both databases.

    python tests/make_schemas.py

`audit verify` and `db upgrade` compare a store with these files in migrations/schema.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from alembic.script import ScriptDirectory

from muniment.store.database.catalog import definitions, migrations
from muniment.store.database.migrations import configuration, migrate
from muniment.store.database.opening import open_database
from support.databases import server, stop

FOLDER = migrations() / "schema"


def contents(url: str, folder: Path) -> dict[str, str]:
    """Return the text of each file by its name, made by running the migrations of a folder."""
    scripts = ScriptDirectory.from_config(configuration(folder))
    database = open_database(url)
    database.prepare()
    files = {}
    with database.upgrading() as connection:
        for script in reversed(list(scripts.walk_revisions())):
            migrate(connection, folder, script.revision)
            found = json.dumps(definitions(connection), indent=1, ensure_ascii=False)
            files[f"{script.revision}.{database.dialect}.json"] = f"{found}\n"
    database.close()
    return files


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        with server(Path(folder)) as postgresql:
            for url in (f"sqlite:///{folder}/muniment.db", postgresql.create()):
                for name, text in contents(url, migrations()).items():
                    (FOLDER / name).write_text(text, encoding="utf-8")
        stop(Path(folder))
