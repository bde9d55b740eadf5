"""Record inputs, one entry for equal inputs of a run.

The entries of inputs are appended in the transaction of the `started` entries that refer to them.
A kill therefore leaves no input without a generation, whose payload could not be erased.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import Connection, select

from muniment.errors import StoreError
from muniment.ledger.entries import InputEntry
from muniment.ledger.payloads import Payloads
from muniment.store.database.engine import Database, chunks
from muniment.store.database.tables import generation, generation_input, payload, run
from muniment.store.queries.loader import entries_of
from muniment.store.recording.ledger import PreparedEntry, append, prepare
from muniment.types.generations import Generation
from muniment.types.inputs import Input

MAX_RUNS = 100  # runs whose inputs are kept in memory


class _Content(NamedTuple):
    """The media type and the SHA-256 of an input of a run."""

    run: str
    media_type: str
    digest: bytes


@dataclass(frozen=True)
class PreparedInputs:
    """The inputs of generations that will be recorded.

    Attributes:
        contents: The inputs of each generation by name.
        recorded: The numbers of inputs that are recorded.
        new: The entries of the others.
    """

    contents: Sequence[Mapping[str, _Content]]
    recorded: Mapping[_Content, int]
    new: Mapping[_Content, PreparedEntry]

    def append(self, connection: Connection) -> dict[_Content, int]:
        """Append the new entries. Return the numbers of all inputs.

        Raises StoreError if an input that was recorded is erased. The connection must hold the
        write lock.
        """
        _raise_if_erased(connection, list(self.recorded.values()))
        numbers = dict(self.recorded)
        if self.new:
            first = append(connection, list(self.new.values()))
            numbers |= {content: number for number, content in enumerate(self.new, first)}
        return numbers


class InputNumbers:
    """The numbers of the input entries of the runs that this process records."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._runs: dict[str, dict[_Content, int]] = {}

    def prepare(self, generations: Sequence[Generation]) -> PreparedInputs | None:
        """Return the inputs of generations, or None if no generation has one."""
        if not any(g.inputs for g in generations):
            return None
        inputs: dict[_Content, Input] = {}
        contents: list[dict[str, _Content]] = []
        digests: dict[int, bytes] = {}  # by the identity of the data, which generations can share
        for g in generations:
            contents.append({})
            for item in g.inputs:
                if id(item.data) not in digests:
                    digests[id(item.data)] = sha256(item.data).digest()
                content = _Content(g.run_id, item.media_type, digests[id(item.data)])
                contents[-1][item.name] = content
                inputs[content] = item
        known: dict[_Content, int] = {}
        for run_id in {content.run for content in inputs}:
            if run_id not in self._runs:
                with self._database.reading() as connection:
                    self._runs[run_id] = _recorded(connection, run_id)
            known |= self._runs[run_id]
        return PreparedInputs(
            contents,
            {content: known[content] for content in inputs if content in known},
            {content: _prepare(item) for content, item in inputs.items() if content not in known},
        )

    def add(self, numbers: Mapping[_Content, int]) -> None:
        """Add the numbers of inputs that were committed."""
        for content, number in numbers.items():
            self._runs.setdefault(content.run, {})[content] = number
        self.forget(list(self._runs)[:-MAX_RUNS])

    def forget(self, run_ids: Iterable[str]) -> None:
        """Forget the inputs of runs, so that they are read from the store again."""
        for run_id in run_ids:
            self._runs.pop(run_id, None)


def _raise_if_erased(connection: Connection, numbers: Sequence[int]) -> None:
    for part in chunks(numbers):
        statement = select(payload.c.entry).where(
            payload.c.entry.in_(part), payload.c.kind == "input"
        )
        if len(set(connection.scalars(statement))) < len(part):
            raise StoreError(
                str(connection.engine.url),
                "an input was erased while its run was recorded; run the command again",
            )


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
            contents[_Content(run_id, entry.media_type, sha256(data).digest())] = number
    return contents
