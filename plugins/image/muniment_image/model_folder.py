"""The folder of an image model: `model.json`, `model.safetensors` and the card `README.md`.

Weights are read as safetensors only, because a pickle can run code when it is opened.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import muniment

from .files import write_file
from .model_config import ModelConfig

if TYPE_CHECKING:
    import torch

    from .families.base import Family

CONFIG = "model.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
TRAINING = "training.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")


def read_config(folder: Path) -> ModelConfig:
    """Return the configuration of a model without loading it, or raise ModelError."""
    path = folder / CONFIG
    if not os.path.isdir(folder):  # `Path.is_dir` raises for a name that is too long
        raise _error(folder, "is not a folder; give the path of a model's folder")
    if not path.is_file():
        if _has_pickles(folder):
            raise _pickled(folder)
        raise _error(
            folder, f"has no {CONFIG}; give a folder that `muniment image train` has written"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("it is not an object")
        return ModelConfig.from_json(value)
    except (OSError, ValueError, RecursionError) as error:
        raise _error(path, f"cannot be used ({error}); train or copy the model again") from error


def load_model(
    folder: Path, *, family: str | None = None, device: torch.device | str = "cpu"
) -> Family:
    """Return the model of a folder with float32 weights, or raise ModelError.

    With `family`, a model of another family is refused.
    """
    import torch

    from .families import family_class

    config = read_config(folder)
    if family is not None and config.family != family:
        raise _error(folder, f"is a model of the family {config.family}; use one of {family}")
    tensors = _read_tensors(folder)
    try:
        with torch.device("meta"):  # a configuration with huge layers takes no memory
            expected = family_class(config.family)(config).state_dict()
    except ValueError as error:
        raise _error(
            folder / CONFIG, f"cannot be used ({error}); train or copy the model again"
        ) from error
    _check_tensors(folder / WEIGHTS, expected, tensors)
    model = family_class(config.family)(config)
    model.load_state_dict(tensors)
    return model.to(device).eval().requires_grad_(False)


def save_model(model: Family, folder: Path, *, card: str = "", half: bool = True) -> None:
    """Write a model's folder, with float16 weights if `half`.

    Each file replaces an older one at once. The weights are checked first: a NaN, or a number
    beyond the range of float16, raises ModelError and changes no file.
    """
    import torch
    from safetensors.torch import save

    tensors = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor)
        .detach()
        .cpu()
        .contiguous()
        for name, tensor in model.state_dict().items()
    }
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise _error(folder, f"was not written, because {name} has weights that are not finite")
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / WEIGHTS, save(tensors, metadata={"family": model.name}))
    if card:
        write_file(folder / CARD, card.encode())
    text = json.dumps(model.config.to_json(), ensure_ascii=False, indent=1)
    write_file(folder / CONFIG, f"{text}\n".encode())


def _read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a folder as float32."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = folder / WEIGHTS
    if not path.is_file():
        raise (
            _pickled(folder)
            if _has_pickles(folder)
            else _error(folder, f"has no {WEIGHTS}; copy the model again")
        )
    try:
        tensors = load(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise _error(
            path, f"is not a whole safetensors file ({error}); copy the model again"
        ) from error
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def _check_tensors(
    path: Path, expected: dict[str, torch.Tensor], tensors: dict[str, torch.Tensor]
) -> None:
    """Raise ModelError unless the names, shapes and types match and all numbers are finite."""
    import torch

    if missing := sorted(expected.keys() - tensors.keys()):
        raise _error(path, f"lacks {len(missing)} tensors, such as {missing[0]}; copy it again")
    if extra := sorted(tensors.keys() - expected.keys()):
        raise _error(
            path,
            f"has {len(extra)} tensors that its family does not have, such as {extra[0]}; "
            "use the weights that belong to model.json",
        )
    for name, tensor in tensors.items():
        wanted = expected[name]
        if tensor.shape != wanted.shape or tensor.dtype != wanted.dtype:
            raise _error(
                path,
                f"has the tensor {name} of shape {tuple(tensor.shape)} and type {tensor.dtype}, "
                f"not {tuple(wanted.shape)} and {wanted.dtype}; "
                "use the weights that belong to model.json",
            )
        if not torch.isfinite(tensor).all():
            raise _error(path, f"has weights that are not finite in {name}; use another checkpoint")


def _has_pickles(folder: Path) -> bool:
    return any(file for pattern in _PICKLES for file in folder.glob(pattern))


def _pickled(folder: Path) -> muniment.ModelError:
    return _error(
        folder,
        "has its weights as pickles, which can run code when opened; "
        "convert them to safetensors first",
    )


def _error(path: Path, message: str) -> muniment.ModelError:
    return muniment.ModelError(str(path), f"{path} {message}")
