"""Small image models made on the spot: the real families with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import muniment
from muniment_image.conditions import CaptionCondition, Condition, LabelCondition, NoCondition

LABELS = LabelCondition(("T-shirt/top", "Trouser", "Ankle boot"))
CAPTIONS = CaptionCondition((("red", "红"), ("blue", "蓝"), ("heart", "心"), ("star", "星")), 3)
UNCONDITIONAL = NoCondition()

SMALL = {"flow": {"width": 8}, "vae": {"width": 8}, "dcgan": {"width": 8}}  # the sizes of layers


def make_image_model(
    folder: Path,
    family: str = "flow",
    condition: Condition = LABELS,
    *,
    image_size: int = 8,
    channels: int = 3,
    network: dict[str, int] | None = None,
    **config: Any,
) -> Path:
    """Write a model of a family with random weights, and return its folder.

    A new network of some families returns zeros, so all weights are random numbers.
    """
    import torch

    from muniment_image.families import family_class
    from muniment_image.model_config import ModelConfig
    from muniment_image.model_folder import save_model

    sizes = SMALL.get(family, {}) if network is None else network
    options: dict[str, Any] = {"steps": 2, "guidance": 2.0, "batch": 4, **config}
    model = family_class(family)(
        ModelConfig(family, image_size, channels, condition, sizes, **options)
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 8)
    save_model(model, folder)
    return folder


class ImageModels:
    """Models in a folder, each made when it is first called for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._models: dict[str, muniment.Model] = {}

    def __call__(
        self, family: str = "flow", condition: Condition = LABELS, **config: Any
    ) -> muniment.Model:
        """Return the model of a family and a condition, with other fields of its configuration."""
        key = repr((family, condition, config))
        if key not in self._models:
            folder = self._folder / str(len(self._models)) / "tiny"
            make_image_model(folder, family, condition, **config)
            self._models[key] = muniment.Model("tiny", muniment.model_digest(folder), str(folder))
        return self._models[key]
