"""Fit a model: choose its values on the second-to-last items, then fit it to all of the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import threadpoolctl

from .data.catalogue import Catalogue
from .data.interactions import Interactions
from .models.base import Recommender
from .models.blend import FAMILY as BLEND, Blend, Part
from .models.families import family_class
from .models.popularity import Popularity
from .models.text import Text
from .tuning import choose_values, choose_weights, hold_out

EASE_ITEMS = 5000
"""The most items of a catalogue for which the blend has EASE. Above it, it has item-kNN."""
Progress = Callable[[str, float], None]
"""Receives the name of a step, and the share of the fit that is done before it."""


@dataclass(frozen=True, slots=True)
class FitOptions:
    """The family and the explicit options of a fit. They are recorded with the model.

    `options` has the options of the families by name, such as `factors`, and for the blend also
    `parts` (a list of families) and `ease_items`.
    """

    family: str = BLEND
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def parts(self, item_count: int, *, has_text: bool) -> tuple[str, ...]:
        """Return the families that are fitted for a catalogue of this size."""
        if self.family != BLEND:
            return (self.family,)
        if "parts" in self.options:
            return tuple(self.options["parts"])
        is_small = item_count <= self.options.get("ease_items", EASE_ITEMS)
        similar = "ease" if is_small else "item-knn"
        return (similar, "transitions", "als", *(["text"] if has_text else []))


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


def fit(
    data: Interactions,
    catalogue: Catalogue,
    options: FitOptions,
    *,
    data_digest: str = "",
    progress: Progress = lambda step, share: None,
) -> FittedModel:
    """Return a model of the data. Equal arguments give equal bits, with any number of threads.

    The last item of each user decides between the values of the families and between the weights of
    the blend. The chosen ones then stay, and all of the data is fitted.
    """
    # The sums of a matrix product depend on the number of threads among which they are divided.
    with threadpoolctl.threadpool_limits(1):
        text = Text.fit(data, catalogue, options.options, options.seed)
        names = options.parts(len(catalogue), has_text=bool(text.index.vocabulary))
        weights, parts = _fit_parts(names, data, catalogue, options, progress)
    if options.family == BLEND:
        popularity = Popularity.fit(data, catalogue, {}, options.seed)
        used = [Part(part, weight) for part, weight in zip(parts, weights, strict=True) if weight]
        cold = data.counts() == 0
        model: Blend | Recommender = Blend(used, popularity, cold, text.of_whole_histories())
    else:
        model = parts[0]
    return FittedModel(model, text, catalogue, data, options, data_digest)


def _fit_parts(
    names: Sequence[str],
    data: Interactions,
    catalogue: Catalogue,
    options: FitOptions,
    progress: Progress,
) -> tuple[Sequence[float], list[Recommender]]:
    """Return the weights of the parts, and the parts fitted to all of the data."""
    earlier, held = hold_out(data, options.seed)
    steps = 2 * len(names) + 1
    chosen = []
    for number, name in enumerate(names):
        progress(f"choosing the values of {name}", number / steps)
        first = family_class(name).fit(earlier, catalogue, options.options, options.seed)
        chosen.append(choose_values(first, held))
    progress("choosing the weights", len(names) / steps)
    weights = choose_weights(chosen, held) if len(names) > 1 else (1.0,)
    fitted = []
    for number, (name, part) in enumerate(zip(names, chosen, strict=True)):
        progress(f"fitting {name}", (len(names) + 1 + number) / steps)
        model = family_class(name).fit(data, catalogue, options.options, options.seed)
        fitted.append(model.with_values(part.values))
    progress("fitted", 1.0)
    return weights, fitted
