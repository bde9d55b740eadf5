"""The plugin module that the core loads. It registers classes without importing numpy."""

from __future__ import annotations

import muniment

from .media import RankingType


@muniment.hookimpl
def muniment_media_types(register: muniment.Register) -> None:
    """Register the media type of ranked lists."""
    register(RankingType)
