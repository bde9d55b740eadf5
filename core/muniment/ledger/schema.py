"""The closed schema of entries: every field of every kind, and nothing else, is allowed.

What is written passes through here as well as what is verified, so an entry that a reader would
refuse is never made. Enumerations are spelled out: a new value is a new version of the kind. The
description for people is docs/reference/entries.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from muniment.errors import MunimentError
from muniment.ledger.entries import MODEL_DIGEST, PARAMETER_NAME, Body

Check: TypeAlias = Callable[[Any], bool]

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_HEX128 = re.compile(r"[0-9a-f]{32}")
_HEX256 = re.compile(r"[0-9a-f]{64}")
_DIGITS = re.compile(r"0|[1-9][0-9]{0,19}")
_INTEGER = re.compile(r"-?[1-9][0-9]*")
_MEDIA_TYPE = re.compile(r"[a-z]+/[A-Za-z0-9.+-]+(; ?[a-z]+=[A-Za-z0-9.-]+)*")
_NAME_CHARACTERS = 255


class EntryError(MunimentError, ValueError):
    """An entry does not fit the schema; `field` says where."""

    def __init__(self, kind: str, field: str, value: object) -> None:
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:79] + "…"
        super().__init__(f"{kind} entry: {field} cannot be {shown}")
        self.kind, self.field = kind, field


def check(body: Body) -> None:
    """Raise EntryError unless `body` is an entry of a known kind and version, field by field."""
    kind, version = body.get("kind"), body.get("version")
    named = isinstance(kind, str) and type(version) is int
    fields = _KINDS.get((str(kind), version)) if named else None
    if fields is None:
        raise EntryError(str(kind), "kind and version", (kind, version))
    if body.keys() != fields.keys():
        odd = sorted(body.keys() ^ fields.keys())
        raise EntryError(str(kind), ", ".join(odd), "missing or unknown")
    for name, fits in fields.items():
        if not fits(body[name]):
            raise EntryError(str(kind), name, body[name])


def known(kind: str, version: int) -> bool:
    """Whether this Muniment can read entries of that kind and version."""
    return (kind, version) in _KINDS


def _matches(pattern: re.Pattern[str]) -> Check:
    fullmatch = pattern.fullmatch
    return lambda value: isinstance(value, str) and fullmatch(value) is not None


def _one_of(*values: Any) -> Check:
    return lambda value: isinstance(value, str) and value in values


def _optional(fits: Check) -> Check:
    return lambda value: value is None or fits(value)


def _list_of(fits: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _map_of(key: Check, fits: Check) -> Check:
    return lambda value: (
        isinstance(value, dict) and all(map(key, value)) and all(map(fits, value.values()))
    )


def _record(**fields: Check) -> Check:
    def check(value: Any) -> bool:
        if not isinstance(value, dict) or value.keys() != fields.keys():
            return False
        for name, fits in fields.items():  # noqa: SIM110  twice as fast as a generator
            if not fits(value[name]):
                return False
        return True

    return check


def _name(value: Any) -> bool:
    """A name that a plugin declares: printable, not empty, of a sane length."""
    return _label(value) and bool(value)


def _label(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _NAME_CHARACTERS and value.isprintable()


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _integer(value: Any) -> bool:
    return type(value) is int


def _bool(value: Any) -> bool:
    return isinstance(value, bool)


def _finite(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _seed(value: Any) -> bool:
    return isinstance(value, str) and bool(_DIGITS.fullmatch(value)) and int(value) < 2**64


def _parameter(value: Any) -> bool:
    big = isinstance(value, str) and bool(_INTEGER.fullmatch(value)) and abs(int(value)) >= 2**53
    return value is None or _bool(value) or _finite(value) or big


def _fact(value: Any) -> bool:
    return _integer(value) or (isinstance(value, str) and "\0" not in value)


_ulid, _hash = _matches(_ULID), _matches(_HEX256)
_ref = _record(payload=_matches(_HEX128), commitment=_hash)
_plugins = _list_of(_record(distribution=_name, version=_label, digest=_label))
_output = _record(
    media_type=_matches(_MEDIA_TYPE),
    bytes=_count,
    finish_reason=_optional(_one_of("stop", "length")),
    content=_ref,
)
_verdict = _record(
    filter=_optional(_name),
    version=_label,
    stage=_one_of("system", "prompt", "output"),
    decision=_one_of("allow", "flag", "block"),
    action=_one_of("allow", "flag", "block"),
    latency_us=_count,
    categories=_map_of(_name, _finite),
    failed=_bool,
)
_score = _record(
    evaluator=_name,
    version=_label,
    name=_name,
    value=_optional(_finite),
    unit=_label,
    higher_is_better=_optional(_bool),
    failed=_bool,
)

_KINDS: Mapping[tuple[str, Any], Mapping[str, Check]] = {
    (kind, 1): {"kind": lambda value: True, "version": _integer, **fields}
    for kind, fields in {
        "genesis": {"log": _matches(_HEX128)},
        "actor": {"actor": _ulid, "name": _ref},
        "policy": {"policy": _ulid, "document": _ref},
        "environment": {"environment": _hash, "facts": _map_of(_name, _fact)},
        "started": {
            "generation": _ulid,
            "run": _ulid,
            "at": _integer,
            "actor": _ulid,
            "generator": _optional(_name),
            "model": _optional(_record(digest=_matches(MODEL_DIGEST))),
            "seed": _seed,
            "parameters": _map_of(_matches(PARAMETER_NAME), _parameter),
            "policy": _optional(_ulid),
            "prompt": _ref,
            "request": _optional(_ref),
            "parents": _list_of(_ulid),
            "line": _optional(_count),
            "plugins": _plugins,
        },
        "outcome": {
            "generation": _ulid,
            "at": _integer,
            "status": _one_of("completed", "blocked", "failed", "interrupted"),
            "outputs": _list_of(_output),
            "verdicts": _list_of(_verdict),
            "scores": _list_of(_score),
            "usage": _optional(_record(prompt_tokens=_count, output_tokens=_count)),
            "trace": _optional(_ref),
            "detail": _optional(_ref),
            "environment": _optional(_hash),
            "failure": _optional(_one_of("invalid", "refused", "generator")),
            "plugins": _plugins,
        },
    }.items()
}
