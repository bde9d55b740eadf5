"""The kinds of entries: every field of every version, and nothing else, is allowed.

A kind is declared once, here, as a class that is never instantiated: entries are plain objects, and
these say what may stand in them. From the declarations follow how an entry is checked
(`schema.py`), which payloads belong to it and which entries it names. To add a kind: declare it,
give it a function in `entries.py` or `acts.py` that builds it, rows in `store/projections.py` where
something is to be found by it, a section in docs/reference/entries.md and a golden entry. A change
to what a kind holds is a new version beside the old one, which stays readable for ever.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct

from muniment.ledger.canonical import SAFE
from muniment.ledger.payloads import Kind

MODEL_DIGEST = re.compile(r"\A[a-z0-9][a-z0-9-]{0,31}:[0-9a-f]{16,128}\Z")


@lru_cache(4096)
def is_parameter(name: str) -> bool:
    """Whether an entry may hold a parameter of that name."""
    return name.isidentifier() and name.isascii() and len(name) <= 64


@dataclass(frozen=True, slots=True)
class PayloadOf:
    """Marks a field that commits to payloads of a kind.

    Its value is a commitment, null, or a list of objects with `content` (the commitment) and
    `bytes` (the size).
    """

    kind: Kind


@dataclass(frozen=True, slots=True)
class EntryOf:
    """Marks a field that names earlier entries of a kind by number: one, null, or a list."""

    kind: str


# ---- what a field may hold: characters of names are looked at in `schema.py` ---------------------

Integer: TypeAlias = Annotated[int, Meta(ge=-SAFE, le=SAFE)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=SAFE)]
Amount: TypeAlias = Annotated[int, Meta(ge=-SAFE, le=SAFE)] | float
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]
Label: TypeAlias = Annotated[str, Meta(max_length=255)]
Ulid: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")]
LogId: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Commitment: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Seed: TypeAlias = Annotated[str, Meta(pattern=r"\A(0|[1-9][0-9]{0,19})\Z")]
ModelDigest: TypeAlias = Annotated[str, Meta(pattern=MODEL_DIGEST.pattern)]
MediaType: TypeAlias = Annotated[
    str, Meta(pattern=r"\A[a-z]+/[A-Za-z0-9.+-]+(; ?[a-z]+=[A-Za-z0-9.-]+)*\Z")
]
Fingerprint: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Digits: TypeAlias = Annotated[str, Meta(pattern=r"\A-?[1-9][0-9]{15,}\Z")]

Decision: TypeAlias = Literal["allow", "flag", "block"]
Stage: TypeAlias = Literal["system", "prompt", "output"]
Version1: TypeAlias = Literal[1]


class _Record(Struct, forbid_unknown_fields=True):
    """An object of exactly the fields declared."""


class _Entry(_Record):
    @staticmethod
    def odd(body: Mapping[str, Any]) -> str | None:
        """Return the field of an entry, of these types, that cannot be; None when all can."""
        return None


class Plugin(_Record):
    """A distribution at one version and state of its code."""

    distribution: Name
    version: Label
    digest: Label


class Output(_Record):
    """One output."""

    media_type: MediaType
    bytes: Count
    finish_reason: Literal["stop", "length"] | None
    content: Commitment


class Verdict(_Record):
    """One filter's finding, and what was done."""

    filter: Name | None
    version: Label
    stage: Stage
    decision: Decision
    action: Decision
    latency_us: Count
    categories: dict[Name, Amount]
    failed: bool


class Score(_Record):
    """One evaluator's number."""

    evaluator: Name
    version: Label
    name: Name
    value: Amount | None
    unit: Label
    higher_is_better: bool | None
    failed: bool


class Usage(_Record):
    """Numbers of tokens."""

    prompt_tokens: Count
    output_tokens: Count


class ErasedPayloads(_Record):
    """The kinds of an entry's payloads that were erased."""

    entry: Count
    kinds: list[Kind]


class RetentionRule(_Record):
    """How long payloads are kept."""

    payload: Kind | None
    decision: Decision | None
    least_days: Count | None
    most_days: Count | None


# ---- the kinds -----------------------------------------------------------------------------------


class Genesis1(_Entry):
    """The first entry."""

    kind: Literal["genesis"]
    version: Version1
    log: LogId


class Actor1(_Entry):
    """Someone who asks."""

    kind: Literal["actor"]
    version: Version1
    name: Annotated[Commitment, PayloadOf("actor")]


class Policy1(_Entry):
    """A policy that was in force."""

    kind: Literal["policy"]
    version: Version1
    document: Annotated[Commitment, PayloadOf("policy")]


class Environment1(_Entry):
    """What outputs depended on besides the record. A fact may be any text."""

    kind: Literal["environment"]
    version: Version1
    facts: dict[Name, Annotated[str, Meta(pattern=r"\A[^\x00]*\Z")] | Integer]


class Plugin1(_Entry):
    """A plugin that touched a generation."""

    kind: Literal["plugin"]
    version: Version1
    plugin: Plugin


class Started1(_Entry):
    """A generation was asked for."""

    kind: Literal["started"]
    version: Version1
    generation: Ulid
    run: Ulid
    at: Integer
    actor: Annotated[Count, EntryOf("actor")]
    generator: Name | None
    model: ModelDigest | None
    seed: Seed
    parameters: dict[str, Amount | bool | Digits | None]
    policy: Annotated[Count | None, EntryOf("policy")]
    prompt: Annotated[Commitment, PayloadOf("prompt")]
    request: Annotated[Commitment | None, PayloadOf("request")]
    parents: list[Ulid]
    line: Count | None
    plugins: Annotated[list[Count], EntryOf("plugin")]

    @staticmethod
    def odd(body: Mapping[str, Any]) -> str | None:
        """Look at numbers that are written as text, and at the names of parameters."""
        if int(body["seed"]) >= 2**64:
            return "seed"
        for name, value in body["parameters"].items():
            if not is_parameter(name):
                return "parameters"
            if type(value) is str and -SAFE <= int(value) <= SAFE:
                return "parameters"
        return None


class Outcome1(_Entry):
    """How a generation ended."""

    kind: Literal["outcome"]
    version: Version1
    generation: Annotated[Count, EntryOf("started")]
    at: Integer
    status: Literal["completed", "blocked", "failed", "interrupted"]
    outputs: Annotated[list[Output], PayloadOf("output")]
    verdicts: list[Verdict]
    scores: list[Score]
    usage: Usage | None
    trace: Annotated[Commitment | None, PayloadOf("trace")]
    detail: Annotated[Commitment | None, PayloadOf("detail")]
    environment: Annotated[Count | None, EntryOf("environment")]
    failure: Literal["invalid", "refused", "generator"] | None
    plugins: Annotated[list[Count], EntryOf("plugin")]


class Feedback1(_Entry):
    """What someone thinks of a generation."""

    kind: Literal["feedback"]
    version: Version1
    generation: Annotated[Count, EntryOf("started")]
    at: Integer
    actor: Annotated[Count, EntryOf("actor")]
    rating: Literal["up", "down", "1", "2", "3", "4", "5"] | None
    comment: Annotated[Commitment | None, PayloadOf("comment")]


class Review1(_Entry):
    """What a person decided about what filters found."""

    kind: Literal["review"]
    version: Version1
    generation: Annotated[Count, EntryOf("started")]
    at: Integer
    actor: Annotated[Count, EntryOf("actor")]
    decision: Literal["approve", "overturn"]
    reason: Annotated[Commitment | None, PayloadOf("reason")]


class Replay1(_Entry):
    """What came of making a generation again."""

    kind: Literal["replay"]
    version: Version1
    generation: Annotated[Count, EntryOf("started")]
    at: Integer
    actor: Annotated[Count, EntryOf("actor")]
    result: Literal["exact", "certified", "uncertified", "diverged", "impossible"]
    environment: Annotated[Count, EntryOf("environment")]
    plugins: Annotated[list[Count], EntryOf("plugin")]
    detail: Annotated[Commitment, PayloadOf("replay")]


class Erasure1(_Entry):
    """Payloads that were destroyed."""

    kind: Literal["erasure"]
    version: Version1
    at: Integer
    actor: Annotated[Count, EntryOf("actor")]
    cause: Literal["request", "retention"]
    reason: Annotated[Commitment | None, PayloadOf("reason")]
    payloads: list[ErasedPayloads]


class Hold1(_Entry):
    """Generations that may not be erased until the hold is released."""

    kind: Literal["hold"]
    version: Version1
    at: Integer
    actor: Annotated[Count, EntryOf("actor")]
    hold: Ulid
    reason: Annotated[Commitment, PayloadOf("reason")]
    generations: Annotated[list[Count], EntryOf("started")]


class Release1(_Entry):
    """A hold that ended."""

    kind: Literal["release"]
    version: Version1
    at: Integer
    actor: Annotated[Count, EntryOf("actor")]
    hold: Ulid
    reason: Annotated[Commitment | None, PayloadOf("reason")]


class Retention1(_Entry):
    """How long payloads are kept from then on."""

    kind: Literal["retention"]
    version: Version1
    at: Integer
    actor: Annotated[Count, EntryOf("actor")]
    rules: list[RetentionRule]


class Installation1(_Entry):
    """What was done to a plugin that is, or was, installed."""

    kind: Literal["installation"]
    version: Version1
    at: Integer
    actor: Annotated[Count, EntryOf("actor")]
    act: Literal["installed", "upgraded", "removed", "enabled", "disabled"]
    plugin: Plugin
    signer: Fingerprint | None


class Model1(_Entry):
    """A model was added to the house, or removed from it."""

    kind: Literal["model"]
    version: Version1
    at: Integer
    actor: Annotated[Count, EntryOf("actor")]
    act: Literal["added", "removed"]
    digest: ModelDigest | None
    detail: Annotated[Commitment, PayloadOf("model")]


FIELDS: Mapping[tuple[str, int], type[_Entry]] = MappingProxyType(
    {
        ("genesis", 1): Genesis1,
        ("actor", 1): Actor1,
        ("policy", 1): Policy1,
        ("environment", 1): Environment1,
        ("plugin", 1): Plugin1,
        ("started", 1): Started1,
        ("outcome", 1): Outcome1,
        ("feedback", 1): Feedback1,
        ("review", 1): Review1,
        ("replay", 1): Replay1,
        ("erasure", 1): Erasure1,
        ("hold", 1): Hold1,
        ("release", 1): Release1,
        ("retention", 1): Retention1,
        ("installation", 1): Installation1,
        ("model", 1): Model1,
    }
)
"""The fields of every kind at every version."""
