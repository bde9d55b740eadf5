"""The facts of the environment on which the bytes of a pipeline's pictures depend."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from muniment_image.environment import facts

from .loading import device


def pipeline_facts(pipeline: Any) -> dict[str, str | int]:
    """Return the processor, the versions of libraries and the number format of a pipeline."""
    libraries = ("diffusers", "transformers", "tokenizers", "peft", "Pillow")
    return {
        **facts(device()),
        **{name.lower(): version(name) for name in libraries},
        "dtype": str(pipeline.dtype).removeprefix("torch."),
    }
