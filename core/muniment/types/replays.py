"""Results of replays."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from muniment.representation import showing
from muniment.types.outputs import Comparison
from muniment.types.plugins import PluginRef

ReplayResult: TypeAlias = Literal["exact", "certified", "uncertified", "diverged", "impossible"]


def compared_facts(environment: Mapping[str, str | int]) -> dict[str, str | int]:
    """Return the facts of an environment without notes, which do not affect the outputs."""
    return {name: fact for name, fact in environment.items() if not name.startswith("note.")}


@dataclass(frozen=True, slots=True)
class Difference:
    """One value of the environment that differs from the recorded value.

    Attributes:
        name: The name of the fact.
        recorded: The recorded value.
        now: The present value.

    Example:
        >>> muniment.Difference("torch", recorded="2.12", now="2.13").name
        'torch'
    """

    name: str
    recorded: str
    now: str

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class Replay:
    """The result of replaying one generation. `detail` is a sentence or a part of one.

    `environment` and `plugins` describe the replay, not the recorded generation. `comparison`
    describes the first output that differs, if its media type compares outputs.

    Example:
        >>> (replay,) = session.replay([done])
        >>> isinstance(replay, muniment.Replay)
        True
        >>> replay.to_json()["result"]
        'exact'
    """

    id: str
    result: ReplayResult
    detail: str
    differences: tuple[Difference, ...] = ()
    environment: Mapping[str, str | int] = field(default_factory=dict, compare=False)
    plugins: tuple[PluginRef, ...] = field(default=(), compare=False)
    comparison: Comparison | None = None

    __repr__ = showing("id", "result", "detail", "differences")

    def to_json(self) -> dict[str, Any]:
        """Return the replay in the shape that `audit replay --json` prints."""
        comparison = self.comparison
        return {
            "id": self.id,
            "result": self.result,
            "detail": self.detail,
            "distance": comparison and comparison.distance,
            "unit": comparison and comparison.unit,
            "position": comparison and comparison.position,
            "differences": [dataclasses.asdict(item) for item in self.differences],
        }
