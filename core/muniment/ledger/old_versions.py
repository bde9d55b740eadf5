"""The entries of older versions, which are read as those of the newest."""

from __future__ import annotations

from typing import Any

from muniment.ledger.entries import Entry, OutcomeEntry, OutcomeFields, StartedEntry, StartedFields
from muniment.ledger.events import FeedbackEntry, FeedbackFields

_NEW_STAGES = frozenset(("input", "item"))  # which version 1 does not have


class StartedEntryV1(StartedFields, kind="started", version=1):
    """The request of a generation, as it was recorded before there were inputs."""

    def newest(self) -> StartedEntry:
        """Return the entry as version 2, without inputs."""
        return StartedEntry(**_fields(self))


class OutcomeEntryV1(OutcomeFields, kind="outcome", version=1):
    """The end of a generation, as it was recorded before there were items and fingerprints."""

    def invalid_field(self) -> str | None:
        """Return a field with an invalid value, or with a field of version 2."""
        for output in self.outputs:
            if output.kept is not None or output.wanted or output.selection:
                return "outputs"
        for verdict in self.verdicts:
            if (
                verdict.item is not None
                or verdict.input is not None
                or verdict.parameter is not None
                or verdict.stage in _NEW_STAGES
            ):
                return "verdicts"
        if any(score.models for score in self.scores):
            return "scores"
        return super().invalid_field()

    def newest(self) -> OutcomeEntry:
        """Return the entry as version 2, without fingerprints."""
        return OutcomeEntry(**_fields(self))


class FeedbackEntryV1(FeedbackFields, kind="feedback", version=1):
    """A rating of, or a comment on, a generation."""

    def newest(self) -> FeedbackEntry:
        """Return the entry as version 2, without an action."""
        return FeedbackEntry(**_fields(self))


def _fields(entry: Entry) -> dict[str, Any]:
    """Return the fields of an entry by name, without its kind and version."""
    names = entry.__struct_fields__
    return {name: getattr(entry, name) for name in names if name not in ("kind", "version")}
