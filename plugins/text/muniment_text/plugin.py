"""The plugin module that the core loads. It registers the generator without importing torch."""

from __future__ import annotations

import muniment

from .parameters import INPUTS, TextParameters


@muniment.hookimpl
def muniment_generators(register: muniment.Register) -> None:
    """Register the generator `text`. Its module is imported when it is first used."""
    register(
        "muniment_text.generator:TextGenerator",
        name="text",
        media_type="text/plain",
        parameters=TextParameters,
        inputs=INPUTS,
    )
