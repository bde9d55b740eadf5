"""Records of the models of a home."""

from __future__ import annotations

import msgspec

from muniment.representation import showing


class ModelRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The record of an added model.

    Attributes:
        name: The name of the model.
        digest: The digest of its files.
        generator: The generator that uses it.
        source: The origin of its files.
        added_at: The time when it was added, in UTC.
        roles: The names of its files by role.
        terms: The terms of its use, as a sentence.
        is_part: Whether it is only used beside another model, such as an adapter, so that it
            is never a default.
    """

    name: str
    digest: str
    generator: str
    source: str
    added_at: str
    roles: dict[str, str] = {}
    terms: str = ""
    is_part: bool = False

    __repr__ = showing("name", "generator", "digest", "source")
