"""Read the folder of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions
from muniment_recommendation.fitting.fitted_model import FittedModel
from muniment_recommendation.models.base import Recommender
from muniment_recommendation.models.blend import FAMILY as BLEND, Blend, Part
from muniment_recommendation.models.families import family_class
from muniment_recommendation.models.popularity import Popularity
from muniment_recommendation.models.text import Text

from .files import (
    HISTORIES,
    WEIGHTS,
    WISH,
    ModelConfig,
    check_files,
    damage_as_model_error,
    read_catalogue,
    read_config,
    read_users,
)


def load(folder: Path) -> FittedModel:
    """Read the model of a folder. Raise ModelError if it is none, or damaged."""
    config = read_config(folder)
    with damage_as_model_error(folder):
        check_files(folder, config)
        catalogue = read_catalogue(folder)
        interactions = _read_interactions(folder, len(catalogue))
        arrays = safetensors.numpy.load_file(folder / WEIGHTS)
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"the array {name} has a number that is not finite")
        model = _model_of(config, catalogue, interactions, arrays)
        _check_scores(model)
    return model


def _read_interactions(folder: Path, item_count: int) -> Interactions:
    arrays = safetensors.numpy.load_file(folder / HISTORIES)
    users = read_users(folder)
    for name, array in arrays.items():
        if array.ndim != 1 or array.dtype.kind != "i":
            raise ValueError(f"the array {name} is not a list of whole numbers")
    if len(arrays["times"]) != len(arrays["items"]):
        raise ValueError("the histories have another number of times")
    for values, offsets in (("items", "offsets"), ("disliked", "disliked_offsets")):
        numbers, ends = arrays[values], arrays[offsets]
        if len(ends) != len(users) + 1 or ends[0] != 0 or ends[-1] != len(numbers):
            raise ValueError("the histories are not those of the users")
        if (np.diff(ends) < 0).any():
            raise ValueError("the histories are not in order")
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < item_count:
            raise ValueError("a history has an item that is not in the catalogue")
    numbers = np.repeat(np.arange(len(users)), np.diff(arrays["offsets"]))
    pairs = numbers * item_count + arrays["items"]
    if len(np.unique(pairs)) < len(pairs):
        raise ValueError("a history has an item twice")
    ends = arrays["disliked_offsets"]
    disliked = {
        number: arrays["disliked"][ends[number] : ends[number + 1]]
        for number in np.flatnonzero(np.diff(ends)).tolist()
    }
    return Interactions(
        users, arrays["offsets"], arrays["items"], arrays["times"], item_count, disliked
    )


def _model_of(
    config: ModelConfig,
    catalogue: Catalogue,
    interactions: Interactions,
    arrays: Mapping[str, NDArray[Any]],
) -> FittedModel:
    parts = [
        Part(
            family_class(part.family).from_arrays(_arrays_of(part.family, arrays), part.values),
            part.weight,
        )
        for part in config.tuned
    ]
    has_text = Text.family in [part.name for part in parts]
    text = Text.from_arrays(_arrays_of(Text.family if has_text else WISH, arrays), Text.defaults)
    model: Blend | Recommender = parts[0].recommender
    if config.family == BLEND:
        counts = interactions.counts()
        popularity = Popularity(np.log1p(counts), {})
        model = Blend(parts, popularity, counts == 0, text.of_whole_histories())
    return FittedModel(model, text, catalogue, interactions, config.fit_options, config.data)


def _check_scores(model: FittedModel) -> None:
    """Raise ValueError unless the parts score every item of the catalogue with finite numbers."""
    size = len(model.catalogue)
    empty = np.empty(0, np.int32)
    for recommender in (model.text, *(part.recommender for part in model.parts)):
        # A history is tried later, because one with an item outside a sparse matrix ends scipy.
        if recommender.scores([empty]).shape != (1, size):
            raise ValueError(f"the part {recommender.family} has another number of items")
    with np.errstate(all="ignore"):
        scores = model.blend.scores([empty, np.arange(min(size, 2), dtype=np.int32)])
    if not np.isfinite(scores).all():
        raise ValueError("the scores are not finite")


def _arrays_of(name: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)
    }
