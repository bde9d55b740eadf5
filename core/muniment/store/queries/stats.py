"""Statistics of generations: counts, latencies and numbers of tokens.

They are computed from the rows at each call, so they are exact and work with every filter. Nothing
is stored that could differ from the record. A row takes about two microseconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import Connection, select

from muniment.errors import UsageError, choice_of
from muniment.ledger.events import ReviewEntry
from muniment.names import ERASED
from muniment.representation import showing
from muniment.store.database import leases
from muniment.store.database.engine import Database, chunks
from muniment.store.database.tables import actor
from muniment.store.queries.erasures import erased_payloads
from muniment.store.queries.filters import IS_UNDECIDED
from muniment.store.queries.loader import entries_of
from muniment.store.queries.origins import policy_labels
from muniment.store.queries.planner import QueryPlanner
from muniment.store.queries.query import Query

PERCENTILES = (50, 90, 95, 99)
Group: TypeAlias = Mapping[str, Mapping[str, int]]
"""Numbers of generations by value, such as the name of an actor, and then by decision."""

_QUARTER = 15 * 60 * 1000  # milliseconds; a day begins at one of these in every time zone
_BATCH = 1000  # rows in memory at once


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary statistics of a quantity.

    Attributes:
        count: The number of generations that have the quantity.
        mean: The arithmetic mean.
        smallest: The smallest value.
        largest: The largest value.
        percentiles: The values of the `PERCENTILES`, by percent.
    """

    count: int
    mean: float
    smallest: int
    largest: int
    percentiles: Mapping[int, int]

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class Stats:
    """Statistics of the generations that match a query.

    Attributes:
        total: The number of generations.
        statuses: Counts by status.
        decisions: Counts by decision, with "" for undecided generations.
        generators: Counts by name of the generator.
        models: Counts by name of the model, with "" for those without a model, and `[erased]` for
            those whose model has an erased name.
        actors: Counts by name of the actor.
        days: Counts by day of the start, in UTC unless local days were requested.
        latency: Milliseconds from start to end, or None if no generation has ended.
        prompt_tokens: Tokens of the prompt, or None if no generation reports them.
        output_tokens: Tokens of the output, or None if no generation reports them.
        groups: For each group that was requested, the counts by value and decision. A policy is
            named as by `muniment.policy_label` if several texts with its name and version are
            recorded, and else without a digest.
        erased: The number of generations of which the texts were erased that can contain names of
            models and categories. They may count as without a model, and for no category.
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
    groups: Mapping[str, Group]
    erased: int = 0

    __repr__ = showing("total", "statuses", "decisions")


# The groups by a value of the generation, as SQL.
_COLUMNS = {
    "decision": f"CASE WHEN {IS_UNDECIDED} THEN NULL ELSE g.decision END",
    "generator": "g.generator",
    # The digest of a model stands in the entry, so it remains when the name is erased.
    "model": f"CASE WHEN g.model_name = '' AND g.model_digest <> '' THEN '{ERASED}' "
    "ELSE g.model_name END",
    "policy": "g.policy",
    "actor": "g.actor",
    "day": f"g.started_at / {_QUARTER}",
}
# The groups by a value of verdicts or reviews, of which a generation can have several. Each is a
# JOIN, the value and its decision.
_VERDICT = "JOIN verdict v ON v.generation = g.seq"
_CATEGORY = "JOIN verdict_category c ON c.generation = g.seq AND c.position = v.position"
_JOINS = {
    "filter": (_VERDICT, "v.filter", "v.decision"),
    "category": (f"{_VERDICT} {_CATEGORY}", "c.category", "v.decision"),
}
GROUPS = (*_COLUMNS, *_JOINS, "reviewer")
"""The names of groups that `stats` can count by."""


def stats(
    database: Database, query: Query, by: Sequence[str] = (), *, local_days: bool = False
) -> Stats:
    """Return the statistics of the generations that match a query, whatever its limit.

    `by` has names of `GROUPS`. Raise UsageError for another name. Days are in UTC, or with
    `local_days` in the local time zone.
    """
    for name in by:
        if name not in GROUPS:
            raise UsageError(f"no group named {name!r}{choice_of(name, GROUPS)}")
    counted: dict[str, Counter[Any]] = {name: Counter() for name in ("status", *_COLUMNS)}
    pairs: dict[str, Counter[tuple[Any, Any]]] = {name: Counter() for name in by}
    quantities: tuple[Counter[int | None], ...] = (Counter(), Counter(), Counter())
    erased = 0
    with database.reading() as connection:
        planner = QueryPlanner(connection, query)
        payloads = erased_payloads(connection)
        entries = ", g.seq, g.outcome" if payloads else ""
        running = ", ".join(map(str, leases.running(connection))) or "-1"
        result = planner.select_all(
            f"CASE WHEN g.status = 'started' AND g.seq NOT IN ({running}) THEN 'interrupted' "
            f"ELSE g.status END, {', '.join(_COLUMNS.values())}, "
            f"g.finished_at - g.started_at, g.prompt_tokens, g.output_tokens{entries}"
        )
        # Building SQLAlchemy's row objects takes longer than counting the rows.
        cursor: Any = result.cursor
        while part := cursor.fetchmany(_BATCH):
            columns = list(zip(*part, strict=True))
            if payloads:
                outcomes, numbers = columns.pop(), columns.pop()
                erased += sum(
                    (number, "request") in payloads or (outcome or number, "detail") in payloads
                    for number, outcome in zip(numbers, outcomes, strict=True)
                )
            *columns, latencies, prompts, outputs = columns
            values = dict(zip(counted, columns, strict=True))
            for name, column in values.items():
                counted[name].update(column)
            for name in pairs.keys() & _COLUMNS.keys():
                pairs[name].update(zip(values[name], values["decision"], strict=True))
            for counts, column in zip(quantities, (latencies, prompts, outputs), strict=True):
                counts.update(column)
        result.close()
        for name in pairs.keys() & _JOINS.keys():
            pairs[name].update(_joined(planner, *_JOINS[name]))
        if "reviewer" in pairs:
            pairs["reviewer"].update(_reviews(connection, planner))
        actors = dict(connection.execute(select(actor.c.seq, actor.c.name)).tuples().all())
        names = {"actor": actors, "reviewer": actors}
        if "policy" in pairs:
            recorded = [number for number in counted["policy"] if number is not None]
            names["policy"] = policy_labels(connection, recorded)
    _use_dates(counted["day"], pairs.get("day"), local=local_days)
    latency, prompt_tokens, output_tokens = map(_summary, quantities)
    return Stats(
        total=counted["status"].total(),
        statuses=_by_frequency(counted["status"]),
        decisions=_by_frequency(counted["decision"]),
        generators=_by_frequency(counted["generator"]),
        models=_by_frequency(counted["model"]),
        actors=_by_frequency(_named(counted["actor"], actors)),
        days=dict(sorted(counted["day"].items())),
        latency=latency,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        groups={name: _group(name, pairs[name], names.get(name)) for name in pairs},
        erased=erased,
    )


def _joined(planner: QueryPlanner, join: str, value: str, decision: str) -> Counter[Any]:
    """Return the numbers of generations by a value and its decision."""
    columns = f"{value}, {decision}, count(DISTINCT g.seq)"
    result = planner.select_all(columns, join, f"GROUP BY {value}, {decision}")
    return Counter({(row[0], row[1]): row[2] for row in result})


def _reviews(connection: Connection, planner: QueryPlanner) -> Iterator[tuple[int, str]]:
    """Yield the actor and the judgement of each review of a matching generation."""
    join = "JOIN event r ON r.subject = g.seq AND r.kind = 'review'"
    numbers = planner.select_all("r.seq", join).scalars().all()
    for part in chunks(numbers):
        for review in entries_of(connection, part).values():
            if isinstance(review, ReviewEntry):
                yield review.actor, review.decision


def _named(counts: Mapping[int, int], names: Mapping[int, str]) -> Counter[str]:
    """Return counts by name instead of by number. Several numbers can have one name."""
    named: Counter[str] = Counter()
    for number, count in counts.items():
        named[names.get(number, "")] += count
    return named


def _group(
    name: str, pairs: Mapping[tuple[Any, Any], int], names: Mapping[int, str] | None
) -> Group:
    """Return counts by value and decision. The most frequent value is first, days are by date."""
    group: dict[str, Counter[str]] = {}
    for (value, decision), count in pairs.items():
        if names is not None:
            value = names.get(value, "")
        elif name == "day":
            value = value.isoformat()
        group.setdefault(value or "", Counter())[decision or ""] += count
    if name == "day":
        return {value: dict(group[value].most_common()) for value in sorted(group)}
    ordered = sorted(group, key=lambda value: (-group[value].total(), value))
    return {value: dict(group[value].most_common()) for value in ordered}


def _by_frequency(counts: Mapping[str | None, int] | Mapping[str, int]) -> dict[str, int]:
    """Return counts with the most frequent value first, and an empty text for None."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return {value or "": count for value, count in ordered}


def _use_dates(
    counts: Counter[Any], pairs: Counter[tuple[Any, Any]] | None, *, local: bool
) -> None:
    """Replace the quarter-hours in counts, and in pairs of them and a decision, by their dates."""

    def day(number: int) -> date:
        start = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=number * _QUARTER)
        return (start.astimezone() if local else start).date()

    days = {number: day(number) for number in counts}
    by_day, by_decision = Counter[Any](), Counter[tuple[Any, Any]]()
    for number, count in counts.items():
        by_day[days[number]] += count
    for (number, decision), count in (pairs or {}).items():
        by_decision[days[number], decision] += count
    counts.clear()
    counts.update(by_day)
    if pairs is not None:
        pairs.clear()
        pairs.update(by_decision)


def _summary(counts: Mapping[int | None, int]) -> Summary | None:
    values = sorted((value, count) for value, count in counts.items() if value is not None)
    if not values:
        return None
    total = sum(count for _, count in values)
    return Summary(
        count=total,
        mean=sum(value * count for value, count in values) / total,
        smallest=values[0][0],
        largest=values[-1][0],
        percentiles=dict(zip(PERCENTILES, _percentiles(values, total), strict=True)),
    )


def _percentiles(values: Iterable[tuple[int, int]], total: int) -> list[int]:
    """Return, for each of `PERCENTILES`, the smallest value with so many percent at or below it."""
    percentiles: list[int] = []
    counted = 0
    for value, count in values:
        counted += count
        while (
            len(percentiles) < len(PERCENTILES)
            and counted * 100 >= PERCENTILES[len(percentiles)] * total
        ):
            percentiles.append(value)
    return percentiles
