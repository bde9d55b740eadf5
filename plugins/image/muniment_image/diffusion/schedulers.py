"""The schedulers that a request can name, and their construction for a model."""

from __future__ import annotations

from typing import Any

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


class UnsuitableScheduler(ValueError):
    """A scheduler whose method is not the one that the model was trained for."""


def make_scheduler(own: Any, name: str) -> Any:
    """Return a new scheduler with the noise schedule of a model's own one.

    It is new for each request, because a scheduler stores its position and earlier steps. Raises
    UnsuitableScheduler for one of flow matching beside a model of another kind, or the reverse.
    """
    if name == "auto":
        return type(own).from_config(own.config)
    import diffusers

    class_name, options = _SCHEDULERS[name]
    kind = getattr(diffusers, class_name)
    if _is_flow(own) != class_name.startswith("FlowMatch"):
        expected = "flow-euler, flow-heun" if _is_flow(own) else "ddim or euler"
        raise UnsuitableScheduler(
            f"the scheduler {name} does not fit this model; use auto, or one such as {expected}"
        )
    return kind.from_config(own.config, **options)


def _is_flow(scheduler: Any) -> bool:
    options = scheduler.config
    return type(scheduler).__name__.startswith("FlowMatch") or bool(
        options.get("use_flow_sigmas") or options.get("prediction_type") == "flow_prediction"
    )
