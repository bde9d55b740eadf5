"""Compute the rows of the projections from entries.

Recording inserts these rows, verification recomputes and compares them, and rebuilding inserts
them again. All three pass the entry and a function that reads its payloads.

The row of a generation is inserted for its `started` entry and updated for its `outcome` entry.
`entry_rows` returns the rows of all other entries.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, TypeAlias

from msgspec.structs import asdict

from muniment.ledger import canonical
from muniment.ledger.entries import (
    ActorEntry,
    Entry,
    EnvironmentEntry,
    Event,
    OutcomeEntry,
    PluginEntry,
    PolicyEntry,
    StartedEntry,
)
from muniment.ledger.generations import ModelText, PolicyText, RequestText, decode_text
from muniment.store.database.tables import SUFFIX
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
ROW_TABLES = ("actor", "policy", "environment", "plugin", "event")
"""The tables that `entry_rows` fills."""
CHILD_TABLES = ("generation_tag", "generation_parent")
"""The tables that `started_rows` fills besides `generation`."""
OUTCOME_TABLES = ("verdict", "score")
"""The tables that `outcome_rows` fills."""

_SEVERITY = {decision: severity for severity, decision in enumerate(DECISIONS)}


def entry_rows(seq: int, entry: Entry, content: Content) -> Rows:
    """Return the rows of an entry by table, except those of generations.

    `seq` is the entry's number.
    """
    match entry:
        case ActorEntry():
            return {"actor": [{"seq": seq, "name": (content("actor") or b"").decode()}]}
        case PolicyEntry():
            name = decode_text(PolicyText, content("policy")).name
            return {"policy": [{"seq": seq, "name": name}]}
        case EnvironmentEntry():
            digest = facts_digest(entry.facts)
            return {"environment": [{"seq": seq, "digest": digest}]}
        case PluginEntry():
            return {"plugin": [{"seq": seq, **asdict(entry.plugin)}]}
        case Event():
            return {"event": _event_rows(seq, entry)}
    return {}


def facts_digest(facts: Any) -> str:
    """Return the SHA-256, in hexadecimal, of the canonical bytes of an environment's facts."""
    return sha256(canonical.encode(facts)).hexdigest()


def _event_rows(seq: int, event: Event) -> list[Row]:
    return [
        {"seq": seq, "position": position, "kind": event.kind, "subject": subject, "key": event.key}
        for position, subject in enumerate(event.subjects)
    ]


def started_rows(
    seq: int, entry: StartedEntry, run: int, request: bytes | None
) -> tuple[Row, Rows]:
    """Return the row of a generation without an outcome, and the rows of its tags and parents.

    Args:
        seq: The number of the `started` entry.
        entry: That entry.
        run: The number of the first entry of its run.
        request: The content of its `request` payload, or None if that is erased.
    """
    text = decode_text(RequestText, request)
    model = text.model or ModelText()
    id = entry.generation
    generation = {
        "seq": seq,
        "outcome": None,
        "id": id,
        "id_suffix": id[-SUFFIX:],
        "run": run,
        "line": entry.line,
        "actor": entry.actor,
        "generator": entry.generator or text.generator,
        "model_name": model.name,
        "model_digest": entry.model or model.digest,
        "seed": seed_number(int(entry.seed)),
        "status": "started",
        "decision": None,
        "failure": None,
        "started_at": entry.at,
        "finished_at": None,
        "prompt_tokens": None,
        "output_tokens": None,
    }
    return generation, {
        "generation_tag": [
            {"generation": seq, "position": position, "tag": tag}
            for position, tag in enumerate(text.tags)
        ],
        "generation_parent": [
            {"generation": seq, "position": position, "parent": parent}
            for position, parent in enumerate(entry.parents)
        ],
    }


def outcome_rows(seq: int, entry: OutcomeEntry) -> tuple[Row, Rows]:
    """Return the columns that an outcome sets in its generation's row, and rows of other tables.

    `seq` is the number of the `outcome` entry.
    """
    usage = entry.usage
    actions = [verdict.action for verdict in entry.verdicts]
    update = {
        "outcome": seq,
        "status": entry.status,
        "decision": max(actions, key=_SEVERITY.__getitem__, default="allow"),
        "failure": entry.failure,
        "finished_at": entry.at,
        "prompt_tokens": usage and usage.prompt_tokens,
        "output_tokens": usage and usage.output_tokens,
    }
    return update, {
        "verdict": [
            {
                "generation": entry.generation,
                "position": position,
                "policy_rule": verdict.policy_rule,
                "filter": verdict.filter or "",
                "stage": verdict.stage,
                "decision": verdict.decision,
                "action": verdict.action,
            }
            for position, verdict in enumerate(entry.verdicts)
        ],
        "score": [
            {
                "generation": entry.generation,
                "position": position,
                "evaluator": score.evaluator,
                "name": score.name,
                "value": None if score.value is None else float(score.value),
            }
            for position, score in enumerate(entry.scores)
        ],
    }


def seed_number(seed: int) -> int:
    """Return a seed minus 2^63, because integers in databases are signed."""
    return seed - 2**63
