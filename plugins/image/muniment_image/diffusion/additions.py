"""Addition of pipelines, single files, ControlNets and adapters to a home."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import muniment

from .folders import (
    CONFIG,
    INDEX,
    adapter_file,
    check_weights,
    is_pickle,
    listed,
    pickled,
    read_header,
    read_index,
    read_json,
    refuse_image_model,
)
from .hub import check_available, find
from .libraries import check_libraries, first_line, silence
from .loading import find_pipeline_class, load_controlnet, load_pipeline

Progress = Callable[[str, float], None]

TRAINING = "training.json"  # describes the training of the model, for the record
_SETTINGS = (".json", ".txt", ".model")
_NOTICES = ("LICENSE", "LICENCE", "NOTICE", "README")


def add(source: str, into: Path, progress: Progress) -> None:
    """Put the model of a path or a hub id into an empty folder. Raise ModelError.

    A pipeline, a ControlNet and an adapter are copied without pickles and code. A single file with
    a whole pipeline is converted.
    """
    check_libraries(source)
    progress("finding", 0.0)
    path = find(source)
    refuse_image_model(path)
    if path.is_dir() and (path / INDEX).is_file():
        names = [component.name for component in read_index(path).components]
        _copy(path, into, ["", *names])
        progress("checking", 0.5)
        load_pipeline(into)
    elif path.is_dir() and (path / CONFIG).is_file():
        _copy(path, into, [""])
        progress("checking", 0.5)
        load_controlnet(into)
    elif path.is_file() and is_pickle(path):
        raise pickled(path, path)
    else:
        file = adapter_file(path)
        if _is_adapter(file):
            shutil.copyfile(file, into / file.name)
            if path.is_dir() and (path / TRAINING).is_file():
                shutil.copyfile(path / TRAINING, into / TRAINING)
        else:
            progress("converting", 0.0)
            _convert(file, into)
            progress("checking", 0.5)
            load_pipeline(into)
    progress("done", 1.0)


def _copy(folder: Path, into: Path, parts: list[str]) -> None:
    """Copy the files of a folder and of the parts that its index names. Raise ModelError.

    Weights beside a pipeline's index are the same pipeline as a single file, and are not copied.
    """
    has_index = (folder / INDEX).is_file()
    for part in parts:
        if not (folder / part).is_dir():
            continue  # loading names it
        suffixes = _SETTINGS if has_index and not part else (*_SETTINGS, ".safetensors")
        if part or not has_index:
            check_weights(folder / part, folder)
        (into / part).mkdir(exist_ok=True)
        for file in sorted((folder / part).iterdir()):
            is_notice = not part and file.name.upper().startswith(_NOTICES)
            if file.is_file() and (file.suffix in suffixes or is_notice):
                shutil.copyfile(file, into / part / file.name)


def _is_adapter(file: Path) -> bool:
    return any("lora" in name.lower() for name in read_header(file))


def _convert(file: Path, into: Path) -> None:
    """Convert a single file with a whole pipeline into a pipeline's folder. Raise ModelError.

    Its configuration is that of the folder in which it lies, if it is the folder of a pipeline.
    Otherwise it is the one that diffusers knows for such a file, from the hub.
    """
    try:
        folder = _configuration(file)
        with silence():
            kind = find_pipeline_class(read_index(folder).class_name)
            if kind is None or not hasattr(kind, "from_single_file"):
                raise ValueError(f"no class of diffusers reads it as configured in {folder}")
            pipeline = kind.from_single_file(
                str(file), config=str(folder), local_files_only=True, torch_dtype=_dtype(file)
            )
            _check_filled(pipeline)
            pipeline.save_pretrained(into, safe_serialization=True)
    except muniment.ModelError:
        raise
    except Exception as error:  # each conversion raises errors of its own
        raise muniment.ModelError(
            str(file),
            f"{file} cannot be converted to a pipeline ({first_line(error)}); "
            "use a safetensors file of Stable Diffusion, or the folder of a pipeline",
        ) from error


def _dtype(file: Path) -> Any:
    """Return the number format of the floats in a file, or float32 if there are several."""
    import torch

    formats = {"F16": torch.float16, "BF16": torch.bfloat16}
    stored = {entry["dtype"] for entry in read_header(file).values() if "F" in entry["dtype"]}
    return formats.get(stored.pop(), torch.float32) if len(stored) == 1 else torch.float32


def _configuration(file: Path) -> Path:
    """Return a folder with the configuration of a single file's pipeline. Raise ModelError."""
    if (file.parent / INDEX).is_file():
        return file.parent
    from diffusers.loaders.single_file_utils import fetch_diffusers_config
    from safetensors.torch import load_file

    with silence():
        source = str(fetch_diffusers_config(load_file(file))["pretrained_model_name_or_path"])
    try:
        return _configuration_from_hub(source)
    except Exception as error:  # network errors of several libraries
        raise muniment.ModelError(
            str(file),
            f"{file} needs the configuration of {source}, which could not be fetched from the "
            f"Hugging Face hub ({type(error).__name__}); check the network, or put the file into "
            "a folder with that configuration",
        ) from error


def _configuration_from_hub(source: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    patterns = ["*.json", "*.txt", "*.model"]
    with silence():
        try:
            cached = Path(snapshot_download(source, allow_patterns=patterns, local_files_only=True))
            read_json(cached / INDEX)
            return cached
        except (LocalEntryNotFoundError, muniment.ModelError):
            check_available(source)
            return Path(snapshot_download(source, allow_patterns=patterns))


def _check_filled(pipeline: Any) -> None:
    """Raise ValueError if a component has tensors that the file did not fill."""
    import torch

    empty = [
        f"{name}.{key}"
        for name, module in pipeline.components.items()
        if isinstance(module, torch.nn.Module)
        for key, tensor in module.named_parameters()
        if tensor.is_meta
    ]
    if empty:
        raise ValueError(f"it lacks tensors of its configuration: {listed(empty)}")
