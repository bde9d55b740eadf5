"""The plugin module that the core loads. RE2 and pyahocorasick are imported with a filter."""

from __future__ import annotations

import muniment
from muniment_moderation.parameters import BlocklistParameters


@muniment.hookimpl
def muniment_filters(register: muniment.Register) -> None:
    """Register the filters of this distribution."""
    register(
        "muniment_moderation.blocklist:Blocklist",
        name="blocklist",
        parameters=BlocklistParameters,
    )
