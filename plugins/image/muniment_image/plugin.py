"""The plugin module that the core loads. It registers classes without importing torch."""

from __future__ import annotations

import muniment

from .media import Png


@muniment.hookimpl
def muniment_media_types(register: muniment.Register) -> None:
    """Register the media type of PNG files."""
    register(Png)
