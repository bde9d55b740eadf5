"""The records of an export: generations in the shape of `--json`, read in pages by key.

A million generations are a million times the same few steps, so they are put together here from
entries and payloads without the objects that `reading.load` makes of them; a test holds every
record to what `audit show --json` prints.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

from msgspec.json import decode
from sqlalchemy import Connection, select

from muniment.errors import StoreError
from muniment.ledger.canonical import SAFE, narrow
from muniment.ledger.entries import Body
from muniment.ledger.texts import plugin_of, policy_name
from muniment.store import leases
from muniment.store.chunks import chunks
from muniment.store.database import Database
from muniment.store.picking import Picker
from muniment.store.queries import Query
from muniment.store.tables import ledger_head

FIRST_PAGE = 16  # generations that are in memory at once, before it is known how long they are
MOST_PAGE = 1000
PAGE_BYTES = 32 << 20  # what the payloads of a page should not exceed by much

_ROWS = 250  # payloads that are in memory at once before those that are no text are let go
_GENERATIONS = "SELECT seq, outcome FROM generation WHERE seq IN "
_ENTRIES = "SELECT seq, canonical_bytes FROM entry WHERE seq IN "
_PAYLOADS = "SELECT entry, kind, position, content FROM payload WHERE kind <> 'trace' AND entry IN "

Record: TypeAlias = dict[str, Any]
Contents: TypeAlias = Mapping[tuple[int, str, int], Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Records, the newest first; `last` is the number after which to go on."""

    records: list[Record]
    last: int


def state(database: Database) -> tuple[str, int]:
    """Return which ledger the store holds, and how many entries it has."""
    with database.reading() as connection:
        head = connection.execute(select(ledger_head.c.log_id, ledger_head.c.size)).one()
    return head.log_id, head.size


def pages(
    database: Database, query: Query, size: int, before: int, limit: int | None
) -> Iterator[Page]:
    """Yield the wanted generations before entry number `before`, as a ledger of `size` has them.

    Each page is a reading of its own, so that a long export stands in nobody's way.
    """
    left, wanted = limit, FIRST_PAGE
    while left is None or left > 0:
        number = wanted if left is None else min(wanted, left)
        with database.reading() as connection:
            found = Picker(connection, query).page(before, number)
            reader = _Reader(connection, size)
            records = reader.records(found)
        if found:
            before = found[-1]
            yield Page(records, before)
        if len(found) < number:
            return
        left = None if left is None else left - number
        fitting = number * PAGE_BYTES // max(1, reader.length)
        wanted = max(1, min(fitting, 2 * wanted, MOST_PAGE))


@dataclass(slots=True)
class _Reader:
    """Reads one page in one state of the store; `length` is what its payloads came to."""

    connection: Connection
    size: int
    length: int = 0
    later: set[int] = field(default_factory=set)
    bodies: dict[int, Body] = field(default_factory=dict)
    contents: dict[tuple[int, str, int], Any] = field(default_factory=dict)
    actors: dict[int, str] = field(default_factory=dict)
    policies: dict[int | None, str] = field(default_factory=dict)
    plugins: dict[tuple[int, ...], list[Record]] = field(default_factory=dict)

    def records(self, numbers: Sequence[int]) -> list[Record]:
        """Return the records of generations by number, in the order given."""
        if not numbers:
            return []
        try:
            outcomes = self._outcomes(numbers)
            self._read([*numbers, *(n for n in outcomes.values() if n is not None)])
            self._read_named()
            open_ = {seq for seq, outcome in outcomes.items() if outcome is None}
            running = leases.running(self.connection) if open_ else set()
            return [
                self._record(
                    seq,
                    outcomes[seq],
                    "started" if seq in running or seq in self.later else "interrupted",
                )
                for seq in numbers
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                str(self.connection.engine.url),
                "the store does not hold together: run `muniment audit verify --all` to see where",
            ) from error

    def _outcomes(self, numbers: Sequence[int]) -> dict[int, int | None]:
        """Return the outcome of each by number; one that came after the export began is none."""
        found: dict[int, int | None] = {}
        for part in chunks(numbers):
            within = f"({','.join(map(str, part))})"
            for seq, outcome in self.connection.exec_driver_sql(_GENERATIONS + within).all():
                if outcome is not None and outcome >= self.size:
                    self.later.add(seq)
                    outcome = None
                found[seq] = outcome
        return found

    def _read(self, numbers: Sequence[int]) -> None:
        bodies, contents, length = self.bodies, self.contents, 0
        for part in chunks(numbers):
            # Numbers are written out: to bind thousands of them takes longer than to read them.
            within = f"({','.join(map(str, part))})"
            for seq, data in self.connection.exec_driver_sql(_ENTRIES + within).all():
                bodies[seq] = decode(data)
            found = self.connection.exec_driver_sql(_PAYLOADS + within)
            while rows := found.fetchmany(_ROWS):
                for number, kind, position, content in rows:
                    length += len(content)
                    if kind == "output" and not _is_text(bodies[number], position):
                        content = _Bytes(len(content), hashlib.sha256(content).hexdigest())
                    contents[number, kind, position] = content
        self.length += length

    def _read_named(self) -> None:
        """Read what the entries name by number: actors, policies, environments, plugins."""
        named: set[int | None] = set()
        touching: set[tuple[int, ...]] = set()
        for body in self.bodies.values():
            touching.add(tuple(body["plugins"]))
            if body["kind"] == "started":
                named.add(body["actor"])
                named.add(body["policy"])
            else:
                named.add(body["environment"])
        known = [number for number in named.union(*touching) if number is not None]
        self._read(known)
        for number in known:
            kind = self.bodies[number]["kind"]
            content = self.contents.get((number, kind, 0))
            if kind == "actor":
                self.actors[number] = (content or b"").decode()
            elif kind == "policy":
                self.policies[number] = policy_name(content)
        for numbers in touching:
            self.plugins[numbers] = [asdict(plugin_of(self.bodies[number])) for number in numbers]

    def _record(self, seq: int, number: int | None, status: str) -> Record:
        started, contents = self.bodies[seq], self.contents
        held = contents.get((seq, "request", 0))
        request: Mapping[str, Any] = decode(held) if held else _NOTHING
        policy = self.policies.get(started["policy"], "")
        record = {
            "id": started["generation"],
            "run_id": started["run"],
            "actor": self.actors.get(started["actor"], ""),
            "status": status,
            "generator": started["generator"] or request.get("generator", ""),
            "model": _model(started["model"], request.get("model")),
            "prompt": contents.get((seq, "prompt", 0), b"").decode(),
            "system": request.get("system"),
            "seed": started["seed"],
            "parameters": _parameters(started["parameters"], request.get("parameters")),
            "policy": policy,
            "outputs": _NONE,
            "verdicts": _NONE,
            "scores": _NONE,
            "usage": None,
            "plugins": self.plugins[tuple(started["plugins"])],
            "environment": _NOTHING,
            "tags": request.get("tags", _NONE),
            "parents": started["parents"],
            "line": started["line"],
            "failure": None,
            "erased": _NONE,
            "started_at": _time(started["at"]),
            "finished_at": None,
        }
        if number is None:
            record["erased"] = self._erased((seq, started))
            return record
        outcome = self.bodies[number]
        held = contents.get((number, "detail", 0))
        detail: Mapping[str, Any] = decode(held) if held else _NOTHING
        environment, failure = outcome["environment"], outcome["failure"]
        record["status"] = outcome["status"]
        record["outputs"] = [
            _output(output, contents.get((number, "output", position)))
            for position, output in enumerate(outcome["outputs"])
        ]
        record["verdicts"] = _verdicts(outcome["verdicts"], detail.get("verdicts"), policy)
        record["scores"] = _scores(outcome["scores"], detail.get("scores"))
        record["usage"] = outcome["usage"]
        record["plugins"] = self.plugins[tuple(outcome["plugins"])] or record["plugins"]
        if environment is not None:
            record["environment"] = self.bodies[environment]["facts"]
        if failure:
            record["failure"] = {"code": failure, "message": detail.get("failure", "")}
        record["erased"] = self._erased((seq, started), (number, outcome))
        record["finished_at"] = _time(outcome["at"])
        return record

    def _erased(self, *entries: tuple[int, Body]) -> Sequence[str]:
        """Return the kinds of payloads that are gone; of a trace nothing is said."""
        gone = {
            kind
            for number, body in entries
            for kind in _KINDS
            if body.get(kind) is not None and (number, kind, 0) not in self.contents
        }
        number, body = entries[-1]
        for position in range(len(body.get("outputs", ()))):
            if (number, "output", position) not in self.contents:
                gone.add("output")
        return sorted(gone) if gone else _NONE


@dataclass(frozen=True, slots=True)
class _Bytes:
    """What is kept in memory of an output that is no text."""

    size: int
    sha256: str


_KINDS = ("prompt", "request", "detail")
_NOTHING: Mapping[str, Any] = {}
_NONE: Sequence[Any] = ()


def _is_text(body: Body, position: int) -> bool:
    return bool(body["outputs"][position]["media_type"].startswith("text/"))


def _time(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:-6]}.{rest:03}Z"


def _model(digest: str | None, named: Mapping[str, str] | None) -> Record | None:
    if digest is None and named is None:
        return None
    named = named or {}
    return {"name": named.get("name", ""), "digest": digest or named.get("digest", "")}


def _parameters(numbers: Mapping[str, Any], texts: Mapping[str, Any] | None) -> Record:
    held = dict(numbers)
    for name, value in numbers.items():
        if (type(value) is not int and type(value) is not float) or not -SAFE <= value <= SAFE:
            held[name] = narrow(value)
    if texts:
        held.update(texts)
        return dict(sorted(held.items()))
    return held  # canonical bytes have their keys in order


def _output(held: Mapping[str, Any], content: bytes | _Bytes | None) -> Record:
    record: Record = {
        "media_type": held["media_type"],
        "text": None,
        "sha256": None,
        "bytes": None,
        "finish_reason": held["finish_reason"],
    }
    if isinstance(content, bytes):
        if held["media_type"].startswith("text/"):
            record["text"] = content.decode()
        record["sha256"], record["bytes"] = hashlib.sha256(content).hexdigest(), len(content)
    elif content is not None:
        record["sha256"], record["bytes"] = content.sha256, content.size
    return record


def _verdicts(
    held: Sequence[Mapping[str, Any]], details: Mapping[str, Any] | None, policy: str
) -> list[Record]:
    records = []
    for position, verdict in enumerate(held):
        detail = details.get(str(position), _NOTHING) if details else _NOTHING
        categories = {name: float(score) for name, score in verdict["categories"].items()}
        for name, score in detail.get("categories", _NOTHING).items():
            categories[name] = float(score)
        records.append(
            {
                "filter": verdict["filter"] or detail.get("filter", ""),
                "version": verdict["version"],
                "stage": verdict["stage"],
                "decision": verdict["decision"],
                "action": verdict["action"],
                "observed_action": detail.get("observed_action"),
                "categories": dict(sorted(categories.items())),
                "reasons": detail.get("reasons", _NONE),
                "policy_version": detail.get("policy_version", policy),
                "latency_ms": verdict["latency_us"] / 1000,
                "failure": detail.get("failure", "") if verdict["failed"] else None,
            }
        )
    return records


def _scores(held: Sequence[Mapping[str, Any]], details: Mapping[str, Any] | None) -> list[Record]:
    records = []
    for position, score in enumerate(held):
        failure, value = None, score["value"]
        if score["failed"]:
            failure = (details or _NOTHING).get(str(position), _NOTHING).get("failure", "")
        records.append(
            {
                "evaluator": score["evaluator"],
                "version": score["version"],
                "name": score["name"],
                "value": None if value is None else float(value),
                "unit": score["unit"],
                "higher_is_better": score["higher_is_better"],
                "failure": failure,
            }
        )
    return records
