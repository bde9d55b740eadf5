"""Loading of pipelines and ControlNets from local folders.

Each component with weights is loaded by itself, because only then the library reports the tensors
that a file lacks. It fills them with random numbers otherwise.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import muniment

from .folders import (
    CONFIG,
    FETCH_AGAIN,
    Component,
    PipelineIndex,
    adapter_file,
    check_weights,
    listed,
    read_header,
    read_index,
    read_json,
    variant_of,
)
from .libraries import check_libraries, first_line, silence


def load_pipeline(folder: Path) -> Any:
    """Return the pipeline of a folder as one from text to images, in the memory of the processor.

    Weights are float32 without CUDA. With it they are bfloat16 if they are stored so, and
    float16 otherwise. Raises ModelError.
    """
    check_libraries(str(folder))
    index = read_index(folder)
    with silence():
        pipeline = _for_text_to_image(folder, _read_pipeline(folder, index))
        pipeline.set_progress_bar_config(disable=True)
    return pipeline


def load_controlnet(path: Path) -> Any:
    """Return the ControlNet of a folder, with weights as in `load_pipeline`. Raise ModelError."""
    if not (path / CONFIG).is_file():
        raise muniment.ModelError(
            str(path), f"{path} has no {CONFIG}; use the folder of a ControlNet in diffusers format"
        )
    import diffusers

    name = str(read_json(path / CONFIG).get("_class_name"))
    with silence():
        kind = getattr(diffusers, name, None) if "ControlNet" in name else None
        if not isinstance(kind, type) or not issubclass(kind, diffusers.ModelMixin):
            raise muniment.ModelError(
                str(path), f"{path} is a {name}, not a ControlNet; use the folder of a ControlNet"
            )
        if not _has_weights(path, path):
            raise muniment.ModelError(
                str(path), f"{path} has no weights (*.safetensors); {FETCH_AGAIN}"
            )
        return _load_model(path, kind, _dtype(path))


def check_part(path: Path) -> None:
    """Raise ModelError unless a ControlNet or an adapter in a folder can be read."""
    check_libraries(str(path))
    if (path / CONFIG).is_file():
        load_controlnet(path)
    else:
        read_header(adapter_file(path))


def pipeline_arguments(pipeline: Any) -> dict[str, Any]:
    """Return the arguments of a pipeline's call, or of its class, with their defaults."""
    kind = pipeline if isinstance(pipeline, type) else type(pipeline)
    parameters = inspect.signature(kind.__call__).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


def find_pipeline_class(class_name: str) -> Any:
    """Return the class of diffusers with this name, or None if it is not one of a pipeline."""
    import diffusers

    kind = getattr(diffusers, class_name, None)
    return (
        kind if isinstance(kind, type) and issubclass(kind, diffusers.DiffusionPipeline) else None
    )


def device() -> Any:
    """Return the device of models: the first CUDA device, or else the processor."""
    import torch

    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def _read_pipeline(folder: Path, index: PipelineIndex) -> Any:
    """Return the pipeline of a folder in its own class. Raise ModelError."""
    kind = _pipeline_class(folder, index.class_name)
    classes = {item.name: _component_class(folder, item) for item in index.components}
    dtype = _dtype(folder)
    try:
        models = {
            name: _load_model(folder / name, component_class, dtype)
            for name, component_class in classes.items()
            if (folder / name).is_dir() and _has_weights(folder, folder / name)
        }
        return kind.from_pretrained(
            folder,
            **models,
            torch_dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except muniment.ModelError:
        raise
    except Exception as error:  # each class raises errors of its own
        raise _unusable(folder, "a diffusers pipeline", error) from error


def _for_text_to_image(folder: Path, pipeline: Any) -> Any:
    """Return a pipeline with the same components that draws from texts. Raise ModelError."""
    import diffusers

    try:
        return diffusers.AutoPipelineForText2Image.from_pipe(pipeline)
    except ValueError as error:
        if "prompt" in pipeline_arguments(pipeline):  # a pipeline without sibling classes
            return pipeline
        raise muniment.ModelError(
            str(folder),
            f"{folder} is a {type(pipeline).__name__}, which draws no pictures from texts; "
            "use a text-to-image pipeline",
        ) from error


def _pipeline_class(folder: Path, class_name: str) -> Any:
    kind = find_pipeline_class(class_name)
    if kind is None:
        raise muniment.ModelError(
            str(folder),
            f"{folder} needs the pipeline {class_name}, which this version of diffusers lacks; "
            "use another model, or another version of diffusers",
        )
    return kind


def _component_class(folder: Path, component: Component) -> Any:
    """Return the class of a component, from diffusers or transformers alone. Raise ModelError."""
    from diffusers import pipelines

    library = component.library
    if library in ("diffusers", "transformers"):
        kind = getattr(importlib.import_module(library), component.class_name, None)
    else:
        kind = getattr(getattr(pipelines, library, None), component.class_name, None)
    if not isinstance(kind, type):
        raise muniment.ModelError(
            str(folder),
            f"{folder} needs {library}.{component.class_name} for its component {component.name}, "
            "which diffusers and transformers lack here; use another model",
        )
    return kind


def _has_weights(model: Path, folder: Path) -> bool:
    check_weights(folder, model)
    return any(folder.glob("*.safetensors"))


def _load_model(folder: Path, kind: Any, dtype: Any) -> Any:
    """Return a component with its weights. Raise ModelError for tensors that do not fit it."""
    options = {"dtype": dtype} if _is_transformers(kind) else {"torch_dtype": dtype}
    try:
        model, report = kind.from_pretrained(
            folder,
            variant=variant_of(folder),
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
    except Exception as error:  # each class raises errors of its own
        raise _unusable(folder, f"a {kind.__name__}", error) from error
    for fault, names in {
        "lacks tensors that its config.json requires": report["missing_keys"],
        "has tensors of other shapes than its config.json requires": report["mismatched_keys"],
    }.items():
        if names:
            keys = [name if isinstance(name, str) else str(name[0]) for name in names]
            raise muniment.ModelError(
                str(folder), f"{folder} {fault}: {listed(keys)}; {FETCH_AGAIN}"
            )
    _check_finite(folder, model)
    return model.eval()


def _check_finite(folder: Path, model: Any) -> None:
    import torch

    damaged = [
        name
        for name, tensor in model.named_parameters()
        if tensor.numel() and not torch.isfinite(torch.stack(torch.aminmax(tensor.detach()))).all()
    ]
    if damaged:
        raise muniment.ModelError(
            str(folder),
            f"{folder} has weights that are not finite numbers, in {listed(damaged)}; "
            f"{FETCH_AGAIN}",
        )


def _is_transformers(kind: type) -> bool:
    from transformers import PreTrainedModel

    return issubclass(kind, PreTrainedModel)


def _dtype(folder: Path) -> Any:
    import torch

    if device().type == "cpu":
        return torch.float32  # half precision is emulated on most processors
    files = [*folder.glob("*.safetensors"), *folder.glob("*/*.safetensors")]
    stored = {entry["dtype"] for file in files for entry in read_header(file).values()}
    return torch.bfloat16 if "BF16" in stored else torch.float16


def _unusable(path: Path, kind: str, error: Exception) -> muniment.ModelError:
    return muniment.ModelError(
        str(path),
        f"{path} cannot be used as {kind} ({first_line(error)}); "
        f"use another model, or {FETCH_AGAIN}",
    )
