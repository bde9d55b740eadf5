"""Fit a model: choose its values on the last item of each user, then fit all of the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import scipy.linalg  # noqa: F401 - its BLAS must be loaded before threads are limited
import threadpoolctl

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions
from muniment_recommendation.errors import DataError
from muniment_recommendation.models.base import Recommender
from muniment_recommendation.models.blend import FAMILY as BLEND, Blend, Part
from muniment_recommendation.models.families import family_class
from muniment_recommendation.models.popularity import Popularity
from muniment_recommendation.models.text import Text

from .fitted_model import FittedModel
from .options import FitOptions
from .tuning import choose_values, choose_weights, hold_out

FitProgress = Callable[[str, float], None]
"""Receives the name of a step, and the share of the fit that is done before it."""


def fit(
    data: Interactions,
    catalogue: Catalogue,
    options: FitOptions,
    *,
    data_digest: str = "",
    progress: FitProgress = lambda step, share: None,
) -> FittedModel:
    """Return a model of the data. Equal arguments give equal bits, with any number of threads.

    The last item of each user decides between the values of the families and between the weights of
    the blend. The chosen ones then stay, and all of the data is fitted. Raises DataError if the
    memory is too small.
    """
    try:
        return _fit(data, catalogue, options, data_digest, progress)
    except MemoryError as error:
        raise DataError(
            f"the memory is too small for a model of {len(catalogue):,} items ({error}); use "
            "smaller values of --set, or another --model"
        ) from None


def _fit(
    data: Interactions,
    catalogue: Catalogue,
    options: FitOptions,
    data_digest: str,
    progress: FitProgress,
) -> FittedModel:
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
    progress: FitProgress,
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
