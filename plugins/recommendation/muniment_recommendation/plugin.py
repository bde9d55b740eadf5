"""The plugin module that the core loads. It registers classes without importing numpy."""

from __future__ import annotations

import muniment

from .article_parameters import INPUTS as ARTICLE_INPUTS, ArticleParameters
from .media import RankingType
from .parameters import INPUTS, RecommendationParameters
from .ranking import MEDIA_TYPE


@muniment.hookimpl
def muniment_generators(register: muniment.Register) -> None:
    """Register the generators. Their modules are imported when they are first used."""
    register(
        "muniment_recommendation.generator:RecommendationGenerator",
        name="recommendation",
        media_type=MEDIA_TYPE,
        parameters=RecommendationParameters,
        inputs=INPUTS,
        prompt="optional",
    )
    register(
        "muniment_recommendation.article_generator:ArticleGenerator",
        name="recommendation-article",
        media_type="text/plain",
        parameters=ArticleParameters,
        inputs=ARTICLE_INPUTS,
        prompt="optional",
    )


@muniment.hookimpl
def muniment_media_types(register: muniment.Register) -> None:
    """Register the media type of ranked lists."""
    register(RankingType)
