"""The plugin module that the core loads. It registers classes without importing numpy."""

from __future__ import annotations

import muniment

from .articles.parameters import INPUTS as ARTICLE_INPUTS, ArticleParameters
from .ranking.document import MEDIA_TYPE
from .ranking.media_type import RankingType
from .requests.parameters import INPUTS, RecommendationParameters


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
        "muniment_recommendation.articles.generator:ArticleGenerator",
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
