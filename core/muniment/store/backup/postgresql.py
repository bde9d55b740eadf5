"""Copying a store in PostgreSQL, by the server's own pg_dump and pg_restore."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select

from muniment.ledger.schema import read
from muniment.ledger.tree import Frontier, leaf_hash
from muniment.store.backup.base import BackupError, BackupSummary, Progress
from muniment.store.database.engine import Database
from muniment.store.database.tables import alembic_version, ledger_head, metadata

_COPY_ENTRY = re.compile(r'COPY (?:\S+\.)?"?entry"? \(.*\) FROM stdin;\n')


class PostgresqlBackup:
    """Copies are archives in the custom format of pg_dump, of the store's tables alone."""

    def copy(self, database: Database, target: Path) -> BackupSummary:
        """Dump one snapshot; the head is read in the same."""
        with database.reading() as connection:
            head = connection.execute(select(ledger_head)).one()
            snapshot = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar()
            schema = connection.exec_driver_sql("SELECT current_schema()").scalar()
            tables = [f'--table="{schema}"."{name}"' for name in _tables()]
            _run(
                "pg_dump",
                target,
                database,
                ["--format=custom", f"--snapshot={snapshot}", f"--file={target}", *tables],
            )
        root = Frontier.from_bytes(head.size, head.frontier).root().hex()
        return BackupSummary(head.log_id, head.size, root)

    def contents(self, file: Path, progress: Progress | None) -> BackupSummary:
        """Read the entries out of the archive and compute their tree."""
        if not file.is_file():
            raise BackupError(file, f"there is no file {file}")
        frontier, log = Frontier(), ""
        for seq, data in _entries(file):
            if seq != frontier.size:
                raise BackupError(
                    file, f"{file} is no whole backup: entry {frontier.size} is missing"
                )
            if seq == 0:
                log = str(read(data).get("log", ""))
            frontier.append(leaf_hash(data))
            if progress and frontier.size % 1000 == 0:
                progress("backup", frontier.size, frontier.size)
        if not log:
            raise BackupError(file, f"{file} is no backup of a store: it has no ledger")
        return BackupSummary(log, frontier.size, frontier.root().hex())

    def restore(self, database: Database, file: Path) -> None:
        """Replace the tables in one transaction."""
        _run(
            "pg_restore",
            file,
            database,
            ["--clean", "--if-exists", "--no-owner", "--single-transaction", str(file)],
        )


def _tables() -> list[str]:
    return [*metadata.tables, "search", alembic_version.name]


def _entries(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of every entry in an archive, in order.

    All tables are read: a block that was altered shows when it is unpacked.
    """
    command = [_program("pg_restore", file), "--data-only", "--file=-", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    columns: list[str] = []
    try:
        for line in process.stdout:
            if columns:
                if line == "\\.\n":
                    columns = []
                    continue
                row = dict(zip(columns, line.rstrip("\n").split("\t"), strict=True))
                yield int(row["seq"]), bytes.fromhex(row["canonical_bytes"].removeprefix(r"\\x"))
            elif _COPY_ENTRY.match(line):
                columns = line[line.index("(") + 1 : line.rindex(")")].split(", ")
        said = process.stderr.read()
        if process.wait() != 0:
            raise BackupError(file, f"{file} is no backup of a store: {_last(said)}")
    finally:
        with suppress(OSError):
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def _run(program: str, file: Path, database: Database, arguments: list[str]) -> None:
    """Run one of the server's programs on the database; the password is not on its command line."""
    url = database.engine.url
    environment = dict(os.environ)
    if url.password is not None:
        environment["PGPASSWORD"] = str(url.password)
    shown = url.set(drivername="postgresql", password=None).render_as_string()
    command = [_program(program, file), f"--dbname={shown}", "--no-password", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise BackupError(file, f"{program} failed: {_last(done.stderr)}")


def _program(name: str, file: Path) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackupError(
            file,
            f"a store in PostgreSQL is backed up with {name}, which is not here; install "
            "PostgreSQL's client programs, of the server's version or newer",
        )
    return found


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line.partition(": ")[2] for line in lines if ": error: " in line or "detail" in line]
    return "; ".join(telling or lines[-1:]) or "it said nothing"
