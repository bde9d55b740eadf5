"""Write the folder of a fitted model, with the training to record."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import muniment

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
    whole or not at all. Raises UsageError if it exists or cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
            folder = Path(temporary) / "model"
            folder.mkdir()
            save(model, folder)
            muniment.write_training_json(_training(model, folder, data, files, feedback))
            if out.exists():
                raise muniment.UsageError(f"{out} exists already; use the path of a new folder")
            shutil.move(folder, out)
    except OSError as error:
        raise muniment.UsageError(
            f"the model cannot be written into {out}: {error.strerror}; use another folder"
        ) from None
    return _training(model, out, data, files, feedback)


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
