"""Fit a model: choose its values on the last item of each user, then fit all of the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.linalg  # noqa: F401 - its BLAS must be loaded before threads are limited
import threadpoolctl

from .data.catalogue import Catalogue
from .data.interactions import Interactions
from .errors import DataError
from .models.base import Recommender
from .models.blend import FAMILY as BLEND, Blend, Part
from .models.families import family_class
from .models.popularity import Popularity
from .models.text import Text
from .tuning import choose_values, choose_weights, hold_out

BLEND_PARTS = ("ease", "item-knn", "transitions", "als", "text")
"""The families that a blend can have by default."""
EASE_ITEMS = 5000
"""The most items of a catalogue for EASE. Above it, the blend has item-kNN by default."""
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

    def options_of(self, family: type[Recommender]) -> dict[str, Any]:
        """Return the explicit options of a family."""
        return {name: value for name, value in self.options.items() if name in family.options}

    def parts(self, item_count: int, *, has_text: bool) -> tuple[str, ...]:
        """Return the families that are fitted for a catalogue of this size.

        Raises DataError if EASE is explicit and the catalogue too large for it.
        """
        limit = self.options.get("ease_items", EASE_ITEMS)
        similar = "ease" if item_count <= limit else "item-knn"
        names: tuple[str, ...] = (similar, "transitions", "als", *(["text"] if has_text else []))
        if self.family != BLEND:
            names = (self.family,)
        elif "parts" in self.options:
            names = tuple(self.options["parts"])
        if "ease" in names and item_count > limit:
            raise DataError(
                f"the family ease needs memory for each pair of {item_count:,} items; use "
                f"item-knn, or --set ease_items={item_count}"
            )
        return names


def options_from_texts(
    family: str,
    parts: str | None,
    settings: Sequence[str],
    seed: int,
    min_rating: float | None = None,
    *,
    feedback: bool = False,
) -> FitOptions:
    """Return the options of a command line. Raise DataError for an unknown or invalid one.

    `parts` has families between commas, and each of `settings` is `NAME=VALUE`. `min_rating` and
    `feedback` are options of the data that are recorded, too.
    """
    names = tuple(name.strip() for name in parts.split(",")) if parts is not None else ()
    if names and family != BLEND:
        raise DataError(f"only the blend has parts; remove --parts or use --model {BLEND}")
    if len(set(names)) < len(names):
        raise DataError(f"--parts {parts} names a family twice; name each once")
    used = [
        family_class(name) for name in (names or (BLEND_PARTS if family == BLEND else (family,)))
    ]
    known = {name: default for one in used for name, default in one.options.items()}
    if "ease" in [one.family for one in used]:
        known["ease_items"] = EASE_ITEMS
    options: dict[str, Any] = {"parts": names} if names else {}
    if min_rating is not None:
        options["min_rating"] = min_rating
    if feedback:
        options["feedback"] = True
    for setting in settings:
        name, separator, text = setting.partition("=")
        if not separator or name not in known:
            raise DataError(
                f"--set {setting} is not an option of {family}; use NAME=VALUE with one of "
                f"{', '.join(sorted(known)) or 'none'}"
            )
        options[name] = _number(name, text, known[name])
    return FitOptions(family, seed, options)


def _number(name: str, text: str, default: int | float | None) -> int | float:
    """Return the value of an option, whole unless its default is not."""
    try:
        value = float(text) if isinstance(default, float) else int(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1e9 or (value == 0 and name != "dropout"):
        kind = "a number" if isinstance(default, float) else "a whole number"
        raise DataError(f"{name} is {text!r}; use {kind} above 0")
    return value


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
        text = Text.fit(data, catalogue, {}, options.seed)
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
    total = 2 * len(names) + 1
    done = 0

    def step(name: str) -> Callable[[int, int], None]:
        """Report the beginning of a step, and return the function that reports its parts."""
        nonlocal done
        start, done = done, done + 1
        progress(name, start / total)
        return lambda part, parts: progress(name, (start + part / parts) / total)

    if len(names) == 1 and not family_class(names[0]).choices:
        only = _fit_part(names[0], data, catalogue, options, step(f"fitting {names[0]}"))
        progress("fitted", 1.0)
        return (1.0,), [only]
    chosen = [
        choose_values(
            _fit_part(name, earlier, catalogue, options, step(f"choosing the values of {name}")),
            held,
        )
        for name in names
    ]
    step("choosing the weights")
    weights = choose_weights(chosen, held) if len(names) > 1 else (1.0,)
    fitted = [
        _fit_part(name, data, catalogue, options, step(f"fitting {name}")).with_values(part.values)
        for name, part in zip(names, chosen, strict=True)
    ]
    progress("fitted", 1.0)
    return weights, fitted


def _fit_part(
    name: str,
    data: Interactions,
    catalogue: Catalogue,
    options: FitOptions,
    report: Callable[[int, int], None],
) -> Recommender:
    family = family_class(name)
    return family.fit(data, catalogue, options.options_of(family), options.seed, report)
