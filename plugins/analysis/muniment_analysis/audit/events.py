"""Numbers of events in a period, such as trainings, erasures and holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import muniment

KINDS = (
    "review",
    "replay",
    "erasure",
    "hold",
    "release",
    "retention",
    "training",
    "claimed_training",
    "experiment",
    "model",
    "installation",
)
"""The kinds of events that a report counts. Feedback is left out, because it can be frequent.

A claimed training took place elsewhere. It was recorded because an added model came with it.
"""

# A hold has a row for each of its generations, and an entry for a thousand of them. So the entries
# are made distinct before their times are read, and holds are counted by id.
_STATEMENT = """
    SELECT kind, count(*), count(DISTINCT key) FROM (
        SELECT d.kind AS kind, d.key AS key,
            (SELECT e.at FROM v_event e WHERE e.seq = d.seq LIMIT 1) AS at
        FROM (SELECT DISTINCT seq, kind, key FROM v_event WHERE kind IN ({kinds})) d
    ) t
    WHERE {period}
    GROUP BY kind
"""


def event_counts(
    session: muniment.Session, since: datetime | None, until: datetime
) -> Mapping[str, int]:
    """Return the numbers of events of the whole record in a period, by kind."""
    period = f"at < '{_text(until)}'"
    if since is not None:
        period += f" AND at >= '{_text(since)}'"
    kinds = ", ".join(f"'{kind}'" for kind in KINDS)
    with session.store.select(_STATEMENT.format(kinds=kinds, period=period)) as selected:
        counts = {kind: keys if kind == "hold" else events for kind, events, keys in selected.rows}
    if claimed := _claimed_trainings(session, period) if "training" in counts else 0:
        counts["training"] -= claimed
        counts["claimed_training"] = claimed
        if not counts["training"]:
            del counts["training"]
    return {kind: counts[kind] for kind in KINDS if kind in counts}


def _claimed_trainings(session: muniment.Session, period: str) -> int:
    """Return the number of trainings that came with models which were added in a period."""
    statement = f"SELECT seq, key FROM v_event WHERE kind = 'training' AND {period}"
    with session.store.select(statement) as selected:
        trained: dict[int, str | None] = dict(map(tuple, selected.rows))
    recorded = session.store.trainings.of(filter(None, trained.values()))
    return sum(event.entry.claimed and event.number in trained for event in recorded)


def _text(time: datetime) -> str:
    """Return a time as the SQL views write it."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"
