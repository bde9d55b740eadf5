"""The values from which one image is drawn, read from a request and checked against its model."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import muniment

from .families import family_class
from .pictures import PictureError, read_picture

if TYPE_CHECKING:
    from .model_config import ModelConfig
    from .parameters import ImageParameters

_STRENGTH, _STRENGTH_WITH_MASK = 0.6, 1.0


@dataclass(frozen=True, eq=False)
class Drawing:
    """The values of one image.

    Attributes:
        seed: An unsigned 64-bit integer.
        ids: The ids of the label or caption, of which there are none without a condition.
        steps: The number of steps, or None for a family without steps.
        guidance: The weight of the condition, or None for a model without guidance.
        strength: The amount of change of `init`, above 0 and at most 1.
        init: The pixels to start from, of any size, or None.
        mask: The grey pixels of a picture of the same size, or None. Light ones are drawn anew.
    """

    seed: int
    ids: tuple[int, ...]
    steps: int | None
    guidance: float | None
    strength: float
    init: NDArray[np.uint8] | None
    mask: NDArray[np.uint8] | None

    @property
    def options(self) -> tuple[object, ...]:
        """The values that all images of one call of the sampler have in common."""
        return self.steps, self.guidance, self.strength, self.init is None, self.mask is None


def resolved_parameters(
    request: muniment.Request, config: ModelConfig
) -> dict[str, int | float | None]:
    """Return the parameters of a request, with the model's values in place of None."""
    values: ImageParameters = request.parameters
    steps, guidance, strength = values.steps, values.guidance, values.strength
    if family_class(config.family).takes_guidance:
        steps = config.steps if steps is None else steps
        if config.condition.length and guidance is None:
            guidance = config.guidance
    if "init" in request.inputs and strength is None:
        strength = _STRENGTH_WITH_MASK if "mask" in request.inputs else _STRENGTH
    return {"guidance": guidance, "steps": steps, "strength": strength}


def drawing_of(request: muniment.Request, config: ModelConfig) -> Drawing:
    """Return the values of a request's image. Raise UsageError if the model cannot draw it."""
    if request.system:
        raise muniment.UsageError("generator image takes no system prompt; remove it")
    values: ImageParameters = request.parameters
    _check_parameters(values, config, has_init="init" in request.inputs)
    ids = config.condition.encode(request.prompt)
    init, mask = _pictures(request, config)
    return Drawing(
        request.seed,
        ids,
        values.steps,
        values.guidance,
        1.0 if values.strength is None else values.strength,
        init,
        mask,
    )


def _check_parameters(values: ImageParameters, config: ModelConfig, *, has_init: bool) -> None:
    """Raise UsageError for a parameter without effect."""
    if not family_class(config.family).takes_guidance:
        for name in ("steps", "guidance"):
            if getattr(values, name) is not None:
                raise muniment.ParameterError(
                    name,
                    f"{name} has no effect on a model of the family {config.family}; remove it",
                )
    if not config.condition.length and values.guidance is not None:
        raise muniment.ParameterError(
            "guidance", "guidance has no effect on a model without labels or captions; remove it"
        )
    if values.strength is not None and not has_init:
        raise muniment.ParameterError(
            "strength", "strength has no effect without the input init; add --init FILE"
        )


def _pictures(
    request: muniment.Request, config: ModelConfig
) -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None]:
    """Return the pixels of the inputs `init` and `mask`. Check `reference`, too."""
    pixels = {
        name: _pixels(name, item.data, name == "mask" or config.channels == 1)
        for name, item in request.inputs.items()
    }
    init, mask = pixels.get("init"), pixels.get("mask")
    if (init is not None or mask is not None) and not family_class(config.family).takes_init:
        name = "mask" if init is None else "init"
        raise muniment.InputError(
            name, f"a model of the family {config.family} cannot use the input {name}; remove it"
        )
    if mask is None:
        return init, mask
    if init is None:
        raise muniment.InputError(
            "mask", "the input mask has no effect without the input init; add --init FILE"
        )
    if mask.shape != init.shape[:2]:
        raise muniment.InputError(
            "mask",
            f"the input mask has {_size(mask)} pixels, and init has {_size(init)}; use a mask of "
            "the size of init",
        )
    return init, mask


@functools.lru_cache(maxsize=4)  # the samples of a request share their inputs
def _pixels(name: str, data: bytes, grey: bool) -> NDArray[np.uint8]:
    """Return the pixels of an input. Raise InputError if it is not one still picture."""
    try:
        pixels = read_picture(data, grey=grey)
    except PictureError as error:
        raise muniment.InputError(name, f"the input {name} cannot be used: {error}") from error
    pixels.setflags(write=False)
    return pixels


def _size(pixels: NDArray[np.uint8]) -> str:
    height, width = pixels.shape[:2]
    return f"{width} x {height}"
