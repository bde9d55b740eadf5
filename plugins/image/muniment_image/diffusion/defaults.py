"""The values of a request that depend on its model and its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import muniment

from .canvas import Pixels, shape_of
from .folders import CONFIG, read_index, read_json
from .libraries import silence
from .loading import find_pipeline_class, pipeline_arguments
from .parameters import MAX_SIDE, DiffusersParameters

_STRENGTH = 0.8  # with init alone; a masked part is drawn anew
_STEPS = 50
_SIDES = {"unet": 64, "transformer": 128}  # of latent pictures, where the model states none
_FACTOR = 8  # pixels for each side of a latent pixel, where the model states none


@dataclass(frozen=True, slots=True)
class ModelDefaults:
    """The defaults of a pipeline. `guidance` is None for a pipeline without guidance."""

    steps: int
    guidance: float | None
    width: int
    height: int


def read_defaults(folder: Path) -> ModelDefaults:
    """Return the defaults of a pipeline's folder from its small files. Raise ModelError."""
    index = read_index(folder)
    with silence():
        kind = find_pipeline_class(index.class_name)
        arguments = {} if kind is None else pipeline_arguments(kind)
    guidance = arguments.get("guidance_scale") if _takes_guidance(folder) else None
    width, height = _size(folder)
    return ModelDefaults(
        steps=int(arguments.get("num_inference_steps") or _STEPS),
        guidance=None if guidance is None else float(guidance),
        width=width,
        height=height,
    )


def complete(
    values: DiffusersParameters, pixels: Mapping[str, Pixels], defaults: ModelDefaults
) -> dict[str, Any]:
    """Return the effective steps, guidance, width, height and strength.

    A picture has the size of the input init, else of control, else the size of the model. With one
    given side, the other keeps the proportion. Raises ParameterError or InputError for values that
    do not fit each other, because each would be ignored silently otherwise.
    """
    _check_pairs(values, pixels)
    if values.guidance is not None and defaults.guidance is None:
        raise muniment.ParameterError("guidance", "guidance has no effect on this model; remove it")
    steps = defaults.steps if values.steps is None else values.steps
    guidance = defaults.guidance if values.guidance is None else values.guidance
    width, height = _sides(values, pixels, defaults)
    strength = values.strength
    if "init" in pixels:
        if strength is None:
            strength = 1.0 if "mask" in pixels else _STRENGTH
        if int(steps * strength) < 1:
            raise muniment.ParameterError(
                "strength",
                f"strength {strength:g} of {steps} steps is less than one step; use more of either",
            )
    if values.negative_prompt and guidance is not None and guidance <= 1:
        raise muniment.ParameterError(
            "negative_prompt",
            f"negative_prompt has no effect with guidance {guidance:g}; use more than 1",
        )
    return {
        "steps": steps,
        "guidance": guidance,
        "width": width,
        "height": height,
        "strength": strength,
    }


def _check_pairs(values: DiffusersParameters, pixels: Mapping[str, Pixels]) -> None:
    """Raise for a value without the one that it needs."""
    if values.strength is not None and "init" not in pixels:
        raise muniment.ParameterError(
            "strength", "strength needs the input init; add --init FILE, or remove strength"
        )
    if values.lora_scale != 1 and not values.lora:
        raise muniment.ParameterError(
            "lora_scale", "lora_scale needs an adapter; add --lora, or remove lora_scale"
        )
    if values.control_scale != 1 and not values.controlnet:
        raise muniment.ParameterError(
            "control_scale", "control_scale needs a ControlNet; add --controlnet"
        )
    if values.controlnet and "control" not in pixels:
        raise muniment.InputError(
            "control", "a ControlNet needs the input control; add --control FILE"
        )
    if "control" in pixels and not values.controlnet:
        raise muniment.InputError(
            "control", "the input control needs a ControlNet that reads it; add --controlnet"
        )


def _sides(
    values: DiffusersParameters, pixels: Mapping[str, Pixels], defaults: ModelDefaults
) -> tuple[int, int]:
    """Return the width and the height of the picture. Raise InputError if an input is too large."""
    name = next((name for name in ("init", "control") if name in pixels), None)
    own = (defaults.width, defaults.height) if name is None else shape_of(pixels[name])
    if values.width is not None and values.height is not None:
        return values.width, values.height
    if values.width is not None:
        width, height = values.width, round(own[1] * values.width / own[0])
    elif values.height is not None:
        width, height = round(own[0] * values.height / own[1]), values.height
    else:
        width, height = own
    if not all(1 <= side <= MAX_SIDE for side in (width, height)):
        raise muniment.InputError(
            name or "",
            f"the picture would have {width} x {height} pixels, and each side can have from 1 to "
            f"{MAX_SIDE:,}; use width and height",
        )
    return width, height


def _size(folder: Path) -> tuple[int, int]:
    """Return the size of pictures that a model was trained on, as diffusers computes it."""
    for name, side in _SIDES.items():
        path = folder / name / CONFIG
        if path.is_file():
            sample = read_json(path).get("sample_size") or side
            height, width = sample if isinstance(sample, list) else (sample, sample)
            factor = _factor(folder)
            return int(width) * factor, int(height) * factor
    return 512, 512


def _takes_guidance(folder: Path) -> bool:
    """Return False for a transformer without an input for guidance, such as that of Flux schnell.

    Only the configurations of such transformers have this option.
    """
    path = folder / "transformer" / CONFIG
    return not path.is_file() or read_json(path).get("guidance_embeds") is not False


def _factor(folder: Path) -> int:
    path = folder / "vae" / CONFIG
    config = read_json(path) if path.is_file() else {}
    blocks = config.get("block_out_channels") or config.get("encoder_block_out_channels")
    return 1 << (len(blocks) - 1) if blocks else _FACTOR
