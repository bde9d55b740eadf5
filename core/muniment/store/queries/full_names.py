"""The full names of evaluators, which contain their parameters, as SQL.

Parameters can be free text, so that neither entries nor query tables contain them. They are in the
payload `detail` of the entry with the score, and an erased one has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import Connection, text

from muniment.errors import UnknownNameError, UsageError
from muniment.evaluator_names import parse_evaluators
from muniment.store.queries.query import ScoreName

_IN_DETAIL = {  # where `ledger.payload_texts.DetailText` has a text of a score
    "sqlite": (
        "json_extract(CAST(p.content AS TEXT), '$.scores.\"' || {score}.position || '\".{field}')"
    ),
    "postgresql": (
        "CAST(convert_from(p.content, 'UTF8') AS json) "
        "#>> ARRAY['scores', CAST({score}.position AS text), '{field}']"
    ),
}


def full_name_sql(connection: Connection, score: str = "s") -> str:
    """Return an SQL expression for the full name of the evaluator of a score.

    `score` is the alias of its row. The name is the plain name if all parameters are defaults, and
    NULL if the payload was erased.
    """
    full_name = _in_detail(connection, "evaluator", score)
    return _detail_sql(f"COALESCE({full_name}, {score}.evaluator)", score)


def is_newest_sql(connection: Connection, score: str = "s") -> str:
    """Return an SQL condition that a score was not replaced by one that was added later."""
    same_name = " = ".join(
        f"COALESCE({full_name_sql(connection, alias)}, {alias}.evaluator)"
        for alias in ("later", score)
    )
    unindexed = "+" if connection.dialect.name == "sqlite" else ""
    return (
        f"NOT EXISTS (SELECT 1 FROM score later WHERE later.generation = {score}.generation "
        f"AND later.entry > {score}.entry AND {unindexed}later.name = {score}.name "
        f"AND {unindexed}later.evaluator = {score}.evaluator AND {same_name})"
    )


def recorded_full_name(connection: Connection, name: ScoreName) -> str:
    """Return the full name, as it is recorded, of the evaluator that a score names.

    The order of parameters does not matter, and parameters equal to the defaults can be omitted.
    Raise UsageError if the name is malformed, and UnknownNameError if no score has it.
    """
    full_name = full_name_sql(connection)
    scores = "FROM score s WHERE s.evaluator = :evaluator AND s.name = :measure"
    first = text(f"SELECT 1 {scores} AND {full_name} = :full_name LIMIT 1")
    if connection.execute(first, name._asdict()).first() is not None:
        return name.full_name
    parameters = _detail_sql(_in_detail(connection, "parameters", "s"), "s")
    known = connection.execute(
        text(f"SELECT DISTINCT {full_name}, {parameters} {scores}"), name._asdict()
    )
    recorded = {other: json.loads(values or "{}") for other, values in known if other is not None}
    requested = _parameters(name.full_name)
    for other, values in recorded.items():
        if _match(requested, _parameters(other), values):
            return str(other)
    choices = [f"{other}.{name.measure}" for other in recorded]
    raise UnknownNameError("score", f"{name.full_name}.{name.measure}", choices)


def _in_detail(connection: Connection, field: str, score: str) -> str:
    return _IN_DETAIL[connection.dialect.name].format(field=field, score=score)


def _detail_sql(expression: str, score: str) -> str:
    """Return an SQL expression over the payload `p` of the entry with a score."""
    return (
        f"(SELECT {expression} FROM payload p WHERE p.entry = {score}.entry AND p.kind = 'detail' "
        "AND p.position = 0 AND p.content IS NOT NULL)"
    )


def _parameters(full_name: str) -> Mapping[str, object]:
    specs = parse_evaluators(full_name)
    if len(specs) > 1:
        raise UsageError(f"{full_name!r} names {len(specs)} evaluators; use a condition for each")
    return specs[0].parameters


def _match(requested: Mapping[str, object], changed: Mapping[str, object], values: object) -> bool:
    """Return whether requested parameters are the recorded `values`.

    `changed` are those that differ from the defaults, which a request must contain.
    """
    if not isinstance(values, dict):  # an altered payload
        return False
    return changed.keys() <= requested.keys() <= values.keys() and all(
        _is_value(value, values[name]) for name, value in requested.items()
    )


def _is_value(requested: object, recorded: object) -> bool:
    """Return whether a parsed value is a recorded one. A number is parsed as a word."""
    if isinstance(requested, str) and not isinstance(recorded, str):
        try:
            requested = json.loads(requested)
        except (ValueError, RecursionError):
            return False
    return requested == recorded
