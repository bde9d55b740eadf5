"""The plugin module that the core loads. It registers classes without importing torch."""

from __future__ import annotations

import muniment

from .diffusion import parameters as diffusion
from .media import Png
from .parameters import INPUTS, ImageParameters


@muniment.hookimpl
def muniment_generators(register: muniment.Register) -> None:
    """Register the generators. The module of each is imported when it is first used."""
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


@muniment.hookimpl
def muniment_evaluators(register: muniment.Register) -> None:
    """Register the evaluators of pictures."""
    register("muniment_image.evaluators:ImageSanity", name="image-sanity")
    register("muniment_image.evaluators:ImageSimilarity", name="image-similarity")
    register("muniment_image.evaluators:LabelConsistency", name="label-consistency")
    register("muniment_image.evaluators:Novelty", name="novelty")
