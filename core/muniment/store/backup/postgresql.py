"""The backend for PostgreSQL, which uses the programs pg_dump, pg_restore and psql.

A copy is an archive in the custom format of pg_dump with only the tables and views of the store.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select

from muniment.errors import StoreVersionError
from muniment.ledger.entries import GenesisEntry
from muniment.ledger.schema import decode
from muniment.ledger.tree import Frontier, leaf_hash
from muniment.store.backup import BackupError, BackupSummary, CorruptBackupError
from muniment.store.database.engine import Database, Progress
from muniment.store.database.tables import VIEWS, alembic_version, ledger_head, metadata
from muniment.store.errors import UNREADABLE
from muniment.store.recording import schema_version

_PIPE = subprocess.PIPE
_COPY = re.compile(r'COPY (?:\S+\.)?"?(?:entry|alembic_version)"? \(.*\) FROM stdin;\n')


def copy(database: Database, target: Path) -> BackupSummary:
    """Dump a snapshot of the store, and return its head."""
    with database.reading() as connection:
        # The head is read in the snapshot that pg_dump uses.
        head = connection.execute(select(ledger_head)).one()
        snapshot = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar()
        schema = connection.exec_driver_sql("SELECT current_schema()").scalar()
        command, environment = _client("pg_dump", target, database)
        command += ["--format=custom", f"--snapshot={snapshot}", f"--file={target}"]
        command += [f'--table="{schema}"."{name}"' for name in (*_TABLES, *VIEWS)]
        completed = subprocess.run(command, env=environment, capture_output=True, text=True)
    if completed.returncode != 0:
        raise BackupError(target, f"pg_dump failed: {_reason(completed.stderr)}")
    root = Frontier.from_bytes(head.size, head.frontier).root().hex()
    return BackupSummary(head.log_id, head.size, root)


def verify(file: Path, progress: Progress | None, *, whole: bool = False) -> BackupSummary:
    """Read the entries from an archive and compute the root of their tree.

    `whole` has no effect: only a server can read the other tables. Raises BackupError if the
    archive is corrupt or an entry is missing.
    """
    frontier, log = Frontier(), ""
    # Rows are in the order of the table's pages. Sessions that write in turn fill different
    # pages, so that some entries come before others with lower numbers.
    early: dict[int, bytes] = {}
    for count, row in enumerate(_rows(file), 1):
        if revision := row.get("version_num"):
            try:
                schema_version.raise_if_foreign(str(file), f"the backup {file}", revision)
            except StoreVersionError as error:
                raise BackupError(file, str(error)) from error
            continue
        try:
            seq, data = int(row["seq"]), bytes.fromhex(row["canonical_bytes"].removeprefix(r"\\x"))
            first = decode(data) if seq == 0 else None
        except UNREADABLE as error:
            raise CorruptBackupError(file, "an entry cannot be read") from error
        if isinstance(first, GenesisEntry):
            log = first.log
        early[seq] = leaf_hash(data)
        while frontier.size in early:
            frontier.extend([early.pop(frontier.size)])
        if progress and count % 1000 == 0:
            progress("backup", count, count)
    if early:
        raise CorruptBackupError(file, f"entry {frontier.size} is missing")
    if not log:
        raise BackupError(
            file, f"{file} is not a backup of a store: it has no ledger; use another file"
        )
    return BackupSummary(log, frontier.size, frontier.root().hex())


def restore(database: Database, file: Path) -> None:
    """Replace the tables and views of the store in one transaction."""
    with database.reading() as connection:
        schema = connection.exec_driver_sql("SELECT current_schema()").scalar()
    # `pg_restore --clean` drops only what the archive contains. A newer schema has more.
    objects = [("VIEW", name) for name in VIEWS] + [("TABLE", name) for name in _TABLES]
    drops = [f'DROP {kind} IF EXISTS "{schema}"."{name}"' for kind, name in objects]
    # An error, which rolls everything back, if the archive was made in another schema.
    check = f'SELECT FROM "{schema}"."{ledger_head.name}"'
    psql, environment = _client("psql", file, database)
    psql += ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction"]
    psql += [*(f"--command={drop}" for drop in drops), "--file=-", f"--command={check}"]
    pg_restore = [_program_path("pg_restore", file), "--no-owner", "--file=-", str(file)]
    with (
        subprocess.Popen(pg_restore, stdout=_PIPE, stderr=_PIPE) as reading,
        subprocess.Popen(
            psql, env=environment, stdin=_PIPE, stdout=subprocess.DEVNULL, stderr=_PIPE
        ) as writing,
    ):
        assert reading.stdout is not None
        assert writing.stdin is not None
        with suppress(BrokenPipeError):  # psql failed
            shutil.copyfileobj(reading.stdout, writing.stdin)
        reading.stdout.close()
        if reading.wait() != 0 and writing.poll() is None:
            writing.kill()  # at the end of its input it would commit
        _, errors = writing.communicate()
        if writing.returncode > 0:
            raise BackupError(file, f"psql failed: {_reason(errors.decode())}")
        if reading.returncode != 0:
            assert reading.stderr is not None
            reason = _reason(reading.stderr.read().decode())
            raise BackupError(file, f"pg_restore failed: {reason}")


_TABLES = (*metadata.tables, "search", alembic_version.name)


def _rows(file: Path) -> Iterator[dict[str, str]]:
    """Yield each row of the tables of entries and of the schema's version in an archive.

    Raises BackupError if pg_restore cannot read the archive.
    """
    # All tables are decompressed, also those not read: that detects corrupt blocks in each of them.
    command = [_program_path("pg_restore", file), "--data-only", "--file=-", str(file)]
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
                yield dict(zip(columns, line.rstrip("\n").split("\t"), strict=True))
            elif _COPY.match(line):
                columns = line[line.index("(") + 1 : line.rindex(")")].split(", ")
        stderr = process.stderr.read()
        if process.wait() != 0:
            raise BackupError(
                file,
                f"{file} is not a backup of a store, or is damaged ({_reason(stderr)}); use "
                "another backup",
            )
    finally:
        with suppress(OSError):
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def _client(program: str, file: Path, database: Database) -> tuple[list[str], dict[str, str]]:
    """Return the command line and the environment of a client program for the database."""
    url = database.engine.url
    environment = dict(os.environ)
    # Other users of the machine can read command lines, but not the environment.
    if (password := url.password or url.query.get("password")) is not None:
        environment["PGPASSWORD"] = str(password)
    public = url.set(drivername="postgresql", password=None).difference_update_query(["password"])
    public_url = public.render_as_string()
    return [_program_path(program, file), f"--dbname={public_url}", "--no-password"], environment


def _program_path(name: str, file: Path) -> str:
    path = shutil.which(name)
    if path is None:
        raise BackupError(
            file,
            f"{name}, which backups of PostgreSQL stores need, is not installed; install "
            "PostgreSQL's client programs, in the server's version or a newer one",
        )
    return path


def _reason(stderr: str) -> str:
    """Return the errors in the output of a client program, or else its last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.partition(": ")[2] for line in lines if ": error: " in line or "detail" in line]
    return "; ".join(errors or lines[-1:]) or "no error message"
