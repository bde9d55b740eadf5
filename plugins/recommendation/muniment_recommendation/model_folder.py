"""The folder of a model: JSON for what is read, safetensors for arrays.

    model.json             family, options, chosen values, and the digests of data and files
    catalogue.json         the items in their order
    users.json             the ids of the users in their order
    histories.safetensors  the items of each user
    model.safetensors      the arrays of the parts, as `part.array`

The folder has no time and no path, so equal models have equal digests. It contains the ids and the
histories of users.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
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
from .models.families import FAMILIES, family_class
from .models.popularity import Popularity
from .models.text import Text

CONFIG, CATALOGUE, USERS = "model.json", "catalogue.json", "users.json"
HISTORIES, WEIGHTS = "histories.safetensors", "model.safetensors"
FILES = (CONFIG, CATALOGUE, USERS, HISTORIES, WEIGHTS)
FORMAT = "muniment-recommendation-1"
_WISH = "wish"  # the prefix of the index of texts, if text is not a part
_DAMAGE = (
    *(OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError),
    safetensors.SafetensorError,
)
_Content = TypeVar("_Content")
_Minimum = msgspec.Meta(ge=0)
_AtLeast0: TypeAlias = Annotated[int, _Minimum] | Annotated[float, _Minimum]


class TunedPart(msgspec.Struct, frozen=True):
    """One part of a model in model.json."""

    family: str
    weight: Annotated[float, msgspec.Meta(gt=0)]
    values: dict[str, _AtLeast0]


class ModelConfig(msgspec.Struct, frozen=True):
    """The content of model.json. `files` has the SHA-256 of each other file, in hexadecimal."""

    format: Literal["muniment-recommendation-1"]
    family: str
    seed: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,20}$")]
    options: dict[str, bool | int | float | list[str]]
    tuned: Annotated[tuple[TunedPart, ...], msgspec.Meta(min_length=1)]
    data: str
    counts: dict[str, int]
    files: dict[str, str]

    @property
    def fit_options(self) -> FitOptions:
        """The family, the seed and the explicit options of the fit."""
        return FitOptions(self.family, int(self.seed), self.options)


def save(model: FittedModel, folder: Path) -> None:
    """Write a model into an existing folder. Raises OSError."""
    items = [
        {"id": item.id, "title": item.title, "text": item.text, "tags": list(item.tags)}
        for item in model.catalogue.items
    ]
    arrays = {
        f"{part.name}.{name}": np.ascontiguousarray(array)
        for part in model.parts
        for name, array in part.recommender.arrays().items()
    }
    if Text.family not in [part.name for part in model.parts]:
        arrays |= {f"{_WISH}.{name}": array for name, array in model.text.arrays().items()}
    contents = {
        CATALOGUE: _json(items),
        USERS: _json(list(model.interactions.users)),
        HISTORIES: safetensors.numpy.save(_history_arrays(model.interactions)),
        WEIGHTS: safetensors.numpy.save(arrays),
    }
    config = {
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
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
    }
    for name, data in {**contents, CONFIG: _json(config)}.items():
        with (folder / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


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


def read_config(folder: Path) -> ModelConfig:
    """Return model.json. Raise ModelError if the folder has no model of this plugin."""
    try:
        config = _decode(folder / CONFIG, ModelConfig)
        families = [part.family for part in config.tuned]
        is_single = families == [config.family]
        if not (is_single or config.family == BLEND) or len(set(families)) < len(families):
            raise ValueError("its parts are not those of its family")
        if unknown := set(families) - set(FAMILIES):
            raise ValueError(f"there is no family {min(unknown)!r}")
        if any((name == "parts") != isinstance(at, list) for name, at in config.options.items()):
            raise ValueError("an option has a wrong type")
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise muniment.ModelError(
            str(folder),
            f"it has no readable {CONFIG} ({reason}); use a folder of muniment recommendation fit",
        ) from None
    return config


@contextlib.contextmanager
def damage_as_model_error(folder: Path) -> Iterator[None]:
    """Raise ModelError for the errors that damaged files of a model cause in the block."""
    try:
        yield
    except _DAMAGE as error:
        raise muniment.ModelError(str(folder), f"its files are damaged ({error})") from None


def check_files(folder: Path, config: ModelConfig) -> None:
    """Raise ValueError unless the files are those that the model was saved with."""
    for name in (CATALOGUE, USERS, HISTORIES, WEIGHTS):
        with (folder / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != config.files.get(name):
            raise ValueError(f"{name} was changed after the model was saved")


def read_catalogue(folder: Path) -> Catalogue:
    """Return the catalogue of a model. Raises OSError, ValueError or RecursionError."""
    catalogue = Catalogue(_decode(folder / CATALOGUE, tuple[CatalogueItem, ...]))
    if len(catalogue.numbers) < len(catalogue):
        raise ValueError("two items have the same id")
    return catalogue


def read_users(folder: Path) -> tuple[str, ...]:
    """Return the users of a model. Raises OSError, ValueError or RecursionError."""
    users = _decode(folder / USERS, tuple[str, ...])
    if len(set(users)) < len(users):
        raise ValueError("two users have the same id")
    return users


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
    text = Text.from_arrays(_arrays_of(Text.family if has_text else _WISH, arrays), Text.defaults)
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


def _decode(path: Path, type_: type[_Content]) -> _Content:
    return msgspec.json.decode(path.read_bytes(), type=type_)


def _json(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)
    return f"{text}\n".encode()
