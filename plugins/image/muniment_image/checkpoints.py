"""The checkpoint of a training: one safetensors file, replaced atomically.

The tensors are the weights, their moving average, the states of the optimizers and the losses. The
metadata of the file has the step and the options as JSON. Nothing is pickled.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

import muniment

from .files import unfinished

FILE = "checkpoint.safetensors"
FORMAT = "muniment-image-checkpoint/1"
_MARKER = "muniment"


class CheckpointError(muniment.MunimentError):
    """A checkpoint that cannot be written or read."""


class Checkpoint(NamedTuple):
    """The state of a training after a number of steps, and the options that it was started with."""

    step: int
    options: dict[str, Any]
    state: dict[str, Any]
    tensors: dict[str, Tensor]


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint of a folder. Raise CheckpointError, and keep the old one, on failure.

    The new file is written to disk in a temporary folder before it is renamed.
    """
    path = folder / FILE
    # safetensors writes under a random name beside the file. A killed process leaves that file in
    # the temporary folder, which `remove_abandoned` removes.
    temporary = unfinished(path)
    written = temporary / FILE
    description = {
        "format": FORMAT,
        "step": checkpoint.step,
        "options": checkpoint.options,
        "state": checkpoint.state,
    }
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()
    }
    try:
        temporary.mkdir()
        save_file(tensors, written, metadata={_MARKER: json.dumps(description)})
        # The folder was made as the umask allows. safetensors makes files for their owner only.
        written.chmod(temporary.stat().st_mode & 0o666)
        with written.open("rb") as file:
            os.fsync(file.fileno())
        written.replace(path)
        muniment.sync_folder(folder)
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) else _system_error(error)
        advice = "the previous one is unchanged" if path.exists() else "make space"
        raise CheckpointError(
            f"the checkpoint {path} cannot be written: {reason}; {advice}"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load(folder: Path) -> Checkpoint:
    """Return the checkpoint of a folder. Raise CheckpointError if it is missing or damaged."""
    path = folder / FILE
    description = read_description(folder)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise damaged(path, error) from None
    return Checkpoint(description["step"], description["options"], description["state"], tensors)


def read_description(folder: Path) -> Mapping[str, Any]:
    """Return step, options and state of a checkpoint without its tensors. Raise as `load` does."""
    path = folder / FILE
    if not path.is_file():
        raise CheckpointError(
            f"the folder {folder} has no {FILE}; start the training without --resume"
        )
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {}).get(_MARKER, "null"))
        if description["format"] != FORMAT:
            raise ValueError(f"the format is {description['format']!r}")
        if not all(isinstance(description[name], dict) for name in ("options", "state")):
            raise ValueError("the options are missing")
        step = description["step"]
        if type(step) is not int or not 0 <= step <= description["options"]["steps"]:
            raise ValueError(f"the step is {step!r:.40}")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from None
    result: dict[str, Any] = description
    return result


def remove(folder: Path) -> None:
    """Remove the checkpoint of a folder, if it has one. Raises CheckpointError."""
    try:
        (folder / FILE).unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"the checkpoint {folder / FILE} cannot be removed: {error.strerror}; the model is "
            "complete, so remove that file"
        ) from None


def _system_error(error: SafetensorError) -> str:
    """Return the system's text in an error such as `I/O error: No space left (os error 28)`."""
    return str(error).rpartition("I/O error: ")[2].partition(" (os error")[0]


def damaged(path: Path, error: Exception) -> CheckpointError:
    """Return the error for a checkpoint with invalid content."""
    return CheckpointError(
        f"{path} is not a whole checkpoint of a training ({error}); start the training again"
    )
