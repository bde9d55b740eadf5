"""Compute the rows of the projections from entries.

Recording inserts these rows, verification recomputes and compares them, and rebuilding inserts
them again. All three pass the body of the entry and a function that reads its payloads.

`ROWS` has one function for each kind of entry, except for those of a generation. The row of a
generation is inserted for its `started` entry and updated for its `outcome` entry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from muniment.ledger.entries import Body, environment_digest
from muniment.store.database.tables import TAIL
from muniment.types import DECISIONS

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = dict[str, list[Row]]
Content: TypeAlias = Callable[[str], bytes | None]
"""Returns the content of the entry's payload of a kind, or None if it is missing or erased."""

OUTCOME_COLUMNS = (
    "outcome",
    "status",
    "decision",
    "failure",
    "finished_at",
    "prompt_tokens",
    "output_tokens",
)
_SEVERITY = {decision: severity for severity, decision in enumerate(DECISIONS)}


def _actor(seq: int, body: Body, content: Content) -> Rows:
    return {"actor": [{"seq": seq, "name": (content("actor") or b"").decode()}]}


def _policy(seq: int, body: Body, content: Content) -> Rows:
    policy = json.loads(content("policy") or b"{}")
    return {"policy": [{"seq": seq, "name": policy.get("name", "")}]}


def _environment(seq: int, body: Body, content: Content) -> Rows:
    return {"environment": [{"seq": seq, "digest": environment_digest(body["facts"])}]}


def _plugin(seq: int, body: Body, content: Content) -> Rows:
    return {"plugin": [{"seq": seq, **body["plugin"]}]}


def _of_generation(seq: int, body: Body, content: Content) -> Rows:
    return {body["kind"]: [{"seq": seq, "generation": body["generation"]}]}


def _alone(seq: int, body: Body, content: Content) -> Rows:
    return {body["kind"]: [{"seq": seq}]}


def _hold(seq: int, body: Body, content: Content) -> Rows:
    return {
        "hold": [{"seq": seq, "hold": body["hold"]}],
        "held": [{"seq": seq, "generation": number} for number in body["generations"]],
    }


def _release(seq: int, body: Body, content: Content) -> Rows:
    return {"release": [{"seq": seq, "hold": body["hold"]}]}


def _installation(seq: int, body: Body, content: Content) -> Rows:
    return {"installation": [{"seq": seq, "distribution": body["plugin"]["distribution"]}]}


ROWS: Mapping[str, Callable[[int, Body, Content], Rows]] = {
    "actor": _actor,
    "policy": _policy,
    "environment": _environment,
    "plugin": _plugin,
    "feedback": _of_generation,
    "review": _of_generation,
    "replay": _of_generation,
    "erasure": _alone,
    "hold": _hold,
    "release": _release,
    "retention": _alone,
    "installation": _installation,
    "model": _alone,
}
"""Functions by kind of entry, which return its rows by table; `seq` is the entry's number."""

ROW_TABLES = (
    *("actor", "policy", "environment", "plugin"),
    *("feedback", "review", "replay", "erasure", "hold", "held", "release", "retention"),
    *("installation", "model"),
)
"""The tables that `ROWS` fills."""


def started_rows(seq: int, body: Body, run: int, request: bytes | None) -> tuple[Row, Rows]:
    """Return the row of a generation without an outcome, and the rows of its tags and parents.

    Args:
        seq: The number of the `started` entry.
        body: The body of that entry.
        run: The number of the first entry of its run.
        request: The content of its `request` payload, or None if that is erased.
    """
    requested: Mapping[str, Any] = msgspec.json.decode(request) if request else {}
    model = requested.get("model", {})
    id = body["generation"]
    generation = {
        "seq": seq,
        "outcome": None,
        "id": id,
        "tail": id[-TAIL:],
        "run": run,
        "line": body["line"],
        "actor": body["actor"],
        "generator": body["generator"] or requested.get("generator", ""),
        "model_name": model.get("name", ""),
        "model_digest": body["model"] or model.get("digest", ""),
        "seed": seed_number(int(body["seed"])),
        "status": "started",
        "decision": None,
        "failure": None,
        "started_at": body["at"],
        "finished_at": None,
        "prompt_tokens": None,
        "output_tokens": None,
    }
    return generation, {
        "generation_tag": [
            {"generation": seq, "position": position, "tag": tag}
            for position, tag in enumerate(requested.get("tags", ()))
        ],
        "generation_parent": [
            {"generation": seq, "position": position, "parent": parent}
            for position, parent in enumerate(body["parents"])
        ],
    }


def outcome_rows(seq: int, body: Body) -> tuple[Row, list[Row]]:
    """Return the columns that an outcome sets in its generation's row, and the verdict rows.

    Args:
        seq: The number of the `outcome` entry.
        body: The body of that entry.
    """
    usage = body["usage"] or {}
    verdicts = body["verdicts"]
    update = {
        "outcome": seq,
        "status": body["status"],
        "decision": max(
            (verdict["action"] for verdict in verdicts), key=_SEVERITY.__getitem__, default="allow"
        ),
        "failure": body["failure"],
        "finished_at": body["at"],
        "prompt_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("output_tokens"),
    }
    return update, [
        {
            "generation": body["generation"],
            "position": position,
            "filter": verdict["filter"] or "",
            "stage": verdict["stage"],
            "decision": verdict["decision"],
            "action": verdict["action"],
        }
        for position, verdict in enumerate(verdicts)
    ]


def seed_number(seed: int) -> int:
    """Return a seed minus 2^63, because integers in databases are signed."""
    return seed - 2**63
