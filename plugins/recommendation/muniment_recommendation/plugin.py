"""The plugin module that the core loads. It registers classes without importing numpy."""

from __future__ import annotations

import muniment

from .media import RankingType
from .parameters import INPUTS, RecommendationParameters
from .ranking import MEDIA_TYPE


@muniment.hookimpl
def muniment_generators(register: muniment.Register) -> None:
    """Register the generator. Its module is imported when it is first used."""
    register(
        "muniment_recommendation.generator:RecommendationGenerator",
        name="recommendation",
        media_type=MEDIA_TYPE,
        parameters=RecommendationParameters,
        inputs=INPUTS,
        prompt="optional",
    )


@muniment.hookimpl
def muniment_media_types(register: muniment.Register) -> None:
    """Register the media type of ranked lists."""
    register(RankingType)
