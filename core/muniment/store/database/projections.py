"""Compute the rows of the projections from entries.

Recording inserts these rows, verification recomputes and compares them, and rebuilding inserts
them again. All three pass the entry and a function that reads its payloads.

The row of a generation is inserted for its `started` entry and updated for its `outcome` entry.
`add_entry` adds the rows of all other entries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Protocol, TypeAlias

from msgspec.structs import astuple
from sqlalchemy import Connection

from muniment.ledger import canonical
from muniment.ledger.entries import (
    ActorEntry,
    Entry,
    EnvironmentEntry,
    OutcomeEntry,
    PluginEntry,
    PolicyEntry,
    StartedEntry,
)
from muniment.ledger.events import Event, ScoredEntry
from muniment.ledger.payload_texts import (
    NO_VERDICT_TEXT,
    DetailText,
    ModelText,
    PolicyText,
    RequestText,
    decode_text,
)
from muniment.store.database import bulk
from muniment.store.database.tables import SUFFIX, generation, metadata
from muniment.types.verdicts import DECISIONS
from muniment.validation import recordable_name

Rows: TypeAlias = defaultdict[str, list[bulk.Values]]
"""Rows by table, with one value for each column in the table's order."""


class Content(Protocol):
    """A function that returns the content of a payload of an entry."""

    def __call__(self, kind: str, position: int = 0) -> bytes | None:
        """Return the content of the payload of a kind and position, or None if it is erased."""


OUTCOME_COLUMNS = (
    "outcome",
    "status",
    "decision",
    "failure",
    "finished_at",
    "prompt_tokens",
    "output_tokens",
    "plugins",
)
OUTCOMES = "generation.outcome"
"""The key of the values that outcomes set in the rows of generations. None keeps the value."""
ROW_TABLES = ("actor", "policy", "environment", "plugin", "event")
"""The tables that `add_entry` fills."""
CHILD_TABLES = ("generation_tag", "generation_parent", "generation_input", "cell")
"""The tables that `add_started` fills besides `generation`."""
OUTCOME_TABLES = ("verdict", "verdict_category", "score", "fingerprint")
"""The tables that `add_outcome` fills. `add_entry` fills `score` too."""

_NO_MODEL = ModelText()
_ALLOWED = ("allow", "allow")
_SEVERITY: Mapping[str, int] = {decision: severity for severity, decision in enumerate(DECISIONS)}


def insert(connection: Connection, rows: Rows) -> bool:
    """Insert rows, and set the columns of outcomes in the rows of their generations.

    Return whether all of these generations exist and had no outcome before. Otherwise the caller
    must roll the transaction back.
    """
    bulk.insert(connection, generation, rows.pop("generation", []))
    outcomes = rows.pop(OUTCOMES, [])
    changed = bulk.update(connection, generation, OUTCOME_COLUMNS, outcomes, "outcome IS NULL")
    if changed != len(outcomes):
        return False
    for name, new_rows in rows.items():
        bulk.insert(connection, metadata.tables[name], new_rows)
    return True


def add_entry(rows: Rows, seq: int, entry: Entry, content: Content) -> None:
    """Add the rows of entry number `seq`, which is not of a generation."""
    match entry:
        case ActorEntry():
            rows["actor"].append((seq, (content("actor") or b"").decode()))
        case PolicyEntry():
            rows["policy"].append((seq, decode_text(PolicyText, content("policy")).name))
        case EnvironmentEntry():
            rows["environment"].append((seq, facts_digest(entry.facts)))
        case PluginEntry():
            rows["plugin"].append((seq, *astuple(entry.plugin)))
        case Event():
            rows["event"] += [
                (seq, position, entry.kind, subject, entry.key)
                for position, subject in enumerate(entry.subjects)
            ]
            if isinstance(entry, ScoredEntry):
                _add_scores(rows, seq, entry)


def facts_digest(facts: Any) -> str:
    """Return the SHA-256, in hexadecimal, of the canonical bytes of an environment's facts."""
    return sha256(canonical.encode(facts)).hexdigest()


def add_started(rows: Rows, seq: int, entry: StartedEntry, run: int, request: bytes | None) -> None:
    """Add the row of a generation without an outcome, and its rows in `CHILD_TABLES`.

    Args:
        rows: The rows to which they are added.
        seq: The number of the `started` entry.
        entry: That entry.
        run: The number of the first entry of its run.
        request: The content of its `request` payload, or None if that is erased.
    """
    text = decode_text(RequestText, request)
    model = text.model or _NO_MODEL
    rows["generation"].append(
        (
            seq,
            None,  # outcome
            entry.generation,
            entry.generation[-SUFFIX:],
            run,
            entry.line,
            entry.actor,
            entry.generator or text.generator,
            model.name,
            entry.model or model.digest,
            seed_number(int(entry.seed)),
            "started",
            None,  # decision
            None,  # failure
            entry.at,
            None,  # finished_at
            None,  # prompt_tokens
            None,  # output_tokens
            entry.policy,
            plugin_numbers(entry),
        )
    )
    for position, tag in enumerate(text.tags):
        rows["generation_tag"].append((seq, position, tag))
    for position, parent in enumerate(entry.parents):
        rows["generation_parent"].append((seq, position, parent))
    for position, item in enumerate(sorted(entry.inputs.items())):
        rows["generation_input"].append((seq, position, *item))
    if entry.cell is not None:
        rows["cell"].append((seq, run, *entry.cell))


def add_outcome(rows: Rows, seq: int, entry: OutcomeEntry, content: Content) -> None:
    """Add the values that an outcome sets in its generation's row, and rows of other tables.

    `seq` is the number of the `outcome` entry. The values are those of `OUTCOME_COLUMNS` and the
    number of the generation.
    """
    number, usage = entry.generation, entry.usage
    decision = "allow"
    for position, verdict in enumerate(entry.verdicts):
        if _SEVERITY[verdict.action] > _SEVERITY[decision]:
            decision = verdict.action
        name = verdict.filter or ""
        finding = verdict.policy_rule, name, verdict.stage, verdict.decision, verdict.action
        rows["verdict"].append((number, position, *finding, verdict.item))
    for place in _categories(entry, content):
        rows["verdict_category"].append((number, *place))
    _add_scores(rows, seq, entry)
    for position, fact in enumerate(entry.fingerprints):
        if (payload := content("fingerprint", position)) is not None:
            rows["fingerprint"].append((number, fact.output, fingerprint_digest(payload)))
    tokens = (usage.prompt_tokens, usage.output_tokens) if usage else (None, None)
    # An interruption that was noticed later names no plugins, and those of `started` apply.
    values = entry.status, decision, entry.failure, entry.at, *tokens, plugin_numbers(entry) or None
    rows[OUTCOMES].append((seq, *values, number))


def plugin_numbers(entry: StartedEntry | OutcomeEntry) -> str:
    """Return the numbers of the plugins that an entry names as a text, in order."""
    return ",".join(map(str, sorted(set(entry.plugins))))


def _add_scores(rows: Rows, seq: int, entry: OutcomeEntry | ScoredEntry) -> None:
    for position, score in enumerate(entry.scores):
        value = None if score.value is None else float(score.value)
        place = entry.generation, seq, position
        rows["score"].append((*place, score.evaluator, score.name, value))


def _categories(entry: OutcomeEntry, content: Content) -> Iterator[tuple[int, str]]:
    """Yield the position and category of the findings of verdicts that have a consequence.

    These are the categories with a score above 0. Undeclared categories are in the payload
    `detail`, so that they are missing after its erasure.
    """
    positions = [n for n, v in enumerate(entry.verdicts) if (v.decision, v.action) != _ALLOWED]
    if not positions:
        return
    texts = decode_text(DetailText, content("detail") if entry.detail else None).verdicts
    for position in positions:
        undeclared = texts.get(str(position), NO_VERDICT_TEXT).categories
        scores: Mapping[str, str | float] = {**entry.verdicts[position].categories, **undeclared}
        names = {recordable_name(name) for name, score in scores.items() if float(score) > 0}
        yield from ((position, name) for name in sorted(names))


def fingerprint_digest(fingerprint: bytes) -> str:
    """Return the SHA-256 of a fingerprint, in hexadecimal."""
    return sha256(fingerprint).hexdigest()


def seed_number(seed: int) -> int:
    """Return a seed minus 2^63, because integers in databases are signed."""
    return seed - 2**63
