"""The state of a training: the weights, their moving average, the optimizers and the losses."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from .checkpoints import Checkpoint
from .families.base import Family

_MOMENTS = ("exp_avg", "exp_avg_sq")  # the averages of Adam, which have the shape of a weight


class TrainingState:
    """The part of a training that its next steps depend on, besides the options and the data.

    Attributes:
        family: The model that is trained.
        optimizers: The optimizer of each part, in the order of the parts.
        step: The number of steps done.
        losses: The losses of each step by name.
    """

    def __init__(self, family: Family, learning_rate: float | None) -> None:
        self.family = family.train()
        self.optimizers = {part: family.optimizer(part, learning_rate) for part in family.parts}
        self.step = 0
        self.losses: dict[str, list[float]] = {}
        self._averaged = copy.deepcopy(family).eval().requires_grad_(False)

    @torch.no_grad()
    def average(self, highest_decay: float) -> None:
        """Move the averaged weights of the sampled part towards its weights.

        The running statistics of batch normalisation are averaged alike, because they have to fit
        the averaged weights. Other buffers are copied. The decay rises with the steps, so that the
        random weights of the start soon have no part.
        """
        decay = min(highest_decay, (1 + self.step) / (10 + self.step))
        part = self.family.sampled_part
        source, target = getattr(self.family, part), getattr(self._averaged, part)
        for average, weight in zip(target.parameters(), source.parameters(), strict=True):
            average.lerp_(weight, 1 - decay)
        for average, buffer in zip(target.buffers(), source.buffers(), strict=True):
            if buffer.is_floating_point():
                average.lerp_(buffer, 1 - decay)
            else:  # the number of batches
                average.copy_(buffer)

    def record(self, losses: Mapping[str, float]) -> None:
        """Count a step and add its losses."""
        for name, value in losses.items():
            self.losses.setdefault(name, []).append(value)
        self.step += 1

    def sampling_model(self) -> Family:
        """Return the model with averaged weights of the sampled part, and the other parts."""
        averaged = getattr(self._averaged, self.family.sampled_part).state_dict()
        state = self.family.state_dict()
        prefix = f"{self.family.sampled_part}."
        state |= {prefix + name: tensor for name, tensor in averaged.items()}
        self._averaged.load_state_dict(state)
        return self._averaged

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors of a checkpoint by name."""
        averaged = getattr(self._averaged, self.family.sampled_part)
        tensors = {f"model.{name}": value for name, value in self.family.state_dict().items()}
        tensors |= {f"averaged.{name}": value for name, value in averaged.state_dict().items()}
        for part, optimizer in self.optimizers.items():
            for index, state in optimizer.state_dict()["state"].items():
                for name, value in state.items():
                    tensors[f"optimizer.{part}.{index}.{name}"] = torch.as_tensor(value)
        for name, values in self.losses.items():
            tensors[f"losses.{name}"] = torch.tensor(values, dtype=torch.float64)
        return tensors

    def restore(self, checkpoint: Checkpoint) -> None:
        """Return to the state of a checkpoint.

        Raises RuntimeError, ValueError, TypeError or KeyError for tensors of another training.
        """
        tensors = checkpoint.tensors
        self.family.load_state_dict(_with_prefix(tensors, "model."))
        averaged = getattr(self._averaged, self.family.sampled_part)
        averaged.load_state_dict(_with_prefix(tensors, "averaged."))
        for part, optimizer in self.optimizers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in _with_prefix(tensors, f"optimizer.{part}.").items():
                index, _, key = name.partition(".")
                state.setdefault(int(index), {})[key] = value
            _check_states(state, optimizer, part, checkpoint.step)
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})
        losses = {name: tensors[f"losses.{name}"] for name in checkpoint.state["losses"]}
        for name, values in losses.items():
            if values.shape != (checkpoint.step,):
                raise ValueError(f"the {name} is not that of {checkpoint.step:,} steps")
        self.losses = {name: values.tolist() for name, values in losses.items()}
        self.step = checkpoint.step


def _check_states(
    states: Mapping[int, Mapping[str, Tensor]], optimizer: Optimizer, part: str, step: int
) -> None:
    """Raise ValueError unless an optimizer of a part has these states after a number of steps.

    PyTorch loads any state, and fails in the next step.
    """
    parameters = optimizer.param_groups[0]["params"]
    if states.keys() != (set(range(len(parameters))) if step else set()):
        raise ValueError(f"the optimizer of {part} has the states of other weights")
    for index, state in states.items():
        shapes = {name: value.shape for name, value in state.items()}
        if shapes != {"step": (), **dict.fromkeys(_MOMENTS, parameters[index].shape)}:
            raise ValueError(f"the optimizer of {part} has an odd state of weight {index}")
        if state["step"] != step or (state["exp_avg_sq"] < 0).any():
            raise ValueError(f"the optimizer of {part} has a state that no training reaches")


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
