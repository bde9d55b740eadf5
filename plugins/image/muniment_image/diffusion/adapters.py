"""LoRA adapters, which change the weights of a pipeline during one request."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import muniment

from .folders import adapter_file, listed, read_header
from .libraries import first_line, silence

_NAME = "muniment"
_ALPHA = (".alpha", "_alpha")


@contextlib.contextmanager
def applied_lora(pipeline: Any, path: Path | None, scale: float) -> Iterator[None]:
    """Apply an adapter in the context, and remove all of it afterwards.

    Without a path nothing is done. Raises ModelError unless the file is a LoRA and each of its
    tensors fits the pipeline, because diffusers omits other tensors without an error.
    """
    if path is None:
        yield
        return
    file = adapter_file(path)
    read_header(file)
    if not hasattr(pipeline, "load_lora_weights"):
        raise muniment.ModelError(
            str(path), f"the model takes no LoRA, so {file.name} cannot be applied; remove lora"
        )
    modules = _modules(pipeline)
    try:
        _load(pipeline, file, modules)
        pipeline.set_adapters([_NAME], [scale])
        yield
    finally:
        pipeline.unload_lora_weights()


def _load(pipeline: Any, file: Path, modules: dict[str, Any]) -> None:
    source = {
        "pretrained_model_name_or_path_or_dict": str(file.parent),
        "weight_name": file.name,
        "use_safetensors": True,
        "local_files_only": True,
    }
    if _is_for_unet(pipeline):
        source["unet_config"] = pipeline.unet.config
    try:
        with silence():
            expected = pipeline.lora_state_dict(**source)
            expected = expected[0] if isinstance(expected, tuple) else expected
            source.pop("unet_config", None)
            folder = source.pop("pretrained_model_name_or_path_or_dict")
            pipeline.load_lora_weights(folder, adapter_name=_NAME, **source)
    except Exception as error:  # each conversion raises errors of its own
        reason = first_line(error)
        if "not found in the base model" in str(error):
            reason = "it changes layers that the model lacks"
        raise _foreign(file, f"cannot be applied to this model ({reason})") from error
    _check_applied(file, expected, modules)


def _check_applied(file: Path, expected: dict[str, Any], modules: dict[str, Any]) -> None:
    """Raise ModelError unless the adapter's tensors are exactly those in the modules.

    Tensors are compared by content, because their names are converted several times.
    """
    weights = {name: tensor for name, tensor in expected.items() if not name.endswith(_ALPHA)}
    loaded = [
        parameter
        for module in modules.values()
        for name, parameter in module.named_parameters()
        if f".{_NAME}." in name
    ]
    dtypes = {parameter.dtype for parameter in loaded}
    applied = Counter(_digest(parameter, parameter.dtype) for parameter in loaded)
    unused = [
        name
        for name, tensor in weights.items()
        if not any(applied[_digest(tensor, dtype)] for dtype in dtypes)
    ]
    dropped = [name for name in read_header(file) if "dora_scale" in name]
    if not weights or unused or dropped:
        names = listed([*unused, *dropped]) or "no tensor of a LoRA"
        raise _foreign(file, f"has tensors that do not belong to this model ({names})")
    if len(loaded) != len(weights):
        raise _foreign(file, "lacks a part of its layers")


def _digest(tensor: Any, dtype: Any) -> tuple[tuple[int, ...], str]:
    import torch

    content = tensor.detach().to("cpu", dtype).contiguous().view(torch.uint8).numpy().tobytes()
    return tuple(tensor.shape), hashlib.sha256(content).hexdigest()


def _modules(pipeline: Any) -> dict[str, Any]:
    """Return the modules of a pipeline that an adapter can change, by name."""
    names = getattr(pipeline, "_lora_loadable_modules", ())
    modules = {name: getattr(pipeline, name, None) for name in names}
    return {name: module for name, module in modules.items() if module is not None}


def _is_for_unet(pipeline: Any) -> bool:
    return "unet" in _modules(pipeline)


def _foreign(file: Path, reason: str) -> muniment.ModelError:
    return muniment.ModelError(
        str(file), f"the adapter {file.name} {reason}; use a LoRA that was made for this model"
    )
