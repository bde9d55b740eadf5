"""Projections: the one place that says which rows an entry makes.

Writing inserts these rows; verifying computes them again and compares. Both pass the entry's
body and, of the payloads, only what can be searched for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from muniment.ledger.entries import Body
from muniment.store.tables import TAIL
from muniment.types import DECISIONS

Row: TypeAlias = dict[str, Any]
Children: TypeAlias = dict[str, list[Row]]

STARTED_CHILDREN = ("generation_tag", "generation_parent")
OUTCOME_CHILDREN = ("output", "verdict", "score")
OUTCOME_COLUMNS = (
    "outcome",
    "status",
    "decision",
    "failure",
    "finished_at",
    "prompt_tokens",
    "output_tokens",
    "environment",
)


def actor_row(seq: int, body: Body, name: bytes | None) -> Row:
    """Return the row of an actor; the name is its payload."""
    return {"seq": seq, "id": body["actor"], "name": (name or b"").decode()}


def policy_row(seq: int, body: Body, document: bytes | None) -> Row:
    """Return the row of a policy; its name is in its payload."""
    return {"seq": seq, "id": body["policy"], "name": json.loads(document or b"{}").get("name", "")}


def environment_row(seq: int, body: Body) -> Row:
    """Return the row of an environment."""
    return {"seq": seq, "id": body["environment"]}


def started_rows(seq: int, body: Body, request: bytes | None) -> tuple[Row, Children]:
    """Return the row of a generation that has no outcome yet, and its children."""
    held: Mapping[str, Any] = json.loads(request) if request else {}
    named, model = held.get("model", {}), body["model"]
    generation = {
        "seq": seq,
        "id": body["generation"],
        "tail": body["generation"][-TAIL:],
        "run": body["run"],
        "line": body["line"],
        "actor": body["actor"],
        "generator": body["generator"] or held.get("generator", ""),
        "model_name": named.get("name"),
        "model_digest": model["digest"] if model else named.get("digest"),
        "seed": body["seed"],
        "policy": body["policy"],
        "started_at": body["at"],
        **dict.fromkeys(OUTCOME_COLUMNS),
        "status": "started",
    }
    return generation, {
        "generation_tag": _rows(seq, [{"tag": tag} for tag in held.get("tags", ())]),
        "generation_parent": _rows(seq, [{"parent": parent} for parent in body["parents"]]),
    }


def outcome_rows(seq: int, generation: int, body: Body) -> tuple[Row, Children]:
    """Return what an outcome, entry `seq`, sets in the row of its generation, and its children."""
    usage = body["usage"] or {}
    update = {
        "outcome": seq,
        "status": body["status"],
        "decision": max(
            (verdict["action"] for verdict in body["verdicts"]),
            key=DECISIONS.index,
            default="allow",
        ),
        "failure": body["failure"],
        "finished_at": body["at"],
        "prompt_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("output_tokens"),
        "environment": body["environment"],
    }
    return update, {
        "output": _rows(generation, body["outputs"], without="content"),
        "verdict": [
            row | {"filter": row["filter"] or ""}
            for row in _rows(generation, body["verdicts"], without="categories")
        ],
        "score": _rows(generation, body["scores"]),
    }


def _rows(generation: int, items: list[Row], without: str = "") -> list[Row]:
    rows = []
    for position, item in enumerate(items):
        row = {"generation": generation, "position": position, **item}
        row.pop(without, None)
        rows.append(row)
    return rows
