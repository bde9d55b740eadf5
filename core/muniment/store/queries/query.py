"""What can be asked of the store; `picking.py` finds what answers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row

from muniment.store.database.tables import generation
from muniment.types import Decision, Status


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
)
GenerationRow = Row[int, int | None, str, str]
