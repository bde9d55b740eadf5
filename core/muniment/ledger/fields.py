"""The types of the fields of entries, their only forms, and the marks of references."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from muniment.ledger.canonical import SAFE, decode_number, encode_float, encode_number
from muniment.ledger.payloads import Kind

ULID = re.compile(r"\A[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
COMMITMENT = re.compile(r"\A[0-9a-f]{64}\Z")
MEDIA_TYPE = re.compile(r"\A[a-z]+/[A-Za-z0-9.+-]+(; ?[a-z]+=[A-Za-z0-9.-]+)*\Z")
MODEL_DIGEST = re.compile(r"\A[a-z0-9][a-z0-9-]{0,31}:[0-9a-f]{16,128}\Z")
PARAMETER = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_NUMBER = r"\A-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?\Z"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PayloadOf:
    """A mark on a field that commits to payloads of a kind.

    Its value is a commitment, None, or a list of objects with `content` (the commitment) and
    `bytes` (the size of the payload).
    """

    kind: Kind


@dataclass(frozen=True, slots=True)
class EntryOf:
    """A mark on a field that refers to earlier entries of a kind: a number, None, or a list."""

    kind: str


# ---- types of fields; `schema.py` checks the characters of names -------------------------------
# The pattern of an `_unchecked` type is in the JSON schema only. `invalid_field` checks it, because
# msgspec's matching took half of the time of decoding. Such types are for the fields that nearly
# every generation has.


def _unchecked(pattern: str, description: str) -> Meta:
    return Meta(extra_json_schema={"pattern": pattern}, description=description)


Integer: TypeAlias = Annotated[int, Meta(ge=-SAFE, le=SAFE)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=SAFE, description="count")]
Positive: TypeAlias = Annotated[int, Meta(ge=1, le=SAFE, description="number from 1")]
Time: TypeAlias = Annotated[int, Meta(ge=-SAFE, le=SAFE, description="time")]
Float: TypeAlias = Annotated[str, _unchecked(_NUMBER, "float")]
Scalar: TypeAlias = Integer | bool | Annotated[str, _unchecked(_NUMBER, "number")] | None
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255, description="name")]
Label: TypeAlias = Annotated[str, Meta(max_length=255, description="label")]
Parameter: TypeAlias = Annotated[str, _unchecked(PARAMETER.pattern, "identifier")]
TrainingCount: TypeAlias = Literal["epochs", "steps", "examples", "classes", "tokens"]
Ulid: TypeAlias = Annotated[str, Meta(pattern=ULID.pattern, description="ULID")]
LogId: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z", description="log identity")]
Commitment: TypeAlias = Annotated[str, Meta(pattern=COMMITMENT.pattern, description="commitment")]
Seed: TypeAlias = Annotated[str, _unchecked(r"\A(0|[1-9][0-9]{0,19})\Z", "seed")]
ModelDigest: TypeAlias = Annotated[str, Meta(pattern=MODEL_DIGEST.pattern, description="digest")]
Fingerprint: TypeAlias = Annotated[
    str, Meta(pattern=r"\A[0-9a-f]{64}\Z", description="fingerprint")
]
Fact: TypeAlias = Annotated[str, Meta(pattern=r"\A[^\x00]*\Z", description="text")] | Integer

UncheckedUlid: TypeAlias = Annotated[str, _unchecked(ULID.pattern, "ULID")]
UncheckedCommitment: TypeAlias = Annotated[str, _unchecked(COMMITMENT.pattern, "commitment")]
UncheckedModelDigest: TypeAlias = Annotated[str, _unchecked(MODEL_DIGEST.pattern, "digest")]
MediaType: TypeAlias = Annotated[str, _unchecked(MEDIA_TYPE.pattern, "media type")]

ActorNumber: TypeAlias = Annotated[Count, EntryOf("actor")]
StartedNumber: TypeAlias = Annotated[Count, EntryOf("started")]
PluginNumbers: TypeAlias = Annotated[list[Count], EntryOf("plugin")]

Rating: TypeAlias = Literal["up", "down", "1", "2", "3", "4", "5"]
Action: TypeAlias = Literal["impression", "click", "like", "dislike", "buy"]
Cause: TypeAlias = Literal["request", "retention"]
PluginAct: TypeAlias = Literal["installed", "upgraded", "removed", "enabled", "disabled"]
ModelAct: TypeAlias = Literal["added", "removed"]
TrainingStatus: TypeAlias = Literal["completed", "stopped", "failed"]
EndStatus: TypeAlias = Literal["completed", "blocked", "failed", "interrupted"]
FailureCode: TypeAlias = Literal["invalid", "refused", "generator"]


# ---- values of fields --------------------------------------------------------------------------


def milliseconds(moment: datetime) -> int:
    """Return a time as entries contain it: whole milliseconds since 1970 in UTC, rounded down."""
    since = moment - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def moment(milliseconds: int) -> datetime:
    """Return the time that an entry contains."""
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


is_model_digest = lru_cache(1024)(MODEL_DIGEST.match)
is_media_type = lru_cache(1024)(MEDIA_TYPE.match)


@lru_cache(4096)
def is_parameter(name: str) -> bool:
    """Return whether an entry may contain a parameter of this name."""
    return PARAMETER.match(name) is not None


def is_encoded_float(text: str) -> bool:
    """Return whether a text is the only form of a float in an entry."""
    return encode_float(float(text)) == text


@lru_cache(4096)
def is_encoded_number(text: str) -> bool:
    """Return whether a text is the only form of a number in an entry."""
    return encode_number(decode_number(text)) == text
