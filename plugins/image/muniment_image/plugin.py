"""The plugin module that the core loads. It registers classes without importing torch."""

from __future__ import annotations

import muniment


@muniment.hookimpl
def muniment_evaluators(register: muniment.Register) -> None:
    """Register the evaluators of pictures."""
    register("muniment_image.evaluators:ImageSanity", name="image-sanity")
    register("muniment_image.evaluators:ImageSimilarity", name="image-similarity")
    register("muniment_image.evaluators:LabelConsistency", name="label-consistency")
    register("muniment_image.evaluators:Novelty", name="novelty")
