"""Statistics of generations: how many of what, how long they took, how many tokens they used.

Everything is counted from the rows when it is asked for, so that it is exact and goes with every
filter; nothing is kept that could disagree with the record. A row costs about two microseconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter

from sqlalchemy import select

from muniment.store.database import leases
from muniment.store.database.engine import Database
from muniment.store.database.tables import actor
from muniment.store.queries.planner import QueryPlanner
from muniment.store.queries.query import Query

SHARES = (50, 90, 95, 99)  # percentiles that are told
_DAY = 24 * 60 * 60 * 1000
_BATCH = 20_000


@dataclass(frozen=True, slots=True)
class Summary:
    """How a quantity is spread: `percentiles` by share in percent, smallest and largest value."""

    count: int
    mean: float
    smallest: int
    largest: int
    percentiles: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Stats:
    """What a query's generations are, counted. Days are those of UTC on which they started.

    `latency` is from the start to the end in milliseconds. A spread is None where no generation
    has the quantity; a model's name is empty where there is no model, a decision where nothing
    is decided yet.
    """

    total: int
    statuses: Mapping[str, int]
    decisions: Mapping[str, int]
    generators: Mapping[str, int]
    models: Mapping[str, int]
    actors: Mapping[str, int]
    days: Mapping[date, int]
    latency: Summary | None
    prompt_tokens: Summary | None
    output_tokens: Summary | None


def stats(database: Database, query: Query) -> Stats:
    """Count the generations that a query wants; its limit does not matter."""
    kinds: Counter[tuple[str, ...]] = Counter()
    actors: Counter[int] = Counter()
    days: Counter[int] = Counter()
    spreads: tuple[Counter[int | None], ...] = (Counter(), Counter(), Counter())
    with database.reading() as connection:
        running = ", ".join(map(str, leases.running(connection))) or "-1"
        rows = QueryPlanner(connection, query).all(
            f"CASE WHEN g.status = 'started' AND g.seq NOT IN ({running}) THEN 'interrupted' "
            "ELSE g.status END, g.decision, g.generator, g.model_name, "
            f"g.actor, g.started_at / {_DAY}, "
            "g.finished_at - g.started_at, g.prompt_tokens, g.output_tokens"
        )
        for part in rows.partitions(_BATCH):
            kinds.update(map(itemgetter(0, 1, 2, 3), part))
            actors.update(map(itemgetter(4), part))
            days.update(map(itemgetter(5), part))
            for column, spread in enumerate(spreads, 6):
                spread.update(map(itemgetter(column), part))
        names = {row.seq: row.name for row in connection.execute(select(actor))}
    by_actor: Counter[str] = Counter()
    for number, count in actors.items():
        by_actor[names.get(number, "")] += count
    latency, prompt_tokens, output_tokens = map(_spread, spreads)
    return Stats(
        total=kinds.total(),
        statuses=_by(kinds, 0),
        decisions=_by(kinds, 1),
        generators=_by(kinds, 2),
        models=_by(kinds, 3),
        actors=dict(by_actor.most_common()),
        days={_day(number): days[number] for number in sorted(days)},
        latency=latency,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
    )


def _by(kinds: Mapping[tuple[str, ...], int], column: int) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for kind, count in kinds.items():
        counted[kind[column] or ""] += count
    return dict(counted.most_common())


def _day(number: int) -> date:
    return (datetime.fromtimestamp(0, UTC) + timedelta(days=number)).date()


def _spread(counted: Mapping[int | None, int]) -> Summary | None:
    values = sorted((value, count) for value, count in counted.items() if value is not None)
    if not values:
        return None
    total = sum(count for _, count in values)
    return Summary(
        count=total,
        mean=sum(value * count for value, count in values) / total,
        smallest=values[0][0],
        largest=values[-1][0],
        percentiles=dict(zip(SHARES, _percentiles(values, total), strict=True)),
    )


def _percentiles(values: Iterable[tuple[int, int]], total: int) -> list[int]:
    """Return the smallest value that each share of all values does not exceed."""
    found: list[int] = []
    below = 0
    for value, count in values:
        below += count
        while len(found) < len(SHARES) and below * 100 >= SHARES[len(found)] * total:
            found.append(value)
    return found
