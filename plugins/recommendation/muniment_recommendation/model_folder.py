"""The folder of a model: JSON for what is read, safetensors for arrays.

    model.json             family, options, chosen values, and the digest of the data
    catalogue.json         the items in their order
    users.json             the ids of the users in their order
    histories.safetensors  the items of each user
    model.safetensors      the arrays of the parts, as `part.array`

The folder has no time and no path, so equal models have equal digests. It contains the ids and the
histories of users.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

import muniment

from .data.catalogue import Catalogue, CatalogueItem
from .data.interactions import Interactions, Numbers
from .fitting import BLEND, FitOptions, FittedModel
from .models.base import Recommender
from .models.blend import Blend, Part
from .models.families import family_class
from .models.popularity import Popularity
from .models.text import Text

CONFIG, CATALOGUE, USERS = "model.json", "catalogue.json", "users.json"
HISTORIES, WEIGHTS = "histories.safetensors", "model.safetensors"
FILES = (CONFIG, CATALOGUE, USERS, HISTORIES, WEIGHTS)
FORMAT = "muniment-recommendation-1"


def save(model: FittedModel, folder: Path) -> None:
    """Write a model into an existing folder. Raises OSError."""
    _write_json(
        folder / CONFIG,
        {
            "format": FORMAT,
            "family": model.options.family,
            "seed": str(model.options.seed),
            "options": dict(model.options.options),
            "tuned": model.tuned,
            "data": model.data_digest,
            "counts": {
                "users": len(model.interactions.users),
                "items": len(model.catalogue),
                "interactions": len(model.interactions.items),
            },
        },
    )
    _write_json(
        folder / CATALOGUE,
        [
            {"id": item.id, "title": item.title, "text": item.text, "tags": list(item.tags)}
            for item in model.catalogue.items
        ],
    )
    _write_json(folder / USERS, list(model.interactions.users))
    safetensors.numpy.save_file(_history_arrays(model.interactions), folder / HISTORIES)
    arrays = {
        f"{part.name}.{name}": np.ascontiguousarray(array)
        for part in model.parts
        for name, array in part.recommender.arrays().items()
    }
    index = {f"wish.{name}": array for name, array in model.text.arrays().items()}
    safetensors.numpy.save_file(arrays | index, folder / WEIGHTS)


def load(folder: Path) -> FittedModel:
    """Read the model of a folder. Raise ModelError if it is none, or damaged."""
    config = read_config(folder)
    try:
        catalogue = read_catalogue(folder)
        interactions = _read_interactions(folder, len(catalogue))
        arrays = safetensors.numpy.load_file(folder / WEIGHTS)
        options = FitOptions(config["family"], int(config["seed"]), config["options"])
        parts = [
            Part(_read_part(part["family"], part["values"], arrays), part["weight"])
            for part in config["tuned"]
        ]
        text = Text.from_arrays(_arrays_of("wish", arrays), {"half_life": 20.0, "floor": 0.1})
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise muniment.ModelError(str(folder), f"its files are damaged ({error})") from None
    counts = interactions.counts()
    if options.family != BLEND:
        return FittedModel(
            parts[0].recommender, text, catalogue, interactions, options, config["data"]
        )
    popularity = Popularity(np.log1p(counts), {})
    blend = Blend(parts, popularity, counts == 0, text.of_whole_histories())
    return FittedModel(blend, text, catalogue, interactions, options, config["data"])


def read_config(folder: Path) -> dict[str, Any]:
    """Return model.json. Raise ModelError if the folder has no model of this plugin."""
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise muniment.ModelError(
            str(folder),
            f"it has no readable {CONFIG} ({reason}); use a folder of muniment recommendation fit",
        ) from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise muniment.ModelError(str(folder), f"its {CONFIG} has another format than {FORMAT}")
    return config


def read_catalogue(folder: Path) -> Catalogue:
    """Return the catalogue of a model. Raises OSError, ValueError or KeyError."""
    items = json.loads((folder / CATALOGUE).read_bytes())
    return Catalogue(
        tuple(
            CatalogueItem(item["id"], item["title"], item["text"], tuple(item["tags"]))
            for item in items
        )
    )


def read_users(folder: Path) -> tuple[str, ...]:
    """Return the users of a model. Raises OSError or ValueError."""
    return tuple(json.loads((folder / USERS).read_bytes()))


def read_user(folder: Path, number: int) -> tuple[Numbers, Numbers]:
    """Return the history and the disliked items of a user, without reading those of others."""
    with safetensors.safe_open(folder / HISTORIES, "np") as file:
        return (
            _row(file, "items", "offsets", number),
            _row(file, "disliked", "disliked_offsets", number),
        )


def _row(file: Any, values: str, offsets: str, number: int) -> Numbers:
    start, end = (int(position) for position in file.get_slice(offsets)[number : number + 2])
    if start == end:  # the library refuses an empty slice
        return np.empty(0, np.int32)
    row: Numbers = file.get_slice(values)[start:end]
    return row


def _history_arrays(data: Interactions) -> dict[str, NDArray[Any]]:
    none = np.empty(0, np.int32)
    disliked = [data.disliked.get(number, none) for number in range(len(data.users))]
    return {
        "offsets": data.offsets.astype(np.int64),
        "items": data.items.astype(np.int32),
        "times": data.times.astype(np.int64),
        "disliked_offsets": np.cumsum([0, *map(len, disliked)], dtype=np.int64),
        "disliked": np.concatenate([none, *disliked]).astype(np.int32),
    }


def _read_interactions(folder: Path, item_count: int) -> Interactions:
    arrays = safetensors.numpy.load_file(folder / HISTORIES)
    users = read_users(folder)
    for values, offsets in (("items", "offsets"), ("disliked", "disliked_offsets")):
        numbers, ends = arrays[values], arrays[offsets]
        if len(ends) != len(users) + 1 or ends[0] != 0 or ends[-1] != len(numbers):
            raise ValueError("the histories are not those of the users")
        if (np.diff(ends) < 0).any():
            raise ValueError("the histories are not in order")
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < item_count:
            raise ValueError("a history has an item that is not in the catalogue")
    ends = arrays["disliked_offsets"]
    disliked = {
        number: arrays["disliked"][ends[number] : ends[number + 1]]
        for number in np.flatnonzero(np.diff(ends)).tolist()
    }
    return Interactions(
        users, arrays["offsets"], arrays["items"], arrays["times"], item_count, disliked
    )


def _read_part(
    family: str, values: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]
) -> Recommender:
    return family_class(family).from_arrays(_arrays_of(family, arrays), values)


def _arrays_of(name: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n", "utf-8")
