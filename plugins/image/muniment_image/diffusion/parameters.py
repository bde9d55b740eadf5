"""Parameters and inputs of the generator `diffusers`.

They have their own module so that listing them imports no model code.
"""

from __future__ import annotations

from typing import Literal

import muniment
from muniment_image.parameters import INPUTS as PICTURE_INPUTS, PICTURES

MAX_SIDE = 8192  # pixels


class DiffusersParameters(muniment.Parameters):
    """Parameters of a picture. None stands for a value that depends on the model or the inputs."""

    negative_prompt: str = muniment.param(
        "", judged=True, help="text that the picture should not show"
    )
    scheduler: Literal[
        "auto",
        "ddim",
        "ddpm",
        "deis",
        "dpm",
        "dpm-karras",
        "dpm-sde",
        "dpm-single",
        "euler",
        "euler-ancestral",
        "flow-euler",
        "flow-heun",
        "heun",
        "kdpm2",
        "kdpm2-ancestral",
        "lcm",
        "pndm",
        "tcd",
        "unipc",
    ] = muniment.param("auto", help="method of the steps; auto = the one of the model")
    steps: int | None = muniment.param(None, ge=1, le=1000, help="number of denoising steps")
    guidance: float | None = muniment.param(
        None, ge=0, le=100, help="strength of the prompt; 1 = no guidance"
    )
    width: int | None = muniment.param(None, ge=1, le=MAX_SIDE, help="width in pixels")
    height: int | None = muniment.param(None, ge=1, le=MAX_SIDE, help="height in pixels")
    strength: float | None = muniment.param(
        None, ge=0, le=1, help="part of the steps that change the input init; 1 = all of them"
    )
    lora: str | None = muniment.param(None, model=True, help="LoRA adapter of the model")
    lora_scale: float = muniment.param(1.0, ge=-10, le=10, help="strength of the adapter")
    controlnet: str | None = muniment.param(
        None, model=True, help="ControlNet that reads the input control"
    )
    control_scale: float = muniment.param(1.0, ge=0, le=10, help="strength of the ControlNet")
    offload: Literal["none", "model", "sequential"] = muniment.param(
        "none", help="parts of the model that wait outside the memory of an accelerator"
    )


INPUTS = (
    *PICTURE_INPUTS,
    muniment.InputSpec(
        "control", PICTURES, help="picture that a ControlNet reads", option="--control FILE"
    ),
)
