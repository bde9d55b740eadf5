"""The provenance of one or several generations as JSON, which files contain as text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from muniment.errors import ProvenanceError, explain_invalid
from muniment.parameters import Value
from muniment.times import iso
from muniment.types.provenance import Provenance

FORMAT = "muniment-provenance/1"
"""The value of the member `format`, by which a reader recognises the JSON."""

MAX_CHARACTERS = 16_000_000
"""The maximum length of JSON that is read."""
MAX_GENERATIONS = 10_000
"""The maximum number of generations in JSON that is read."""

_BEYOND_ASCII = re.compile("[^ -~]")
_MAX_SEED = 2**64 - 1


class _Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The members of one generation. Those that are empty are left out."""

    id: Annotated[str, msgspec.Meta(pattern=r"\A[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")]
    generator: str
    prompt: str = ""
    seed: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,20}\Z")]
    parameters: dict[str, Value] = {}
    model: str = ""
    model_digest: str = ""
    created_at: Annotated[datetime, msgspec.Meta(tz=True)]
    versions: dict[str, str] = {}
    models: dict[str, str] = {}
    producer: str = ""


class _One(_Facts, frozen=True, kw_only=True):
    format: Literal["muniment-provenance/1"]


class _Several(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["muniment-provenance/1"]
    generations: Annotated[
        tuple[_Facts, ...], msgspec.Meta(min_length=1, max_length=MAX_GENERATIONS)
    ]


class _Head(msgspec.Struct, frozen=True):
    """The members that decide how the rest is read."""

    format: str
    generations: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def to_json(provenances: Sequence[Provenance], *, ensure_ascii: bool = True) -> str:
    """Return the JSON of one generation, or of the several that a combined file shows.

    It has no line ends. Empty texts and mappings are left out. With `ensure_ascii=False`, visible
    characters are written as they are, for a file that people read. Otherwise the JSON has only
    ASCII characters.
    """
    members = [_members(provenance) for provenance in provenances]
    content = members[0] if len(members) == 1 else {"generations": members}
    # Without invisible characters, a text cannot change the terminal that prints it.
    text = json.dumps({"format": FORMAT, **content}, ensure_ascii=ensure_ascii, allow_nan=False)
    return text if ensure_ascii else _BEYOND_ASCII.sub(_visible, text)


def from_json(text: str) -> tuple[Provenance, ...]:
    """Return the provenances in JSON that `to_json` wrote.

    The text comes from a file that anyone can change, so the result is not evidence. Raises
    ProvenanceError if it has another format, is larger than 16 MB or is invalid.
    """
    if len(text) > MAX_CHARACTERS:
        raise ProvenanceError(
            f"the provenance has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read"
        )
    try:
        head = msgspec.json.decode(text, type=_Head)
        if head.format != FORMAT:
            raise ProvenanceError(
                f"the provenance has the format {head.format!r:.80}; this version reads {FORMAT!r}"
            )
        if head.generations is msgspec.UNSET:
            return (_provenance(msgspec.json.decode(text, type=_One)),)
        return tuple(map(_provenance, msgspec.json.decode(text, type=_Several).generations))
    except msgspec.ValidationError as error:
        raise ProvenanceError(f"the provenance is invalid: {explain_invalid(error, {})}") from None
    except (ValueError, OverflowError, RecursionError):
        raise ProvenanceError("the provenance is not valid JSON") from None


def _visible(match: re.Match[str]) -> str:
    """Return a character, or its escape in JSON if it is not visible."""
    return match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1]


def _members(provenance: Provenance) -> dict[str, object]:
    # As in every JSON of Muniment, a seed is a text: few readers keep 64 bits of a number.
    members: dict[str, object] = {
        "id": provenance.id,
        "generator": provenance.generator,
        "prompt": provenance.prompt,
        "seed": str(provenance.seed),
        "parameters": dict(provenance.parameters),
        "model": provenance.model,
        "model_digest": provenance.model_digest,
        "created_at": iso(provenance.created_at),
        "versions": dict(provenance.versions),
        "models": dict(provenance.models),
        "producer": provenance.producer,
    }
    return {name: value for name, value in members.items() if value not in ("", {})}


def _provenance(facts: _Facts) -> Provenance:
    seed = int(facts.seed)
    if seed > _MAX_SEED:
        raise ProvenanceError(f"the provenance is invalid: the seed {seed} is above 2^64 - 1")
    return Provenance(
        id=facts.id,
        generator=facts.generator,
        prompt=facts.prompt,
        seed=seed,
        parameters=facts.parameters,
        model=facts.model,
        model_digest=facts.model_digest,
        created_at=facts.created_at.astimezone(UTC),
        versions=facts.versions,
        models=facts.models,
        producer=facts.producer,
    )
