"""Verifying: nothing that the database says about itself is believed.

Entries are read in order and hashed again; the tree that they make must be the one whose head is
stored. Each entry must be canonical and fit the schema. Where asked, every row of the projections
and every payload is compared with what the entries say (`comparing.py`). All of it happens in one
reading transaction, page by page, so that memory stays level and writers are not in the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from muniment.ledger.canonical import parse
from muniment.ledger.entries import Body
from muniment.ledger.schema import check
from muniment.ledger.tree import Frontier, leaf_hash
from muniment.store.comparing import PayloadComparison, ProjectionComparison, raw
from muniment.store.database import Database
from muniment.store.problems import Problem, Report
from muniment.store.tables import entry, ledger_head

PAGE = 500  # entries compared at once


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked and what was found.

    `root` is the tree's root in hexadecimal, computed from the entries; `checked` names what was
    looked at: `tree`, `entries`, `projections`, `payloads`.
    """

    ok: bool
    checked: list[str]
    entries: int
    root: str
    problems: list[Problem]


def verify(
    database: Database,
    *,
    projections: bool,
    payloads: bool,
    progress: Callable[[str, int, int], None] | None = None,
) -> Verification:
    """Check the ledger, and where asked the projections and payloads against it."""
    report = Report()
    with database.reading() as connection:
        total = connection.scalar(select(func.count()).select_from(entry)) or 0
        comparisons: list[ProjectionComparison | PayloadComparison] = []
        if projections:
            comparisons.append(ProjectionComparison(connection, report))
        if payloads:
            comparisons.append(PayloadComparison(connection, report))
        frontier = Frontier()
        log: str | None = None
        for page in _pages(connection):
            good: list[tuple[int, Body]] = []
            for row in page:
                body = _checked(row, frontier, report)
                if body is None:
                    continue
                if (body["kind"] == "genesis") != (row.seq == 0):
                    report.add("entry", f"entry {row.seq}", "the ledger must begin with genesis")
                elif body["kind"] == "genesis":
                    log = body["log"]
                good.append((row.seq, body))
            for comparison in comparisons:
                comparison.page(good)
            if progress:
                progress("entries", frontier.size, total)
        for comparison in comparisons:
            comparison.finish()
        _check_head(connection, frontier, log, report)
    checked = ["tree", "entries"]
    checked += ["projections"] if projections else []
    checked += ["payloads"] if payloads else []
    return Verification(
        not report.problems, checked, frontier.size, frontier.root().hex(), report.problems
    )


def _pages(connection: Connection) -> Iterator[Sequence[Row[*tuple[Any, ...]]]]:
    statement = select(*raw(entry)).order_by(entry.c.seq).limit(PAGE)
    page = connection.execute(statement).all()
    while page:
        yield page
        page = connection.execute(statement.where(entry.c.seq > page[-1].seq)).all()


def _checked(row: Row[*tuple[Any, ...]], frontier: Frontier, report: Report) -> Body | None:
    """Check one entry and add it to the tree; return its body when it can be read."""
    where, expected = f"entry {row.seq}", frontier.size
    if row.seq != expected:
        gap = f"entries {expected} to {row.seq - 1}" if row.seq > expected else "numbers"
        report.add("tree", where, f"{gap} before it are missing or out of order")
    data = row.canonical_bytes
    if not isinstance(data, bytes):
        report.add("entry", where, "its bytes are not bytes")
        data = str(data).encode(errors="replace")
    leaf = leaf_hash(data)
    frontier.append(leaf)
    if leaf != row.leaf_hash:
        report.add("tree", where, "its bytes do not hash to its leaf hash")
    try:
        body = parse(data)
        check(body)
    except (ValueError, RecursionError) as error:
        report.add("entry", where, f"its bytes are no entry: {error}")
        return None
    for column in ("kind", "version"):
        if body[column] != getattr(row, column):
            report.add("entry", where, f"its {column} is not what its bytes say")
    return body


def _check_head(
    connection: Connection, frontier: Frontier, log: str | None, report: Report
) -> None:
    rows = connection.execute(select(*raw(ledger_head))).mappings().all()
    if len(rows) != 1 or rows[0]["id"] != 1:
        report.add(
            "head", "ledger_head", f"there must be one head, number 1; there are {len(rows)}"
        )
        return
    head = rows[0]
    if head["size"] != frontier.size:
        report.add(
            "head",
            "ledger_head.size",
            f"the head says {head['size']} entries, there are {frontier.size}",
        )
    if head["frontier"] != bytes(frontier):
        report.add(
            "head", "ledger_head.frontier", "the entries do not make the tree whose head is stored"
        )
    if head["log_id"] != log:
        report.add("head", "ledger_head.log_id", "the head is of another ledger than the entries")
