"""The plugin module that the core loads. It registers classes without importing torch."""

from __future__ import annotations

import muniment

from .diffusion import parameters as diffusion
from .media import Png
from .parameters import INPUTS, ImageParameters


@muniment.hookimpl
def muniment_generators(register: muniment.Register) -> None:
    """Register the generators. Their modules are imported when they are first used."""
    register(
        "muniment_image.generator:ImageGenerator",
        name="image",
        media_type="image/png",
        parameters=ImageParameters,
        inputs=INPUTS,
        prompt="optional",
    )
    register(
        "muniment_image.diffusion.generator:DiffusersGenerator",
        name="diffusers",
        media_type="image/png",
        parameters=diffusion.DiffusersParameters,
        inputs=diffusion.INPUTS,
    )


@muniment.hookimpl
def muniment_media_types(register: muniment.Register) -> None:
    """Register the media type of PNG files."""
    register(Png)
