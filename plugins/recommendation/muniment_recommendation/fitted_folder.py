"""Write the folder of a fitted model, with the training to record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import muniment

from .data.writing import new_folder
from .fitting import FittedModel
from .model_folder import save


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
            **{
                name: list(value) if isinstance(value, tuple) else value
                for name, value in options.options.items()
            },
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
