"""The records of an export: generations in the shape of `--json`, put together a page at a time.

A million generations are a million times the same few steps, so they are put together here from
entries and payloads without the objects that `reading.load` makes of them; a test holds every
record to what `audit show --json` prints.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.json import Decoder, decode
from sqlalchemy import Connection

from muniment.ledger.canonical import SAFE, decode_number
from muniment.ledger.texts import policy_name
from muniment.store.database import leases
from muniment.store.database.batches import chunks
from muniment.store.errors import corruption_as_store_error
from muniment.store.export.records import (
    Failure,
    HeldOutput,
    HeldScore,
    HeldVerdict,
    Model,
    Outcome,
    Output,
    Record,
    Score,
    Started,
    Verdict,
)

_ROWS = 50  # records at once: few stay in the processor's cache, and outputs are soon let go

# Numbers are written out: to bind thousands of them takes longer than to read them.
_GENERATIONS = """
SELECT g.seq, g.outcome, begun.canonical_bytes, ended.canonical_bytes,
  prompt.content, request.content, detail.content, said.content
FROM generation g
LEFT JOIN entry begun ON begun.seq = g.seq
LEFT JOIN entry ended ON ended.seq = g.outcome
LEFT JOIN payload prompt
  ON prompt.entry = g.seq AND prompt.kind = 'prompt' AND prompt.position = 0
LEFT JOIN payload request
  ON request.entry = g.seq AND request.kind = 'request' AND request.position = 0
LEFT JOIN payload detail
  ON detail.entry = g.outcome AND detail.kind = 'detail' AND detail.position = 0
LEFT JOIN payload said
  ON said.entry = g.outcome AND said.kind = 'output' AND said.position = 0
WHERE g.seq IN ({}) ORDER BY g.seq DESC
"""
_MORE_OUTPUTS = """
SELECT position, content FROM payload WHERE entry = {} AND kind = 'output' AND position > 0
"""
_NAMED = """
SELECT e.seq, e.kind, e.canonical_bytes, p.content
FROM entry e LEFT JOIN payload p ON p.entry = e.seq AND p.position = 0 AND p.kind = e.kind
WHERE e.seq IN ({})
"""


class Reader:
    """Reads records in one state of the store, as a ledger of `size` entries has them.

    `length` is what the payloads read so far came to, in bytes.
    """

    def __init__(self, connection: Connection, size: int) -> None:
        """Read nothing yet."""
        self._connection, self._size = connection, size
        self._named = _Named(connection)
        self.length = 0

    def records(self, numbers: Sequence[int]) -> Iterator[list[Record]]:
        """Yield the records of generations by number, a few at a time, the newest first."""
        with corruption_as_store_error(str(self._connection.engine.url)):
            for part in chunks(numbers):
                found = self._connection.exec_driver_sql(_GENERATIONS.format(_listed(part)))
                while rows := found.fetchmany(_ROWS):
                    yield self._made(rows)

    def _made(self, rows: Sequence[Sequence[Any]]) -> list[Record]:
        """Return the records of rows, after reading what their entries name by number."""
        size = self._size
        entries: list[tuple[Started, Outcome | None]] = []
        for row in rows:
            there = row[1] is not None and row[1] < size
            entries.append((_started(row[2]), _outcome(row[3]) if there else None))
        self._named.read(entries)
        return [
            self._open(row, started) if outcome is None else self._ended(row, started, outcome)
            for row, (started, outcome) in zip(rows, entries, strict=True)
        ]

    def _open(self, row: Sequence[Any], started: Started) -> Record:
        """Return the record of a generation without an outcome, when the export began at least."""
        seq, number = row[0], row[1]
        running = number is not None or seq in self._running
        return self._begun(row, started, "started" if running else "interrupted")

    def _begun(self, row: Sequence[Any], started: Started, status: str) -> Record:
        """Return a record with all that was known when the generation began."""
        prompt, held = row[4], row[5]
        request: Mapping[str, Any] = decode(held) if held else _NOTHING
        erased: list[str] = []
        if prompt is None:
            prompt = b""
            erased.append("prompt")
        if held is None and started.request is not None:
            erased.append("request")
        self.length += len(prompt) + len(held or b"")
        return Record(
            id=started.generation,
            run_id=started.run,
            actor=self._named.actors[started.actor],
            status=status,
            generator=started.generator or request.get("generator", ""),
            model=_model(started.model, request.get("model")),
            prompt=prompt.decode(),
            system=request.get("system"),
            seed=started.seed,
            parameters=_parameters(started.parameters, request.get("parameters")),
            policy="" if started.policy is None else self._named.policies[started.policy],
            outputs=_NONE,
            verdicts=_NONE,
            scores=_NONE,
            usage=None,
            plugins=self._named.plugins(started.plugins),
            environment=_EMPTY,
            tags=request.get("tags", _NONE),
            parents=started.parents,
            line=started.line,
            failure=None,
            erased=erased or _NONE,
            started_at=_time(started.at),
            finished_at=None,
        )

    def _ended(self, row: Sequence[Any], started: Started, outcome: Outcome) -> Record:
        """Return the whole record of a generation that has an outcome."""
        record = self._begun(row, started, outcome.status)
        held, said = row[6], row[7]
        detail: Mapping[str, Any] = decode(held) if held else _NOTHING
        gone = held is None and outcome.detail is not None
        outputs = [_output(output, said) for output in outcome.outputs[:1]]
        if len(outcome.outputs) > 1:
            outputs += self._more_outputs(row[1], outcome.outputs)
        lost = any(output.bytes is None for output in outputs)
        if gone or lost:
            record.erased = sorted([*record.erased, *["detail"] * gone, *["output"] * lost])
        self.length += len(held or b"") + len(said or b"")
        record.outputs = outputs
        record.verdicts = _verdicts(outcome.verdicts, detail.get("verdicts"), record.policy)
        record.scores = _scores(outcome.scores, detail.get("scores"))
        record.usage = outcome.usage
        if outcome.plugins:
            record.plugins = self._named.plugins(outcome.plugins)
        if outcome.environment is not None:
            record.environment = self._named.environments[outcome.environment]
        if outcome.failure:
            record.failure = Failure(outcome.failure, detail.get("failure", ""))
        record.finished_at = _time(outcome.at)
        return record

    def _more_outputs(self, number: int, held: Sequence[HeldOutput]) -> list[Output]:
        """Return all outputs but the first."""
        contents: dict[int, bytes] = {}
        for position, content in self._connection.exec_driver_sql(_MORE_OUTPUTS.format(number)):
            contents[position] = content
            self.length += len(content)
        return [
            _output(output, contents.get(position))
            for position, output in enumerate(held)
            if position > 0
        ]

    @cached_property
    def _running(self) -> Collection[int]:
        return leases.running(self._connection)


class _Named:
    """What entries name by number, read when a page first names it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: set[int] = set()
        self._plugins: dict[int, Any] = {}
        self._lists: dict[tuple[int, ...], Raw] = {}
        self.actors: dict[int, str] = {}
        self.policies: dict[int, str] = {}
        self.environments: dict[int, Raw] = {}

    def read(self, entries: Sequence[tuple[Started, Outcome | None]]) -> None:
        """Read what these name and is not known yet."""
        named: set[int | None] = set()
        touching: set[tuple[int, ...]] = set()
        for started, outcome in entries:
            named.add(started.actor)
            named.add(started.policy)
            touching.add(started.plugins)
            if outcome is not None:
                named.add(outcome.environment)
                touching.add(outcome.plugins)
        new = named.union(*touching) - self._known - {None}
        for part in chunks([number for number in new if number is not None]):
            self._note(self._connection.exec_driver_sql(_NAMED.format(_listed(part))).all())

    def _note(self, rows: Sequence[Sequence[Any]]) -> None:
        for seq, kind, data, content in rows:
            self._known.add(seq)
            if kind == "actor":
                self.actors[seq] = (content or b"").decode()
            elif kind == "policy":
                self.policies[seq] = policy_name(content)
            elif kind == "environment":
                self.environments[seq] = as_json(decode(data)["facts"])
            else:
                plugin = decode(data)["plugin"]
                self._plugins[seq] = {name: plugin[name] for name in _PLUGIN}

    def plugins(self, numbers: tuple[int, ...]) -> Raw:
        """Return a list of plugins."""
        if (held := self._lists.get(numbers)) is None:
            held = self._lists[numbers] = as_json([self._plugins[number] for number in numbers])
        return held


_NOTHING: Mapping[str, Any] = {}
_NONE: Sequence[Any] = ()
_EMPTY = Raw(b"{}")
_PLUGIN = ("distribution", "version", "digest")
_started: Callable[[bytes], Started] = Decoder(Started).decode
_outcome: Callable[[bytes], Outcome] = Decoder(Outcome).decode
_encode = msgspec.json.Encoder().encode
_plain = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def as_json(value: Any) -> Raw:
    """Return a value as JSON; integers beyond 64 bits are written too."""
    try:
        return Raw(_encode(value))
    except OverflowError:
        return Raw(_plain(value).encode())


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def _time(milliseconds: int) -> str:
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{_minute(minutes)}:{rest / 1000:06.3f}Z"


@lru_cache(4096)
def _minute(minutes: int) -> str:
    return datetime.fromtimestamp(minutes * 60, UTC).isoformat()[:16]


def _model(digest: str | None, named: Mapping[str, str] | None) -> Model | None:
    if digest is None and named is None:
        return None
    named = named or {}
    return Model(named.get("name", ""), digest or named.get("digest", ""))


def _parameters(numbers: Mapping[str, Any], texts: Mapping[str, Any] | None) -> Raw:
    held = dict(numbers)
    for name, value in numbers.items():
        if (type(value) is not int and type(value) is not float) or not -SAFE <= value <= SAFE:
            held[name] = decode_number(value)
    if texts:
        held.update(texts)
        held = dict(sorted(held.items()))
    return as_json(held)  # canonical bytes have their keys in order


def _output(held: HeldOutput, content: bytes | None) -> Output:
    if content is None:
        return Output(held.media_type, None, None, None, held.finish_reason)
    return Output(
        held.media_type,
        content.decode() if held.media_type.startswith("text/") else None,
        hashlib.sha256(content).hexdigest(),
        len(content),
        held.finish_reason,
    )


def _verdicts(
    held: Sequence[HeldVerdict], details: Mapping[str, Any] | None, policy: str
) -> list[Verdict]:
    records = []
    for position, verdict in enumerate(held):
        detail = details.get(str(position), _NOTHING) if details else _NOTHING
        categories: Mapping[str, float] = verdict.categories
        if detail:
            others = detail.get("categories", _NOTHING).items()
            categories = {**categories, **{name: float(score) for name, score in others}}
        if len(categories) > 1:
            categories = dict(sorted(categories.items()))
        records.append(
            Verdict(
                filter=verdict.filter or detail.get("filter", ""),
                version=verdict.version,
                stage=verdict.stage,
                decision=verdict.decision,
                action=verdict.action,
                observed_action=detail.get("observed_action"),
                categories=categories,
                reasons=detail.get("reasons", _NONE),
                policy_version=detail.get("policy_version", policy),
                latency_ms=verdict.latency_us / 1000,
                failure=detail.get("failure", "") if verdict.failed else None,
            )
        )
    return records


def _scores(held: Sequence[HeldScore], details: Mapping[str, Any] | None) -> list[Score]:
    records = []
    for position, score in enumerate(held):
        failure = None
        if score.failed:
            failure = (details or _NOTHING).get(str(position), _NOTHING).get("failure", "")
        records.append(
            Score(
                evaluator=score.evaluator,
                version=score.version,
                name=score.name,
                value=score.value,
                unit=score.unit,
                higher_is_better=score.higher_is_better,
                failure=failure,
            )
        )
    return records
