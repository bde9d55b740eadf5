"""The values from which one image is drawn, read from a request and checked against its model."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

import muniment

from .families import family_class
from .pictures import PictureError, read_picture
from .pixels import square

if TYPE_CHECKING:
    from .model_config import ModelConfig
    from .parameters import ImageParameters

_STRENGTH, _STRENGTH_WITH_MASK = 0.6, 1.0
_LIGHT = 128  # shades from here on are light in a mask


@dataclass(frozen=True, eq=False)
class Drawing:
    """The values of one image.

    Attributes:
        seed: An unsigned 64-bit integer.
        ids: The ids of the label or caption, of which there are none without a condition.
        steps: The number of steps, or None for a family without steps.
        guidance: The weight of the condition, or None for a model without guidance.
        strength: The amount of change of `init`, above 0 and at most 1.
        init: The pixels to start from, [size, size] or [size, size, 3], or None.
        mask: Where pixels of `init` are drawn anew, [size, size], or None.
    """

    seed: int
    ids: tuple[int, ...]
    steps: int | None
    guidance: float | None
    strength: float
    init: NDArray[np.uint8] | None
    mask: NDArray[np.bool_] | None

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
) -> tuple[NDArray[np.uint8] | None, NDArray[np.bool_] | None]:
    """Return the pixels of the input `init` and the part to draw anew. Check `reference`, too."""
    grey = {"init": config.channels == 1, "mask": True, "reference": False}
    pictures = {
        name: _picture(name, item.data, config.image_size, grey[name])
        for name, item in request.inputs.items()
    }
    init, mask = pictures.get("init"), pictures.get("mask")
    if (init or mask) and not family_class(config.family).takes_init:
        name = "init" if init else "mask"
        raise muniment.InputError(
            name, f"a model of the family {config.family} cannot use the input {name}; remove it"
        )
    if mask and not init:
        raise muniment.InputError(
            "mask", "the input mask has no effect without the input init; add --init FILE"
        )
    part = _redrawn(init, mask) if init and mask else None
    return init.pixels if init else None, part


def _redrawn(init: _Picture, mask: _Picture) -> NDArray[np.bool_]:
    """Return where a mask is light. Raise InputError if it does not fit `init`."""
    if mask.size != init.size:
        raise muniment.InputError(
            "mask",
            f"the input mask has {mask.size} pixels, and init has {init.size}; use a mask of the "
            "size of init",
        )
    redrawn: NDArray[np.bool_] = mask.pixels >= _LIGHT
    if not redrawn.any():
        raise muniment.InputError(
            "mask", "the input mask has no light part, so nothing would be drawn; use another one"
        )
    return redrawn


class _Picture(NamedTuple):
    """The pixels of an input in the size of the model, and the size of its file."""

    pixels: NDArray[np.uint8]
    size: str


@functools.lru_cache(maxsize=4)  # the samples of a request share their inputs
def _picture(name: str, data: bytes, size: int, grey: bool) -> _Picture:
    """Return the picture of an input. Raise InputError if it is not one still picture."""
    try:
        pixels = read_picture(data, grey=grey)
    except PictureError as error:
        raise muniment.InputError(name, f"the input {name} cannot be used: {error}") from error
    height, width = pixels.shape[:2]
    return _Picture(square(pixels, size), f"{width} x {height}")
