"""The kinds of entries: every field of every version, and nothing else, is allowed.

A kind is declared once, here. From its fields follow how it is checked and written
(`schema.py`), which payloads belong to it and which entries it names. To add one: declare it,
give it a function in `entries.py` that builds it, rows in `store/projections.py` where something
is to be found by it, a section in docs/reference/entries.md and a golden entry. A change to what
a kind holds is a new version beside the old one, which stays readable for ever.
"""

from __future__ import annotations

from collections.abc import Mapping

from muniment.ledger.fields import (
    BOOL,
    CATEGORIES,
    COUNT,
    DIGEST,
    FACTS,
    HEX128,
    INTEGER,
    LABEL,
    MEDIA_TYPE,
    NAME,
    NUMBER,
    PARAMETERS,
    SEED,
    ULID,
    Field,
    commitment,
    list_of,
    number_of,
    one_of,
    optional,
    record,
)
from muniment.ledger.payloads import KINDS

_OUTPUT = record(
    media_type=MEDIA_TYPE,
    bytes=COUNT,
    finish_reason=optional(one_of("stop", "length")),
    content=commitment("output"),
)
_VERDICT = record(
    filter=optional(NAME),
    version=LABEL,
    stage=one_of("system", "prompt", "output"),
    decision=one_of("allow", "flag", "block"),
    action=one_of("allow", "flag", "block"),
    latency_us=COUNT,
    categories=CATEGORIES,
    failed=BOOL,
)
_SCORE = record(
    evaluator=NAME,
    version=LABEL,
    name=NAME,
    value=optional(NUMBER),
    unit=LABEL,
    higher_is_better=optional(BOOL),
    failed=BOOL,
)

FIELDS: Mapping[tuple[str, int], Mapping[str, Field]] = {
    ("genesis", 1): {"log": HEX128},
    ("actor", 1): {"name": commitment("actor")},
    ("policy", 1): {"document": commitment("policy")},
    ("environment", 1): {"facts": FACTS},
    ("plugin", 1): {"plugin": record(distribution=NAME, version=LABEL, digest=LABEL)},
    ("started", 1): {
        "generation": ULID,
        "run": ULID,
        "at": INTEGER,
        "actor": number_of("actor"),
        "generator": optional(NAME),
        "model": optional(DIGEST),
        "seed": SEED,
        "parameters": PARAMETERS,
        "policy": optional(number_of("policy")),
        "prompt": commitment("prompt"),
        "request": optional(commitment("request")),
        "parents": list_of(ULID),
        "line": optional(COUNT),
        "plugins": list_of(number_of("plugin")),
    },
    ("outcome", 1): {
        "generation": number_of("started"),
        "at": INTEGER,
        "status": one_of("completed", "blocked", "failed", "interrupted"),
        "outputs": Field(list_of(_OUTPUT).write, payload="output"),
        "verdicts": list_of(_VERDICT),
        "scores": list_of(_SCORE),
        "usage": optional(record(prompt_tokens=COUNT, output_tokens=COUNT)),
        "trace": optional(commitment("trace")),
        "detail": optional(commitment("detail")),
        "environment": optional(number_of("environment")),
        "failure": optional(one_of("invalid", "refused", "generator")),
        "plugins": list_of(number_of("plugin")),
    },
    ("feedback", 1): {
        "generation": number_of("started"),
        "at": INTEGER,
        "actor": number_of("actor"),
        "rating": optional(one_of("up", "down", "1", "2", "3", "4", "5")),
        "comment": optional(commitment("comment")),
    },
    ("review", 1): {
        "generation": number_of("started"),
        "at": INTEGER,
        "actor": number_of("actor"),
        "decision": one_of("approve", "overturn"),
        "reason": optional(commitment("reason")),
    },
    ("replay", 1): {
        "generation": number_of("started"),
        "at": INTEGER,
        "actor": number_of("actor"),
        "result": one_of("exact", "certified", "uncertified", "diverged", "impossible"),
        "environment": number_of("environment"),
        "plugins": list_of(number_of("plugin")),
        "detail": commitment("replay"),
    },
    ("erasure", 1): {
        "at": INTEGER,
        "actor": number_of("actor"),
        "cause": one_of("request", "retention"),
        "reason": optional(commitment("reason")),
        "payloads": list_of(record(entry=COUNT, kinds=list_of(one_of(*KINDS)))),
    },
    ("hold", 1): {
        "at": INTEGER,
        "actor": number_of("actor"),
        "hold": ULID,
        "reason": commitment("reason"),
        "generations": list_of(number_of("started")),
    },
    ("release", 1): {
        "at": INTEGER,
        "actor": number_of("actor"),
        "hold": ULID,
        "reason": optional(commitment("reason")),
    },
    ("retention", 1): {
        "at": INTEGER,
        "actor": number_of("actor"),
        "rules": list_of(
            record(
                payload=optional(one_of(*KINDS)),
                decision=optional(one_of("allow", "flag", "block")),
                least_days=optional(COUNT),
                most_days=optional(COUNT),
            )
        ),
    },
}
