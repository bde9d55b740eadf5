"""Find the scores of an evaluator that ran with certain parameters.

Parameters can be free text, so that neither entries nor query tables contain them. They are in the
payload `detail` of the outcome, and an erased one has none.
"""

from __future__ import annotations

from sqlalchemy import Connection, and_, select

from muniment.errors import UnknownNameError
from muniment.ledger.payload_texts import DetailText, decode_text
from muniment.store.database.tables import generation, payload, score
from muniment.store.queries.query import ScoreName


def scores_with_full_name(connection: Connection, name: ScoreName) -> list[tuple[int, int]]:
    """Return the generations and positions of the scores whose evaluator has a full name.

    Raise UnknownNameError if there is none.
    """
    detail = and_(payload.c.entry == generation.c.outcome, payload.c.kind == "detail")
    rows = connection.execute(
        select(score.c.generation, score.c.position, payload.c.content)
        .join(generation, generation.c.seq == score.c.generation)
        .join(payload, detail)
        .where(score.c.name == name.measure, score.c.evaluator == name.evaluator)
    )
    found: list[tuple[int, int]] = []
    others: set[str] = set()
    for number, position, content in rows:
        text = decode_text(DetailText, content).scores.get(str(position))
        full_name = name.evaluator if text is None else text.evaluator
        if full_name == name.full_name:
            found.append((number, position))
        elif full_name:
            others.add(full_name)
    if not found:
        known = sorted(f"{other}.{name.measure}" for other in others)
        raise UnknownNameError("score", f"{name.full_name}.{name.measure}", known)
    return found
