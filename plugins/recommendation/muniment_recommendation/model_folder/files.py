"""The files of a model: their names, their formats and their digests."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
import numpy as np
import safetensors
import safetensors.numpy

import muniment
from muniment_recommendation.data.catalogue import Catalogue, CatalogueItem
from muniment_recommendation.data.interactions import Numbers
from muniment_recommendation.fitting.options import FitOptions
from muniment_recommendation.models.blend import FAMILY as BLEND
from muniment_recommendation.models.families import FAMILIES

CONFIG, CATALOGUE, USERS = "model.json", "catalogue.json", "users.json"
HISTORIES, WEIGHTS = "histories.safetensors", "model.safetensors"
FILES = (CONFIG, CATALOGUE, USERS, HISTORIES, WEIGHTS)
FORMAT = "muniment-recommendation-1"
WISH = "wish"
"""The prefix of the index of texts, if text is not a part."""
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
            f"{folder} has no readable {CONFIG} ({reason}); use the folder of a model that "
            "`muniment recommendation fit` wrote",
        ) from None
    return config


@contextlib.contextmanager
def damage_as_model_error(folder: Path) -> Iterator[None]:
    """Raise ModelError for the errors that damaged files of a model cause in the block."""
    try:
        yield
    except _DAMAGE as error:
        reason = "its files do not fit together"
        if isinstance(error, OSError):
            reason = f"{Path(error.filename or folder).name}: {error.strerror}"
        elif isinstance(error, ValueError | safetensors.SafetensorError):
            reason = str(error)
        message = f"the model {folder} is damaged ({reason}); fit it again"
        raise muniment.ModelError(str(folder), message) from None


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


def _decode(path: Path, type_: type[_Content]) -> _Content:
    return msgspec.json.decode(path.read_bytes(), type=type_)
