"""Checks of the folder of a pipeline, a ControlNet or an adapter, before a library reads it.

A pipeline's folder has a model_index.json, which names the class of each component, and a folder
for each component. Only weights in safetensors files are accepted, and no code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import muniment
from muniment_image.model_folder import CONFIG as IMAGE_CONFIG

INDEX = "model_index.json"
CONFIG = "config.json"
FETCH_AGAIN = "fetch the model again"
VARIANT = "fp16"

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
# The names of weights that diffusers and transformers read.
_STEMS = ("diffusion_pytorch_model", "model")


@dataclass(frozen=True, slots=True)
class Component:
    """A component of a pipeline: its name, and the library and the class that it names."""

    name: str
    library: str
    class_name: str


@dataclass(frozen=True, slots=True)
class PipelineIndex:
    """The content of a model_index.json. Components that are switched off are not listed."""

    class_name: str
    components: tuple[Component, ...]


def read_index(folder: Path) -> PipelineIndex:
    """Return the index of a pipeline's folder. Raise ModelError if it is no such folder.

    A class of the model's own is refused, because it would need the model's code.
    """
    path = folder / INDEX
    if folder.is_file():
        raise muniment.ModelError(
            str(folder),
            f"{folder} is a file; add it with `muniment models add`, which makes a folder of it",
        )
    refuse_image_model(folder)
    if not path.is_file():
        raise muniment.ModelError(
            str(folder),
            f"{folder} has no {INDEX}, so it is not the folder of a diffusers pipeline or was "
            f"only half written; give another folder, or {FETCH_AGAIN}",
        )
    index = read_json(path)
    class_name, components = index.pop("_class_name", None), []
    if not isinstance(class_name, str):
        raise _own_code(folder, "its pipeline")
    for name, value in index.items():
        if not isinstance(value, list) or value == [None, None]:
            continue  # an option of the pipeline, or a component that is switched off
        if len(value) != 2 or not all(isinstance(item, str) for item in value):
            raise muniment.ModelError(
                str(path), f"{path}: {name} must name a library and a class; {FETCH_AGAIN}"
            )
        library, component_class = value
        if (folder / name / f"{library}.py").exists() or "." in library:
            raise _own_code(folder, f"its component {name}")
        components.append(Component(name, library, component_class))
    return PipelineIndex(class_name, tuple(components))


def refuse_image_model(path: Path) -> None:
    """Raise ModelError for a folder like those that `muniment image train` writes."""
    if (path / IMAGE_CONFIG).is_file():
        raise muniment.ModelError(
            str(path),
            f"{path} has a {IMAGE_CONFIG}, so it is not the folder of a diffusers model; give "
            "another folder",
        )


def is_part(path: Path) -> bool:
    """Return whether a path is the folder of a ControlNet or an adapter, not of a pipeline."""
    return not (path / INDEX).is_file() and any(path.glob("*.safetensors"))


def check_weights(folder: Path, model: Path) -> None:
    """Raise ModelError unless the weights in a folder are whole safetensors files.

    A folder without any weights passes, such as the one of a tokenizer. `model` is the folder that
    messages name.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files and any(file.suffix in _PICKLES for file in folder.iterdir()):
        raise pickled(model, folder)
    for file in files:
        read_header(file)


def check_complete(folder: Path) -> None:
    """Raise ModelError if files of a component, a ControlNet or an adapter are missing.

    A download that was interrupted leaves such a folder. Each file of a download is whole.
    """
    names = {file.name for file in folder.glob("*")}
    expected: set[str] = set()
    for index in folder.glob("*.safetensors.index.json"):
        expected.update(map(str, dict(read_json(index).get("weight_map", {})).values()))
    has_weights = any(name.endswith(".safetensors") for name in names)
    if not names or expected - names or (CONFIG in names and not has_weights):
        raise muniment.ModelError(str(folder), f"{folder} is incomplete; {FETCH_AGAIN}")


def pickled(model: Path, folder: Path) -> muniment.ModelError:
    """Return the error for weights that are pickles, in a folder or a file of the model."""
    return muniment.ModelError(
        str(model),
        f"{folder} holds its weights as pickles, which can run code when opened; "
        "convert them to safetensors first",
    )


def is_pickle(file: Path) -> bool:
    """Return whether the name of a file is one of pickled weights."""
    return file.suffix in _PICKLES


def variant_of(folder: Path) -> str | None:
    """Return the variant of the weights in a component's folder, or None for the plain ones."""
    names = [file.name for file in folder.glob("*.safetensors")]
    plain = [name for name in names if name.startswith(_STEMS) and f".{VARIANT}" not in name]
    return VARIANT if names and not plain else None


def read_header(file: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return the entries of a safetensors file by tensor. Raise ModelError unless it is whole."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 + length:
                raise ValueError("header cut off")
            header = json.loads(stream.read(length))
            entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
            end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
            if size < 8 + length + end:
                raise ValueError("tensors cut off")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise muniment.ModelError(
            str(file), f"{file} is not a whole safetensors file ({error}); {FETCH_AGAIN}"
        ) from error
    return entries


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file. Raise ModelError for anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(value, dict):
            raise ValueError("not an object")
    except (OSError, ValueError, RecursionError) as error:
        raise muniment.ModelError(
            str(path),
            f"{path} cannot be read as a JSON object ({error}); correct the file, or {FETCH_AGAIN}",
        ) from error
    return value


def adapter_file(path: Path) -> Path:
    """Return the safetensors file of an adapter, which is a file or a folder with one.

    Raises ModelError for anything else.
    """
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    if not files or files[0].suffix != ".safetensors":
        candidates = [path] if path.is_file() else list(path.iterdir())
        if any(is_pickle(file) for file in candidates):
            raise pickled(path, path)
        raise muniment.ModelError(
            str(path), f"{path} has no adapter (*.safetensors); use the file of a LoRA"
        )
    if len(files) > 1:
        raise muniment.ModelError(
            str(path), f"{path} has {len(files)} safetensors files; use the path of one of them"
        )
    return files[0]


def listed(names: Iterable[str]) -> str:
    """Return three of the names, sorted, and the number of the others."""
    ordered = sorted(names)
    more = f" and {len(ordered) - 3:,} more" if len(ordered) > 3 else ""
    return ", ".join(ordered[:3]) + more


def _own_code(folder: Path, part: str) -> muniment.ModelError:
    return muniment.ModelError(
        str(folder),
        f"{folder} names code of its own for {part}, and code of a model is never run; "
        "use a model whose classes are those of diffusers and transformers",
    )
