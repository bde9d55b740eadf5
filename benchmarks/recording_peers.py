"""Programs for `recording.py` that write the rows of a real store, or as many texts, without it.

`captured` records chunks in a store and reads the rows that each commit inserted, as they are after
the last commit. `insert_by_core` inserts them with `Table.insert()` of SQLAlchemy, and
`insert_by_driver` with `executemany` of the driver. Neither makes the updates and deletions that
recording makes besides. `LlmLog` logs prompts and outputs with llm.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine, event
from startup import LLM_VERSION, install_llm

# Those of the store, so that the peers differ from it in their code only.
PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "cache_size = -65536",
    "wal_autocheckpoint = 8192",
)
SEARCH = "search"  # a table whose rows cannot be read back, but their terms can

LLM_LOG = """
import json, sys, time
import llm, sqlite_utils
from llm.migrations import migrate


class Fixed(llm.Model):
    model_id = "bench-fixed"

    def execute(self, prompt, stream, response, conversation):
        yield outputs[prompt.prompt]


path, mode = sys.argv[1:]
database = sqlite_utils.Database(path)
migrate(database)
if mode == "wal":
    database.enable_wal()
database.conn.execute("PRAGMA synchronous = FULL")
print(database.conn.execute("PRAGMA journal_mode").fetchone()[0], flush=True)
for line in sys.stdin:
    texts = json.loads(line)
    outputs = dict(texts)
    responses = [Fixed().prompt(prompt) for prompt, _ in texts]
    for response in responses:
        response.text()
    wall, processor = time.perf_counter(), time.process_time()
    for response in responses:
        response.log_to_db(database)
    print(time.perf_counter() - wall, time.process_time() - processor, flush=True)
"""


class Rows(NamedTuple):
    """Rows of one table that one commit inserted."""

    table: str
    columns: Sequence[str]
    values: Sequence[tuple[Any, ...]]


Commits = Sequence[Sequence[Rows]]
Key = tuple[Any, ...]


def captured(path: Path, chunks: Iterable[Sequence[Callable[[], object]]]) -> list[Commits]:
    """Make the writes of each chunk, and return the rows that each of their commits inserted.

    Each write must be one commit, and the second of a chunk adds its generations to the search
    index.
    """
    with closing(sqlite3.connect(path)) as reader:
        tables = {name: _columns(reader, name) for name in _table_names(reader)}
        keys_seen = {name: _keys(reader, name, columns) for name, columns in tables.items()}
        new_keys: list[list[Mapping[str, Iterable[Key]]]] = []
        for writes in chunks:
            generations: set[Key] = set()
            commits: list[Mapping[str, Iterable[Key]]] = []
            for write in writes:
                write()
                keys = {name: _keys(reader, name, columns) for name, columns in tables.items()}
                new = {name: keys[name] - keys_seen[name] for name in tables}
                commits.append({**new, SEARCH: generations})
                generations = new["generation"]
                keys_seen = keys
            new_keys.append(commits)
        contents = {name: _contents(reader, name, columns) for name, columns in tables.items()}
        tables[SEARCH] = {"rowid": 1, "terms": 0}
        contents[SEARCH] = _search_terms(reader)
    return [
        [
            [
                Rows(name, list(tables[name]), rows)
                for name, keys in commit.items()
                if (rows := [contents[name][key] for key in sorted(keys) if key in contents[name]])
            ]
            for commit in commits
        ]
        for commits in new_keys
    ]


def _table_names(connection: sqlite3.Connection) -> list[str]:
    """Return the tables of the store, without those of its search index."""
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    names = [name for (name,) in rows if not name.startswith("sqlite_")]
    return [name for name in names if name != SEARCH and not name.startswith(f"{SEARCH}_")]


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, int]:
    """Return the names of the columns, each with its position in the primary key or 0."""
    rows = connection.execute("SELECT name, pk FROM pragma_table_info(?)", (table,))
    return dict(rows.fetchall())


def _keys(connection: sqlite3.Connection, table: str, columns: Mapping[str, int]) -> set[Key]:
    names = ", ".join(f'"{name}"' for name, position in columns.items() if position)
    return set(connection.execute(f'SELECT {names} FROM "{table}"'))


def _contents(
    connection: sqlite3.Connection, table: str, columns: Mapping[str, int]
) -> dict[Key, tuple[Any, ...]]:
    """Return the rows of a table by primary key."""
    positions = [at for at, position in enumerate(columns.values()) if position]
    return {
        tuple(row[at] for at in positions): row
        for row in connection.execute(f'SELECT * FROM "{table}"')
    }


def _search_terms(connection: sqlite3.Connection) -> dict[Key, tuple[int, str]]:
    """Return the rows of the search index by number of the generation."""
    connection.execute(f"CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, {SEARCH}, instance)")
    terms: dict[int, list[str]] = {}
    for number, term in connection.execute("SELECT doc, term FROM temp.terms"):
        terms.setdefault(number, []).append(term)
    return {(number,): (number, " ".join(held)) for number, held in terms.items()}


class Timer:
    """A sum of wall and processor seconds of this process."""

    def __init__(self) -> None:
        self.wall = self.processor = 0.0

    def __repr__(self) -> str:
        return f"{self.wall:.2f}s, {self.processor:.2f}s of processor time"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Add the time of the block."""
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.processor += time.process_time() - processor


def insert_by_core(path: Path, chunks: Sequence[Commits], timer: Timer) -> None:
    """Insert the rows of chunks with `Table.insert()`. The first chunk is not measured."""
    engine = create_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", lambda connection, _: _configure(connection))
    metadata = MetaData()
    metadata.reflect(engine, only=lambda name, _: not name.startswith(SEARCH))
    Table(SEARCH, metadata, Column("rowid", Integer, primary_key=True), Column("terms", Text))
    prepared = [
        [
            [
                (
                    metadata.tables[rows.table],
                    [dict(zip(rows.columns, row, strict=True)) for row in rows.values],
                )
                for rows in commit
            ]
            for commit in commits
        ]
        for commits in chunks
    ]

    def insert(commits: Sequence[Any]) -> None:
        for commit in commits:
            with engine.begin() as connection:
                for table, values in commit:
                    connection.execute(table.insert(), values)

    insert(prepared[0])
    with timer.running():
        for commits in prepared[1:]:
            insert(commits)
    engine.dispose()


def insert_by_driver(path: Path, chunks: Sequence[Commits], timer: Timer) -> None:
    """Insert the rows of chunks with `executemany`. The first chunk is not measured."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        _configure(connection)

        def insert(commits: Commits) -> None:
            for commit in commits:
                connection.execute("BEGIN IMMEDIATE")
                for table, columns, values in commit:
                    names = ", ".join(f'"{name}"' for name in columns)
                    marks = ", ".join("?" * len(columns))
                    statement = f'INSERT INTO "{table}" ({names}) VALUES ({marks})'
                    connection.executemany(statement, values)
                connection.execute("COMMIT")

        insert(chunks[0])
        with timer.running():
            for commits in chunks[1:]:
                insert(commits)


def _configure(connection: Any) -> None:
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


class LlmLog:
    """A process that logs with `log_to_db` of llm into one database, with synchronous=FULL.

    `mode` is the journal mode: `default`, as llm creates the database, or `wal`.
    """

    version = LLM_VERSION

    def __init__(self, path: Path, mode: str) -> None:
        command = [install_llm() / "python", "-c", LLM_LOG, path, mode]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.journal_mode = self._line()

    def log(self, texts: Sequence[tuple[str, str]]) -> Timer:
        """Log prompts with their outputs, one at a time, and return the time."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(texts) + "\n")
        self._process.stdin.flush()
        timer = Timer()
        timer.wall, timer.processor = map(float, self._line().split())
        return timer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
