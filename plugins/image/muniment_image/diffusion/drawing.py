"""Drawing of one picture with a loaded pipeline."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import muniment
from muniment_image.memory import is_out_of_memory

from .canvas import Canvas, Pixels, paste
from .libraries import first_line, silence
from .loading import device, pipeline_arguments
from .prompts import check_length
from .schedulers import make_scheduler


class DrawingError(Exception):
    """A request without a picture. The message is a sentence for the user."""


def draw(
    pipeline: Any,
    scheduler: Any,
    controlnet: Any,
    request: muniment.Request,
    settings: Mapping[str, Any],
    pixels: Mapping[str, Pixels],
) -> Pixels:
    """Return the pixels [H, W, 3] of a request's picture. Raise DrawingError or UsageError.

    `scheduler` is the model's own one, and `settings` are the values of `defaults.complete`.
    """
    values = request.parameters
    with silence():
        check_length(pipeline, request.prompt, "prompt")
        check_length(pipeline, values.negative_prompt, "negative_prompt")
    task = _task_pipeline(pipeline, controlnet, pixels)
    task.scheduler = make_scheduler(scheduler, values.scheduler)
    canvas = Canvas(settings["width"], settings["height"], _multiple(pipeline))
    arguments = _arguments(task, request, settings, pixels, canvas)
    with _reproducible(request.seed) as generator:
        drawn = _result(_call(task, {**arguments, "generator": generator}, values.offload))
    picture = canvas.cut(drawn)
    if "mask" in pixels:
        return paste(picture, canvas.fit(pixels["init"]), canvas.fit(pixels["mask"]))
    return picture


def initial_seed(seed: int) -> int:
    """Return a seed for torch, which ignores the upper 32 bits of a seed.

    Smaller seeds are themselves, so that they draw the pictures that they draw in diffusers.
    """
    if seed < 1 << 32:
        return seed
    return int.from_bytes(hashlib.sha256(seed.to_bytes(8)).digest()[:4])


def _task_pipeline(pipeline: Any, controlnet: Any, pixels: Mapping[str, Pixels]) -> Any:
    """Return a pipeline with the same components, for the task that the inputs imply."""
    import diffusers

    task, kind = "draw pictures from texts", "AutoPipelineForText2Image"
    if "mask" in pixels:
        task, kind = "draw into a mask", "AutoPipelineForInpainting"
    elif "init" in pixels:
        task, kind = "begin with a picture", "AutoPipelineForImage2Image"
    elif controlnet is None:
        return pipeline
    options = {} if controlnet is None else {"controlnet": controlnet}
    try:
        with silence():
            result = getattr(diffusers, kind).from_pipe(pipeline, **options)
    except Exception as error:
        beside = "" if controlnet is None else " with this ControlNet"
        raise DrawingError(
            f"this model cannot {task}{beside}; use another model, or remove the input"
        ) from error
    result.set_progress_bar_config(disable=True)
    return result


def _arguments(
    task: Any,
    request: muniment.Request,
    settings: Mapping[str, Any],
    pixels: Mapping[str, Pixels],
    canvas: Canvas,
) -> dict[str, Any]:
    """Return the arguments of the pipeline's call. Raise DrawingError for one it does not take."""
    values, accepted = request.parameters, pipeline_arguments(task)
    width, height = canvas.outer
    arguments: dict[str, Any] = {
        "prompt": request.prompt,
        "num_inference_steps": settings["steps"],
        "output_type": "np",
    }
    if "clean_caption" in accepted:  # by default it depends on other installed packages
        arguments["clean_caption"] = False
    if settings["guidance"] is not None:
        arguments["guidance_scale"] = settings["guidance"]
    if values.negative_prompt:
        if not _takes_negative_prompt(task, accepted):
            raise muniment.ParameterError(
                "negative_prompt", "negative_prompt has no effect on this model; remove it"
            )
        arguments["negative_prompt"] = values.negative_prompt
    if "init" in pixels:
        arguments["image"] = canvas.place(pixels["init"])
        arguments["strength"] = settings["strength"]
    if "mask" in pixels:
        arguments["mask_image"] = canvas.place(pixels["mask"])
    if "control" in pixels:
        name = "control_image" if "control_image" in accepted else "image"
        arguments[name] = canvas.place(pixels["control"])
        arguments["controlnet_conditioning_scale"] = values.control_scale
    refused = [name for name in arguments if name not in accepted]
    if refused:
        names = {"guidance_scale": "guidance", "num_inference_steps": "steps"}
        raise DrawingError(
            f"the {type(task).__name__} of this model has no {names.get(refused[0], refused[0])}; "
            "remove it, or use another model"
        )
    sides = {"width": width, "height": height}
    return arguments | {name: side for name, side in sides.items() if name in accepted}


def _takes_negative_prompt(task: Any, accepted: Mapping[str, Any]) -> bool:
    """Return whether a pipeline uses a negative prompt. Those with distilled guidance do not."""
    unet = getattr(task, "unet", None)
    is_distilled = unet is not None and unet.config.get("time_cond_proj_dim") is not None
    return not is_distilled and (accepted.get("true_cfg_scale") or 2) > 1


def _call(task: Any, arguments: dict[str, Any], offload: str) -> Any:
    """Return the result of a pipeline. Raise DrawingError if it fails."""
    import torch

    try:
        with silence(), torch.inference_mode(), _placed(task, offload):
            return task(**arguments)
    except Exception as error:  # each pipeline raises errors of its own
        if is_out_of_memory(error):
            raise DrawingError(
                "the memory does not suffice for this picture; use a smaller width and height, or "
                "offload=sequential on an accelerator"
            ) from error
        raise DrawingError(
            f"diffusers cannot draw this picture ({first_line(error)}); change the parameters"
        ) from error


def _result(result: Any) -> Pixels:
    """Return the pixels [H, W, 3] of a pipeline's result. Raise DrawingError without a picture."""
    images = np.asarray(getattr(result, "images", None))
    if images.ndim != 4 or images.shape[0] != 1 or images.shape[3] != 3:
        raise DrawingError("this pipeline did not return one RGB picture; use another model")
    flagged = getattr(result, "nsfw_content_detected", None)
    if flagged is not None and any(flagged):
        raise DrawingError(
            "the safety checker of the model flagged the picture; change the prompt or the seed"
        )
    if not np.isfinite(images).all():
        raise DrawingError(
            "the model computed values that are not numbers; use less guidance, or another "
            "scheduler"
        )
    return np.asarray((images[0] * 255).round().clip(0, 255), dtype=np.uint8)


@contextlib.contextmanager
def _placed(task: Any, offload: str) -> Iterator[None]:
    """Put a pipeline on its device in the context. Without an accelerator nothing is offloaded."""
    place = device()
    if offload == "none" or place.type == "cpu":
        task.to(place)
        yield
        return
    try:
        if offload == "model":
            task.enable_model_cpu_offload(device=place)
        else:
            task.enable_sequential_cpu_offload(device=place)
        yield
    finally:
        task.remove_all_hooks()


@contextlib.contextmanager
def _reproducible(seed: int) -> Iterator[Any]:
    """Yield a generator on the processor, so that a seed has the same noise on every device.

    The global generator has the seed, too, because some schedulers draw from it.
    """
    import torch

    number = initial_seed(seed)
    with torch.random.fork_rng(), torch.backends.cudnn.flags(enabled=True, deterministic=True):
        torch.manual_seed(number)
        yield torch.Generator("cpu").manual_seed(number)


def _multiple(pipeline: Any) -> int:
    """Return the number of which the sides of a canvas must be multiples."""
    # Most pipelines check for a multiple of 8, whatever their factor is.
    factor = math.lcm(8, int(getattr(pipeline, "vae_scale_factor", 8)))
    transformer = getattr(pipeline, "transformer", None)
    if transformer is None:
        return factor
    # Transformers divide latent pictures into patches. Flux packs 2 x 2 without stating it.
    patch = getattr(transformer.config, "patch_size", None) or 1
    return factor * max(2, int(patch))
