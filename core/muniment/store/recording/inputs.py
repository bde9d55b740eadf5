"""Append the entries of inputs, one for equal inputs of a run.

`started` entries contain their numbers, and are prepared without the write lock. So inputs are
appended in an earlier transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import TypeAlias

from sqlalchemy import Connection, select

from muniment.errors import StoreError
from muniment.ledger.entries import InputEntry
from muniment.ledger.payloads import Payloads
from muniment.store.database.engine import Database, chunks
from muniment.store.database.tables import generation, generation_input, payload, run
from muniment.store.queries.loader import entries_of
from muniment.store.recording.ledger import PreparedEntry, append, prepare
from muniment.types import Generation, Input

_Content: TypeAlias = tuple[str, bytes]
"""The media type of an input and the SHA-256 of its bytes."""


class InputNumbers:
    """The numbers of the input entries of the runs that this process records."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._runs: dict[str, dict[_Content, int]] = {}

    def of(self, generations: Sequence[Generation]) -> list[dict[str, int]]:
        """Return the number of each input by its name, for each generation.

        Append the entries of inputs that the run of a generation does not have yet.
        """
        if not any(g.inputs for g in generations):
            return [{} for _ in generations]
        contents: dict[tuple[str, _Content], Input] = {}
        keys = []
        for g in generations:
            keys.append({item.name: (g.run_id, _content(item)) for item in g.inputs})
            contents |= {keys[-1][item.name]: item for item in g.inputs}
        for run_id in {run_id for run_id, _ in contents}:
            if run_id not in self._runs:
                with self._database.reading() as connection:
                    self._runs[run_id] = _recorded(connection, run_id)
        new = {key: item for key, item in contents.items() if key[1] not in self._runs[key[0]]}
        if new:
            prepared = [_prepare(item) for item in new.values()]
            with self._database.writing() as connection:
                first = append(connection, prepared)
            for number, (run_id, content) in enumerate(new, first):
                self._runs[run_id][content] = number
        return [
            {name: self._runs[run_id][content] for name, (run_id, content) in item.items()}
            for item in keys
        ]

    def forget(self, run_ids: Iterable[str]) -> None:
        """Forget the inputs of runs, so that they are read from the store again."""
        for run_id in run_ids:
            self._runs.pop(run_id, None)


def raise_if_erased(connection: Connection, inputs: Sequence[Mapping[str, int]]) -> None:
    """Raise StoreError if the content of one of the inputs was erased.

    The connection must hold the write lock.
    """
    numbers = {number for item in inputs for number in item.values()}
    for part in chunks(list(numbers)):
        statement = select(payload.c.entry).where(
            payload.c.entry.in_(part), payload.c.kind == "input"
        )
        if len(set(connection.scalars(statement))) < len(part):
            raise StoreError(
                str(connection.engine.url),
                "an input was erased while its run was recorded; run the command again",
            )


def _content(item: Input) -> _Content:
    return item.media_type, sha256(item.data).digest()


def _prepare(item: Input) -> PreparedEntry:
    payloads = Payloads()
    content = payloads.add("input", item.data)
    entry = InputEntry(media_type=item.media_type, bytes=len(item.data), content=content)
    return prepare(entry, payloads)


def _recorded(connection: Connection, run_id: str) -> dict[_Content, int]:
    """Return the inputs of a run that another process began, unless they are erased."""
    statement = (
        select(generation_input.c.input)
        .join(generation, generation.c.seq == generation_input.c.generation)
        .join(run, run.c.seq == generation.c.run)
        .where(run.c.id == run_id)
        .distinct()
    )
    numbers = list(connection.scalars(statement))
    contents: dict[_Content, int] = {}
    for number in numbers:  # one by one, because inputs can be large
        data = connection.scalar(
            select(payload.c.content).where(payload.c.entry == number, payload.c.kind == "input")
        )
        entry = entries_of(connection, [number])[number]
        if data is not None and isinstance(entry, InputEntry):
            contents[entry.media_type, sha256(data).digest()] = number
    return contents
