"""Check one response for its instructions, strictly and loosely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .instructions import Instruction


class Compliance(NamedTuple):
    """Whether each instruction is followed, as the response stands and in its best variant."""

    strict: tuple[bool, ...]
    loose: tuple[bool, ...]


def check_response(response: str, instructions: Sequence[Instruction]) -> Compliance:
    """Return the strict and the loose result of each instruction."""
    strict = tuple(instruction.is_followed(response) for instruction in instructions)
    others = variants(response)[1:] if not all(strict) else []
    loose = tuple(
        followed or any(map(instruction.is_followed, others))
        for followed, instruction in zip(strict, instructions, strict=True)
    )
    return Compliance(strict, loose)


def variants(response: str) -> list[str]:
    """Return the eight variants of a response for the loose results, the response first.

    They are made without the first line, the last one, both or neither, and each of them without
    asterisks. Equal variants are returned once.
    """
    lines = response.split("\n")
    parts = [
        response,
        *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])),
    ]
    return list(dict.fromkeys([*parts, *(part.replace("*", "") for part in parts)]))
