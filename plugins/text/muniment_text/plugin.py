"""What Muniment reads first: registers the text generator without importing torch."""

from __future__ import annotations

import muniment

from .parameters import TextParameters


@muniment.hookimpl
def muniment_generators(register: muniment.Register) -> None:
    """Register the generator `text`; its module is imported at first use."""
    register(
        "muniment_text.generator:TextGenerator",
        name="text",
        media_type="text/plain",
        parameters=TextParameters,
    )
