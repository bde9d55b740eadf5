"""The full names of evaluators, which contain their parameters, as SQL.

Parameters can be free text, so that neither entries nor query tables contain them. They are in the
payload `detail` of the outcome, and an erased one has none.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from muniment.errors import UnknownNameError
from muniment.store.queries.query import ScoreName

_IN_DETAIL = {  # where `ledger.payload_texts.DetailText` has the name
    "sqlite": (
        "json_extract(CAST(p.content AS TEXT), '$.scores.\"' || s.position || '\".evaluator')"
    ),
    "postgresql": (
        "CAST(convert_from(p.content, 'UTF8') AS json) "
        "#>> ARRAY['scores', CAST(s.position AS text), 'evaluator']"
    ),
}


def full_name_sql(connection: Connection) -> str:
    """Return an SQL expression for the full name of the evaluator of the score `s`.

    It is NULL if the evaluator has no parameters but defaults, or if the payload was erased.
    """
    return (
        f"(SELECT {_IN_DETAIL[connection.dialect.name]} "
        "FROM generation d JOIN payload p ON p.entry = d.outcome "
        "WHERE d.seq = s.generation AND p.kind = 'detail' AND p.position = 0)"
    )


def require_full_name(connection: Connection, name: ScoreName) -> None:
    """Raise UnknownNameError if no score has the full name of the evaluator and the measure."""
    full_name = full_name_sql(connection)
    scores = "FROM score s WHERE s.evaluator = :evaluator AND s.name = :measure"
    first = text(f"SELECT 1 {scores} AND {full_name} = :full_name LIMIT 1")
    if connection.execute(first, name._asdict()).first() is None:
        others = connection.scalars(text(f"SELECT DISTINCT {full_name} {scores}"), name._asdict())
        known = sorted(f"{other}.{name.measure}" for other in others if other is not None)
        raise UnknownNameError("score", f"{name.full_name}.{name.measure}", known)
