"""Graphs of ComfyUI: `prompt`, which was executed, and `workflow`, which the editor opens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from .facts import Fact, common_name, value_text

SOURCE = "ComfyUI"

MAX_STEPS = 200_000
"""The number of inputs of nodes that are followed in all graphs of a file."""

_SETTINGS = ("seed", "noise_seed", "steps", "cfg", "sampler_name", "scheduler", "denoise")
_FILES = ("ckpt_name", "unet_name", "lora_name")
# The inputs that lead from a sampler to the texts of its prompt.
_ON_THE_WAY = ("conditioning", "text", "clip_l", "t5xxl", "prompt", "string", "value", "guider")

_Graph = Mapping[str, Any]


class Steps:
    """The number of inputs that remain to be followed, since links can lead to them many times."""

    def __init__(self, number: int = MAX_STEPS) -> None:
        self._remaining = number

    @property
    def exceeded(self) -> bool:
        """Whether more steps were requested than there are."""
        return self._remaining < 0

    def take(self, number: int) -> bool:
        """Subtract a number of steps, and return whether there were as many."""
        self._remaining -= number
        return not self.exceeded


def parse_prompt(graph: _Graph, steps: Steps) -> Iterator[Fact]:
    """Yield the prompts, settings, models and sizes of an executed graph.

    Links are followed until no steps remain.
    """
    for node in graph.values():
        inputs = _inputs(node)
        for name in ("positive", "negative"):
            if "seed" in inputs or "noise_seed" in inputs:
                for text in _texts(graph, inputs.get(name), steps):
                    yield Fact(SOURCE, "prompt" if name == "positive" else "negative prompt", text)
        for name in (*_SETTINGS, *_FILES):
            yield Fact(SOURCE, common_name(name), _scalar(graph, inputs.get(name), steps))
        if {"width", "height", "batch_size"} <= inputs.keys():
            width, height = (_scalar(graph, inputs[name], steps) for name in ("width", "height"))
            yield Fact(SOURCE, "size", f"{width}x{height}")


def parse_workflow(workflow: Mapping[str, Any]) -> Iterator[Fact]:
    """Yield the kinds of nodes of an editor's graph, with their numbers."""
    nodes = workflow.get("nodes")
    listed = nodes if isinstance(nodes, list) else []
    kinds = [node.get("type") for node in listed if isinstance(node, dict)]
    counts = Counter(kind for kind in kinds if isinstance(kind, str))
    yield Fact(SOURCE, "workflow", ", ".join(f"{number} {kind}" for kind, number in counts.items()))


def is_prompt(value: Mapping[str, Any]) -> bool:
    """Return whether a JSON object is an executed graph."""
    return bool(value) and all(
        isinstance(node, dict) and isinstance(node.get("class_type"), str)
        for node in value.values()
    )


def _inputs(node: Any) -> dict[str, Any]:
    inputs = node.get("inputs") if isinstance(node, dict) else None
    return inputs if isinstance(inputs, dict) else {}


def _link(value: Any) -> tuple[str, int] | None:
    """Return the node and the output that an input is linked to, or None for a value."""
    match value:
        case [str() | int() as node, int() as output]:
            return str(node), output
    return None


def _scalar(graph: _Graph, value: Any, steps: Steps) -> str:
    """Return the value of an input as text. A linked one is that of the only value of its node."""
    if (link := _link(value)) is not None:
        values = [item for item in _linked(graph, link[0], steps).values() if _is_scalar(item)]
        value = values[0] if len(values) == 1 else None
    return value_text(value) if _is_scalar(value) else ""


def _linked(graph: _Graph, node: str, steps: Steps) -> dict[str, Any]:
    """Return the inputs of a node that a link leads to, or nothing if too few steps remain."""
    inputs = _inputs(graph.get(node))
    return inputs if steps.take(1 + len(inputs)) else {}


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float)


def _texts(graph: _Graph, start: Any, steps: Steps) -> Iterator[str]:
    """Yield the texts that an input is made from."""
    waiting, seen = [start], set[tuple[str, int]]()
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        link = _link(value)
        if link is None or link in seen:
            continue
        seen.add(link)
        inputs = _linked(graph, link[0], steps)
        # A node such as ControlNetApplyAdvanced passes both prompts on, in this order.
        if {"positive", "negative"} <= inputs.keys():
            waiting.append(inputs["negative" if link[1] == 1 else "positive"])
            continue
        followed = [item for name, item in inputs.items() if name.startswith(_ON_THE_WAY)]
        waiting += reversed(followed)
