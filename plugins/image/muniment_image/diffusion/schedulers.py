"""The schedulers that a request can name, and their construction for a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import muniment

from .folders import read_json

# The class in diffusers and its options, by the value of the parameter `scheduler`.
_SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "deis": ("DEISMultistepScheduler", {}),
    "dpm": ("DPMSolverMultistepScheduler", {}),
    "dpm-karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "dpm-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpm-single": ("DPMSolverSinglestepScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "flow-euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "flow-heun": ("FlowMatchHeunDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "kdpm2": ("KDPM2DiscreteScheduler", {}),
    "kdpm2-ancestral": ("KDPM2AncestralDiscreteScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "tcd": ("TCDScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
}


def check_scheduler(folder: Path, name: str) -> None:
    """Raise ParameterError as `make_scheduler` does, from the small files of a pipeline's folder.

    A pipeline without the configuration of a scheduler passes.
    """
    path = folder / "scheduler" / "scheduler_config.json"
    if path.is_file():
        options = read_json(path)
        _check_method(name, str(options.get("_class_name")), options)


def make_scheduler(own: Any, name: str) -> Any:
    """Return a new scheduler with the noise schedule of a model's own one.

    It is new for each request, because a scheduler stores its position and earlier steps. Raises
    ParameterError for one of flow matching beside a model of another kind, or the reverse.
    """
    if name == "auto":
        return type(own).from_config(own.config)
    import diffusers

    _check_method(name, type(own).__name__, own.config)
    class_name, options = _SCHEDULERS[name]
    return getattr(diffusers, class_name).from_config(own.config, **options)


def _check_method(name: str, own_class: str, own_options: Mapping[str, Any]) -> None:
    """Raise ParameterError unless a scheduler has the method that the model was trained for."""
    if name == "auto":
        return
    is_flow = own_class.startswith("FlowMatch") or bool(
        own_options.get("use_flow_sigmas")
        or own_options.get("prediction_type") == "flow_prediction"
    )
    if is_flow != _SCHEDULERS[name][0].startswith("FlowMatch"):
        expected = "flow-euler, flow-heun" if is_flow else "ddim or euler"
        raise muniment.ParameterError(
            "scheduler",
            f"the scheduler {name} does not fit this model; use auto, or one such as {expected}",
        )
