"""A fitted model, with the catalogue and the histories that it was fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions
from muniment_recommendation.models.base import Recommender
from muniment_recommendation.models.blend import Blend, Part
from muniment_recommendation.models.popularity import Popularity
from muniment_recommendation.models.text import Text

from .options import FitOptions


@dataclass(frozen=True)
class FittedModel:
    """A model with the catalogue and the histories that it was fitted to.

    `model` is a `Blend` or a single `Recommender`. `text` finds items by a wish, whatever the
    family. `data_digest` names the data.
    """

    model: Blend | Recommender
    text: Text
    catalogue: Catalogue
    interactions: Interactions
    options: FitOptions
    data_digest: str = ""

    @property
    def tuned(self) -> list[dict[str, Any]]:
        """The family, the weight and the chosen values of each part, in the order of the sum."""
        return [
            {
                "family": part.name,
                "weight": part.weight,
                "values": dict(part.recommender.values),
            }
            for part in self.parts
        ]

    @property
    def libraries(self) -> list[str]:
        """The distributions that compute the scores, sorted."""
        return sorted({name for part in self.parts for name in part.recommender.libraries})

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the blend, or the single model."""
        model = self.model
        return model.parts if isinstance(model, Blend) else (Part(model, 1.0),)

    @property
    def blend(self) -> Blend:
        """The model as a blend, so that every family is standardised and explained alike."""
        if isinstance(self.model, Blend):
            return self.model
        counts = self.interactions.counts()
        return Blend(self.parts, Popularity(np.log1p(counts), {}), counts == 0)
