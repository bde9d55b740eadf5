"""The configuration of an image model, which `model.json` contains. Reading it needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .conditions import Condition, condition_from_json

FORMAT = "muniment-image/1"
FAMILIES = ("flow", "vae", "dcgan")
SIZES = range(8, 257)
"""Allowed widths of a picture in pixels."""
STEPS = range(1, 1001)
"""Allowed numbers of steps of a sampler."""
BATCHES = range(1, 1025)
"""Allowed numbers of rows of a batch, all of which are drawn for one picture."""


@dataclass(frozen=True)
class ModelConfig:
    """Everything about a model but its weights.

    `network` has the sizes of the family's layers. A family fills in those that are absent. `steps`
    and `guidance` are the defaults of its sampler, and `batch` is the fixed number of rows that it
    is called with.
    """

    family: str
    image_size: int
    channels: int
    condition: Condition
    network: Mapping[str, int] = field(default_factory=dict)
    steps: int = 10
    guidance: float = 1.0
    batch: int = 8

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"the family is {self.family!r}, not one of {', '.join(FAMILIES)}")
        if self.image_size not in SIZES or self.image_size % 4:
            raise ValueError(
                f"the image size is {self.image_size}, "
                f"not a multiple of 4 from {SIZES.start} to {SIZES.stop - 1}"
            )
        if self.channels not in (1, 3):
            raise ValueError(f"the number of channels is {self.channels}, not 1 or 3")
        if self.steps not in STEPS or self.batch not in BATCHES or not 0 <= self.guidance <= 100:
            raise ValueError(
                f"steps must be from 1 to {STEPS[-1]}, batch from 1 to {BATCHES[-1]}, and "
                "guidance from 0 to 100"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the fields of `model.json`."""
        return {
            "format": FORMAT,
            "family": self.family,
            "image_size": self.image_size,
            "channels": self.channels,
            "condition": self.condition.to_json(),
            "network": dict(self.network),
            "steps": self.steps,
            "guidance": self.guidance,
            "batch": self.batch,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ModelConfig:
        """Return the configuration of a `model.json`. Raise ValueError if a field is invalid."""
        if value.get("format") != FORMAT:
            raise ValueError(f"the format is {value.get('format')!r}, not {FORMAT!r}")
        try:
            condition = condition_from_json(value["condition"])
            return cls(
                family=value["family"],
                image_size=_integer(value["image_size"]),
                channels=_integer(value["channels"]),
                condition=condition,
                network={name: _integer(size) for name, size in value["network"].items()},
                steps=_integer(value["steps"]),
                guidance=float(value["guidance"]),
                batch=_integer(value["batch"]),
            )
        except KeyError as error:
            raise ValueError(f"the field {error} is missing") from error
        except (AttributeError, TypeError) as error:
            raise ValueError(f"a field has a wrong type ({error})") from error


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is not a whole number")
    return value
