"""Write the folder of a fitted model, with the training to record."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

import muniment
from muniment_recommendation.data.interactions import Interactions
from muniment_recommendation.data.writing import new_folder
from muniment_recommendation.fitting.fitted_model import FittedModel
from muniment_recommendation.models.text import Text

from .files import (
    CATALOGUE,
    CONFIG,
    FORMAT,
    HISTORIES,
    USERS,
    WEIGHTS,
    WISH,
)


def write_fitted(
    model: FittedModel,
    out: Path,
    *,
    data: Path,
    files: Sequence[str],
    feedback: int | None = None,
) -> muniment.Training:
    """Write a model into a new folder, and return the training to record.

    `feedback` is the number of rows from recorded feedback, if it was used. The folder appears
    whole or not at all. Raises DataError if it exists or cannot be written.
    """
    with new_folder(out) as folder:
        save(model, folder)
        training = _training(model, folder, data, files, feedback)
        muniment.write_training_json(training)
    return replace(training, model=out)


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
        arrays |= {f"{WISH}.{name}": array for name, array in model.text.arrays().items()}
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


def _history_arrays(data: Interactions) -> dict[str, NDArray[Any]]:
    disliked = [data.disliked_by(number) for number in range(len(data.users))]
    return {
        "offsets": data.offsets.astype(np.int64),
        "items": data.items.astype(np.int32),
        "times": data.times.astype(np.int64),
        "disliked_offsets": np.cumsum([0, *map(len, disliked)], dtype=np.int64),
        "disliked": np.concatenate([np.empty(0, np.int32), *disliked]).astype(np.int32),
    }


def _json(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)
    return f"{text}\n".encode()


def _training(
    model: FittedModel, folder: Path, data: Path, files: Sequence[str], feedback: int | None
) -> muniment.Training:
    options = model.options
    return muniment.Training(
        model=folder,
        counts={
            "examples": len(model.interactions.items),
            "users": len(model.interactions.users),
            "items": len(model.catalogue),
            **({} if feedback is None else {"feedback": feedback}),
        },
        parameters={
            "family": options.family,
            "seed": options.seed,
            **options.options,
            **{
                f"{part['family']}_{name}": value
                for part in model.tuned
                for name, value in {"weight": part["weight"], **part["values"]}.items()
            },
        },
        data_digest=model.data_digest,
        data_folder=data,
        data_files=files,
        environment={name: version(name) for name in ("implicit", *model.libraries)},
    )
