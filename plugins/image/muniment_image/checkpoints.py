"""The checkpoint of a training: one safetensors file, replaced atomically.

The tensors are the weights, their moving average, the states of the optimizers and the losses. The
metadata of the file has the step and the options as JSON. Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

import muniment

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

    The new file is written to disk under another name before it is renamed.
    """
    path = folder / FILE
    temporary = folder / f".{FILE}.{os.getpid()}"
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
        save_file(tensors, temporary, metadata={_MARKER: json.dumps(description)})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(folder)
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        kept = "the previous one is unchanged" if path.exists() else "there is none yet"
        raise CheckpointError(
            f"the checkpoint {path} cannot be written: {reason}; {kept}"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def load(folder: Path) -> Checkpoint:
    """Return the checkpoint of a folder. Raise CheckpointError if it is missing or damaged."""
    path = folder / FILE
    description = read_description(folder)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from None
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
        if not isinstance(description["step"], int):
            raise ValueError("the step is missing")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from None
    result: dict[str, Any] = description
    return result


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder during the block. Raise UsageError if another process has locked it.

    The lock is that of the open folder, so a killed process leaves nothing. Windows has none.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise muniment.UsageError(
            f"another process trains into {folder}; wait for it or use another folder"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def remove_abandoned(folder: Path) -> None:
    """Remove the unfinished files of a killed training. The folder must be locked."""
    for pattern in (".*.safetensors.*", ".*.png.*", ".*.csv.*", ".*.json.*", ".*.md.*"):
        for path in folder.rglob(pattern):
            if path.suffix[1:].isdigit():
                path.unlink()


def write_file(path: Path, data: bytes) -> None:
    """Replace a file: write it to disk under another name and rename it. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Write a folder to disk, so that a crash does not undo a rename in it."""
    with contextlib.suppress(OSError):  # not every system can open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} is not a whole checkpoint of a training ({error}); start the training again"
    )
