"""Comparing projections and payloads with the entries, page by page of entries.

Every row is looked for from the entry that makes it; at the end as many rows must have been met
as there are, so that none can have been slipped in.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, RowMapping, Table, func, select, type_coerce
from sqlalchemy.types import NullType

from muniment.ledger.entries import Body
from muniment.ledger.payloads import SALT_BYTES, commitment
from muniment.store.columns import Words
from muniment.store.problems import Report
from muniment.store.projections import (
    OUTCOME_CHILDREN,
    OUTCOME_COLUMNS,
    STARTED_CHILDREN,
    Row,
    actor_row,
    environment_row,
    outcome_rows,
    policy_row,
    started_rows,
)
from muniment.store.tables import generation, metadata, payload, pending, run

Page: TypeAlias = Sequence[tuple[int, Body]]
Held: TypeAlias = RowMapping | Mapping[str, Any]

_NAMED = ("actor", "policy", "environment")
_PROJECTIONS = (*_NAMED, "run", "generation", *STARTED_CHILDREN, *OUTCOME_CHILDREN)
_CHUNK = 500  # values in one IN (…)


class ProjectionComparison:
    """Compares the tables that find generations with what the entries say."""

    def __init__(self, connection: Connection, report: Report) -> None:
        self._connection, self._report = connection, report
        self._met = dict.fromkeys(_PROJECTIONS, 0)

    def page(self, page: Page) -> None:
        """Compare what the entries of a page, in order, should have made."""
        if not page:
            return
        texts = self._texts(page)
        low, high = page[0][0], page[-1][0]
        self._compare_named(page, texts, low, high)
        self._compare_runs(page, low, high)
        self._compare_started(page, texts, low, high)
        self._compare_outcomes(page, low, high)

    def finish(self) -> None:
        """Look for rows that no entry made."""
        for name in _PROJECTIONS:
            table = metadata.tables[name]
            there = self._connection.scalar(select(func.count()).select_from(table)) or 0
            if there != self._met[name]:
                self._add(name, f"there are {there} rows, the entries make {self._met[name]}")
        stray = self._connection.scalar(
            select(func.count())
            .select_from(pending)
            .outerjoin(generation, generation.c.seq == pending.c.generation)
            .where((generation.c.seq.is_(None)) | (generation.c.outcome.is_not(None)))
        )
        if stray:
            self._add("pending", f"{stray} rows are of generations that nothing is pending of")

    def _texts(self, page: Page) -> dict[tuple[str, str], bytes]:
        """Return the payloads that rows are made of, by owner and kind."""
        owners = [
            body[_OWNER[body["kind"]]]
            for _, body in page
            if body["kind"] in ("actor", "policy", "started")
        ]
        found: dict[tuple[str, str], bytes] = {}
        for part in _chunks(owners):
            rows = self._rows(
                payload,
                payload.c.owner.in_(part),
                payload.c.kind.in_(("actor", "policy", "request")),
            )
            found |= {(row["owner"], row["kind"]): row["content"] for row in rows}
        return found

    def _compare_named(
        self, page: Page, texts: Mapping[tuple[str, str], bytes], low: int, high: int
    ) -> None:
        expected: dict[str, dict[int, Row]] = {name: {} for name in _NAMED}
        for seq, body in page:
            kind = body["kind"]
            try:
                if kind == "actor":
                    row = actor_row(seq, body, texts.get((body["actor"], "actor")))
                elif kind == "policy":
                    row = policy_row(seq, body, texts.get((body["policy"], "policy")))
                elif kind == "environment":
                    row = environment_row(seq, body)
                else:
                    continue
            except _UNREADABLE:
                self._unreadable(seq)
                continue
            expected[kind][seq] = row
        for name in _NAMED:
            table = metadata.tables[name]
            actual = {row["seq"]: row for row in self._rows(table, table.c.seq.between(low, high))}
            self._compare_keyed(name, expected[name], actual)

    def _compare_runs(self, page: Page, low: int, high: int) -> None:
        started = {seq: body["run"] for seq, body in page if body["kind"] == "started"}
        first = {id: seq for seq, id in reversed(started.items())}
        for part in _chunks(list(first)):
            known = {row["id"]: row["seq"] for row in self._rows(run, run.c.id.in_(part))}
            for id in part:
                if not isinstance(known.get(id), int) or known[id] > first[id]:
                    self._add("run", f"run {id} is missing or begins too late")
        for row in self._rows(run, run.c.seq.between(low, high)):
            self._met["run"] += 1
            if started.get(row["seq"]) != row["id"]:
                self._add("run", f"run {row['id']} does not begin with entry {row['seq']}")

    def _compare_started(
        self, page: Page, texts: Mapping[tuple[str, str], bytes], low: int, high: int
    ) -> None:
        rows = {
            row["seq"]: row for row in self._rows(generation, generation.c.seq.between(low, high))
        }
        expected: dict[int, Row] = {}
        children: dict[str, dict[tuple[int, int], Row]] = {name: {} for name in STARTED_CHILDREN}
        for seq, body in page:
            if body["kind"] != "started":
                continue
            try:
                row, of_row = started_rows(seq, body, texts.get((body["generation"], "request")))
            except _UNREADABLE:
                self._unreadable(seq)
                continue
            if seq in rows and rows[seq]["outcome"] is not None:
                # What its outcome sets is compared with that entry.
                row |= {name: rows[seq][name] for name in OUTCOME_COLUMNS}
            expected[seq] = row
            for name, held in of_row.items():
                children[name] |= {(seq, child["position"]): child for child in held}
        self._compare_keyed("generation", expected, rows)
        for name in STARTED_CHILDREN:
            table = metadata.tables[name]
            self._compare_children(
                name, children[name], self._rows(table, table.c.generation.between(low, high))
            )
        open_ = [seq for seq, row in rows.items() if row["outcome"] is None]
        for name in OUTCOME_CHILDREN:
            for part in _chunks(open_):
                table = metadata.tables[name]
                self._compare_children(name, {}, self._rows(table, table.c.generation.in_(part)))

    def _compare_outcomes(self, page: Page, low: int, high: int) -> None:
        rows = {
            row["outcome"]: row
            for row in self._rows(generation, generation.c.outcome.between(low, high))
        }
        bodies = {seq: body for seq, body in page if body["kind"] == "outcome"}
        for outcome, row in rows.items():
            if outcome not in bodies:
                self._add(
                    "generation.outcome", f"entry {outcome} is no outcome", row["seq"], row["id"]
                )
        children: dict[str, dict[tuple[int, int], Row]] = {name: {} for name in OUTCOME_CHILDREN}
        for seq, body in bodies.items():
            found = rows.get(seq)
            if found is None or found["id"] != body["generation"]:
                self._add(
                    "generation.outcome",
                    f"entry {seq} is the outcome of generation {body['generation']}, "
                    "whose row says otherwise",
                )
            if found is None:
                continue
            update, of_row = outcome_rows(seq, found["seq"], body)
            self._compare("generation", update, found)
            for name, held in of_row.items():
                children[name] |= {(found["seq"], child["position"]): child for child in held}
        numbers = [row["seq"] for row in rows.values()]
        for name in OUTCOME_CHILDREN:
            table = metadata.tables[name]
            found_rows = [
                row
                for part in _chunks(numbers)
                for row in self._rows(table, table.c.generation.in_(part))
            ]
            self._compare_children(name, children[name], found_rows)

    def _compare_keyed(
        self, name: str, expected: Mapping[int, Row], actual: Mapping[int, Held]
    ) -> None:
        self._met[name] += len(actual)
        for seq in expected.keys() | actual.keys():
            if seq not in actual:
                self._add(name, "the row is missing", seq)
            elif seq not in expected:
                self._add(name, "no entry makes this row", seq)
            else:
                self._compare(name, expected[seq], actual[seq])

    def _compare_children(
        self, name: str, expected: Mapping[tuple[int, int], Row], rows: Iterable[Held]
    ) -> None:
        actual = {(row["generation"], row["position"]): row for row in rows}
        self._met[name] += len(actual)
        for key in expected.keys() | actual.keys():
            if key not in actual:
                self._add(name, f"row {key[1]} is missing", key[0])
            elif key not in expected:
                self._add(name, f"no entry makes row {key[1]}", key[0])
            else:
                self._compare(name, expected[key], actual[key])

    def _compare(self, name: str, expected: Row, actual: Held) -> None:
        for column, value in expected.items():
            if actual[column] != value:
                seq = actual.get("generation", actual.get("seq"))
                self._add(f"{name}.{column}", "differs from what the entry says", seq)

    def _rows(self, table: Table, *conditions: ColumnElement[bool]) -> Sequence[RowMapping]:
        return self._connection.execute(select(*raw(table)).where(*conditions)).mappings().all()

    def _add(self, where: str, message: str, seq: Any = None, id: str = "") -> None:
        at = f" of entry {seq}" if seq is not None else ""
        self._report.add("projection", f"{where}{at}{' ' + id if id else ''}", message)

    def _unreadable(self, seq: int) -> None:
        self._report.add("payload", f"entry {seq}", "a payload that rows are made of is unreadable")


class PayloadComparison:
    """Recomputes the commitment to every payload."""

    def __init__(self, connection: Connection, report: Report) -> None:
        self._connection, self._report = connection, report
        self._met = 0

    def page(self, page: Page) -> None:
        """Check the payloads that the entries of a page refer to."""
        wanted: dict[tuple[str, ...], dict[tuple[str, str, int], tuple[Held, int | None]]] = {}
        for _, body in page:
            kinds = _KINDS.get(body["kind"])
            if kinds:
                wanted.setdefault(kinds, {}).update(_references(body))
        for kinds, references in wanted.items():
            left = dict(references)
            for part in _chunks(sorted({owner for owner, _, _ in references})):
                rows = self._connection.execute(
                    select(*raw(payload))
                    .where(payload.c.owner.in_(part), payload.c.kind.in_(kinds))
                    .execution_options(yield_per=16)  # contents may be large
                ).mappings()
                for row in rows:
                    self._met += 1
                    key = (row["owner"], row["kind"], row["position"])
                    if key not in left:
                        self._add(*key, "no entry refers to it")
                    else:
                        self._check(row, *left.pop(key))
            for key in left:
                self._add(*key, "it is gone")

    def finish(self) -> None:
        """Look for payloads that no entry refers to."""
        there = self._connection.scalar(select(func.count()).select_from(payload)) or 0
        if there != self._met:
            self._report.add(
                "payload", "payload", f"there are {there}, the entries refer to {self._met} of them"
            )

    def _check(self, row: Held, reference: Held, size: int | None) -> None:
        key = (row["owner"], row["kind"], row["position"])
        id, salt, content = row["id"], row["salt"], row["content"]
        if not all(isinstance(value, bytes) for value in (id, salt, content)):
            self._add(*key, "it is not bytes")
            return
        if id.hex() != reference["payload"]:
            self._add(*key, "its id is not the one the entry refers to")
        computed = commitment(row["kind"], salt, content).hex()
        if len(salt) != SALT_BYTES or not hmac.compare_digest(computed, reference["commitment"]):
            self._add(*key, "its content or salt is not what the entry commits to")
        if size is not None and len(content) != size:
            self._add(*key, f"it has {len(content)} bytes, the entry says {size}")

    def _add(self, owner: str, kind: str, position: int, message: str) -> None:
        self._report.add("payload", f"{kind} {position} of {owner}", message)


_OWNER = {"actor": "actor", "policy": "policy", "started": "generation", "outcome": "generation"}
_KINDS: Mapping[str, tuple[str, ...]] = {
    "actor": ("actor",),
    "policy": ("policy",),
    "started": ("prompt", "request"),
    "outcome": ("output", "trace", "detail"),
}
_REFERENCES = {
    "actor": {"actor": "name"},
    "policy": {"policy": "document"},
    "started": {"prompt": "prompt", "request": "request"},
    "outcome": {"trace": "trace", "detail": "detail"},
}
_UNREADABLE = (ValueError, TypeError, AttributeError, RecursionError)


def raw(table: Table) -> list[ColumnElement[Any]]:
    """Return a table's columns as the database holds them, whatever type they should have."""
    return [
        column
        if isinstance(column.type, Words)
        else type_coerce(column, NullType()).label(column.name)
        for column in table.c
    ]


def _references(body: Body) -> dict[tuple[str, str, int], tuple[Held, int | None]]:
    """Return what an entry refers to, by owner, kind and position, with its size where known."""
    owner = body[_OWNER[body["kind"]]]
    found: dict[tuple[str, str, int], tuple[Held, int | None]] = {
        (owner, kind, 0): (body[name], None)
        for kind, name in _REFERENCES[body["kind"]].items()
        if body[name] is not None
    }
    for position, output in enumerate(body.get("outputs", ())):
        found[owner, "output", position] = (output["content"], output["bytes"])
    return found


def _chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))
