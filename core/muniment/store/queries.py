"""What can be asked of the store: the filters, as SQL conditions that each have an index."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select

from muniment.ledger.entries import milliseconds
from muniment.store import leases
from muniment.store.tables import actor, generation, generation_tag, verdict
from muniment.types import Decision, Status

_DIGEST = re.compile(r"(?:[a-z0-9-]+:)?[0-9a-f]{4,}")
_SCHEMES = ("", "file-sha256:", "tree1-sha256:")


@dataclass(frozen=True, slots=True)
class Query:
    """Which generations are wanted; all that is given must hold.

    `since` is included, `until` is not. `model` is a name, a digest or the beginning of one.
    `decision` is the most severe action that was taken; together with `filter`, what that filter
    itself decided, whatever was done about it (a policy may only observe). `ids` are whole ids.
    """

    since: datetime | None = None
    until: datetime | None = None
    status: Status | None = None
    generator: str | None = None
    model: str | None = None
    decision: Decision | None = None
    filter: str | None = None
    actor: str | None = None
    tag: str | None = None
    run: str | None = None
    seed: int | None = None
    limit: int | None = None
    ids: Sequence[str] | None = None


COLUMNS = (
    generation.c.seq,
    generation.c.outcome,
    generation.c.id,
    generation.c.status,
    generation.c.actor,
    generation.c.policy,
    generation.c.environment,
)
Found = Row[int, int | None, str, str, str, str | None, str | None]


def page(connection: Connection, query: Query, before: int | None, size: int) -> Sequence[Found]:
    """Return up to `size` of the wanted generations before number `before`, the newest first."""
    g = generation.c
    number: ColumnElement[int] = g.seq
    statement: Select[int, int | None, str, str, str, str | None, str | None] = select(*COLUMNS)
    conditions: list[ColumnElement[bool]] = []
    # Filters that live in tables of their own lead: their indexes are ordered by generation.
    if query.tag is not None:
        number = generation_tag.c.generation
        statement = statement.join(generation_tag, number == g.seq).distinct()
        conditions.append(generation_tag.c.tag == query.tag)
    if query.filter is not None:
        statement = statement.join(verdict, verdict.c.generation == number).distinct()
        conditions.append(verdict.c.filter == query.filter)
        if number is g.seq:
            number = verdict.c.generation
        if query.decision is not None:
            conditions.append(verdict.c.decision == query.decision)
    elif query.decision is not None:
        conditions.append(g.decision == query.decision)
    if before is not None:
        conditions.append(number < before)
    if query.since is not None:
        conditions.append(g.started_at >= milliseconds(query.since))
    if query.until is not None:
        conditions.append(g.started_at < milliseconds(query.until))
    if query.generator is not None:
        conditions.append(g.generator == query.generator)
    if query.model is not None:
        conditions.append(_model(query.model))
    if query.actor is not None:
        ids = connection.scalars(select(actor.c.id).where(actor.c.name == query.actor)).all()
        # One name is one actor, so that the index gives the order too.
        conditions.append(g.actor == ids[0] if len(ids) == 1 else g.actor.in_(ids))
    if query.run is not None:
        conditions.append(g.run == query.run)
    if query.seed is not None:
        conditions.append(g.seed == str(query.seed))
    if query.ids is not None:
        conditions.append(g.id.in_(query.ids))
    if query.status is not None:
        conditions.append(_status(connection, query.status))
    if number is not g.seq:  # PostgreSQL wants what it orders by among the columns
        statement = statement.add_columns(number.label("number"))
    return connection.execute(
        statement.where(*conditions).order_by(number.desc()).limit(size)
    ).all()


def _status(connection: Connection, status: Status) -> ColumnElement[bool]:
    """A started generation counts as interrupted as soon as its process is gone."""
    stored = generation.c.status
    if status == "started":
        return and_(stored == "started", generation.c.seq.in_(leases.running(connection)))
    if status == "interrupted":
        dead = [seq for seq, _ in leases.interrupted(connection)]
        return (
            or_(stored == "interrupted", generation.c.seq.in_(dead)) if dead else stored == status
        )
    return stored == status


def _model(wanted: str) -> ColumnElement[bool]:
    named = generation.c.model_name == wanted
    if not _DIGEST.fullmatch(wanted):
        return named
    digest = generation.c.model_digest
    schemes = _SCHEMES[:1] if ":" in wanted else _SCHEMES
    return or_(
        named,
        *(and_(digest >= scheme + wanted, digest < scheme + wanted + "~") for scheme in schemes),
    )
