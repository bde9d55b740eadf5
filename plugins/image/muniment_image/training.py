"""The training loop of the families, with checkpoints from which it continues bit for bit.

Order, augmentation and noise are functions of the seed and the step, so a `TrainingState` is all
that a checkpoint needs besides the options.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import muniment

from . import checkpoints
from .batches import Batches, derived_seed
from .checkpoints import Checkpoint, CheckpointError
from .datasets import Dataset
from .determinism import deterministic
from .environment import facts
from .families.base import Family, SamplingError
from .interruption import postponed_signals
from .memory import is_out_of_memory, physical_memory
from .model_config import ModelConfig
from .progress_files import ProgressFiles, is_grid_due
from .training_options import Options, ResumeError, check_unchanged, describe
from .training_state import TrainingState

Status = Literal["completed", "stopped", "failed"]
_WARM_UP = 500  # steps in which the learning rate rises, at most a twentieth of all
_LOWEST = 0.02  # part of the learning rate that remains at the end of the cosine
_BYTES_A_WEIGHT = 20  # the weight, its average, its gradient and two states of the optimizer


class TrainingError(muniment.MunimentError):
    """A training that failed, or a model that cannot be written."""


class _FailedStep(Exception):
    """A step that cannot be done, with the reason and advice."""


class Watcher(Protocol):
    """The receiver of progress. A `muniment.command.Progress` is one."""

    def advance(self, steps: int, /) -> None:
        """Count steps that are done."""

    def note(self, text: str, /) -> None:
        """Print a message."""


class EventLog(Protocol):
    """The receiver of losses and samples, such as one that writes files for TensorBoard."""

    def losses(self, step: int, losses: Mapping[str, float]) -> None:
        """Receive the losses of a step."""

    def samples(self, step: int, pixels: NDArray[np.uint8]) -> None:
        """Receive a grid of samples [H, W, 3]."""


@dataclass(frozen=True)
class Outcome:
    """The end of a training.

    Attributes:
        status: `completed`, `stopped` by a signal, or `failed` because of numbers that are not
            finite or because of missing memory.
        model: The model with averaged weights: those of the last checkpoint if the training failed.
            None after no step, or if it failed before the first checkpoint.
        step: The number of steps that the model was trained.
        losses: The losses of each step by name.
        batch: The number of pictures that were processed at a time.
        failure: The reason of a failure, and advice.
        signal: The signal that stopped it.
    """

    status: Status
    model: Family | None
    step: int
    losses: Mapping[str, list[float]]
    batch: int
    failure: str | None = None
    signal: int | None = None


class _Silent:
    def advance(self, steps: int, /) -> None:
        pass

    def note(self, text: str, /) -> None:
        pass


def new_family(config: ModelConfig, seed: int) -> Family:
    """Return a model with random weights, which depend on the seed.

    Raises ValueError for a configuration that its family does not have, or whose training needs
    more memory than the machine has.
    """
    from .families import family_class

    with torch.device("meta"):  # without memory
        weights = sum(map(torch.numel, family_class(config.family)(config).parameters()))
    if weights * _BYTES_A_WEIGHT > physical_memory():
        raise ValueError(
            f"the network has {weights:,} weights, and its training needs at least "
            f"{weights * _BYTES_A_WEIGHT / 1e9:,.0f} GB of memory; use smaller --network sizes"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "weights"))
        return family_class(config.family)(config)


def train(
    family: Family,
    dataset: Dataset,
    options: Options,
    out: Path,
    *,
    resume: bool = False,
    samples: int = 32,
    checkpoint_steps: int = 200,
    source: str = "",
    watcher: Watcher | None = None,
    log: EventLog | None = None,
) -> Outcome:
    """Train a new family on its device and return the result.

    Checkpoints, losses, the curve and grids of samples are written into the folder `out`. Signals
    such as SIGINT stop the training after the step in progress. With `resume` it continues from the
    checkpoint in `out`. A checkpoint contains `source`, the path or name of the data. Raises
    ResumeError, CheckpointError and DatasetError.
    """
    loop = _Loop(
        family,
        dataset,
        options,
        out,
        samples=samples,
        checkpoint_steps=checkpoint_steps,
        source=source,
        watcher=watcher or _Silent(),
        log=log,
    )
    if resume:
        checkpoint = checkpoints.load(out)
        loop.restore(checkpoint)
        for name, tensor in checkpoint.tensors.items():
            if not torch.isfinite(tensor).all():
                raise ResumeError(
                    f"the checkpoint in {out} has numbers that are not finite in {name}; train "
                    "into a new folder, with a smaller learning rate"
                )
    with deterministic(family.device), postponed_signals() as signalled:
        return loop.run(signalled)


class _Loop:
    """A training in progress. `chunk` is the number of pictures that are processed at a time."""

    def __init__(
        self,
        family: Family,
        dataset: Dataset,
        options: Options,
        out: Path,
        *,
        samples: int,
        checkpoint_steps: int,
        source: str,
        watcher: Watcher,
        log: EventLog | None,
    ) -> None:
        self.state = TrainingState(family, options.learning_rate)
        self.chunk = options.batch
        self._options, self._out = options, out
        self._checkpoint_steps, self._watcher, self._log = checkpoint_steps, watcher, log
        self._batches = Batches(
            dataset,
            family.config.condition,
            batch=options.batch,
            seed=options.seed,
            augment=options.augment,
        )
        self._files = ProgressFiles(out, dataset, family.config, samples)
        self._described = describe(options, family.config, dataset.digest)
        self._environment = facts(family.device)
        self._noted = {"source": source, "samples": samples, "environment": self._environment}

    # ---- the loop ------------------------------------------------------------------------------

    def run(self, signalled: Callable[[], int | None]) -> Outcome:
        """Train until the last step, a signal, or a step that fails."""
        state = self.state
        self._watcher.advance(state.step)
        if state.step == 0:  # a disk that is too small is noticed now, not after hours
            self._save()
        saved = attempted = state.step
        while state.step < self._options.steps:
            if signalled():
                self._save_or_warn(saved)
                if state.step and not is_grid_due(
                    state.step, self._options, self._batches.count
                ):  # else the report is that of the last step
                    self._report()
                return replace(self._outcome("stopped"), signal=signalled())
            try:
                losses = self._update()
            except _FailedStep as error:
                self.restore(checkpoints.load(self._out))
                return self._outcome("failed", str(error))
            state.record(losses)
            if self._log is not None:
                self._log.losses(state.step, losses)
            self._watcher.advance(1)
            if is_grid_due(state.step, self._options, self._batches.count):
                self._report()
            if state.step % self._checkpoint_steps == 0:
                saved, attempted = self._save_or_warn(saved), state.step
        if attempted < state.step:
            self._save_or_warn(saved)
        return self._outcome("completed")

    def _outcome(self, status: Status, failure: str | None = None) -> Outcome:
        state = self.state
        model = state.sampling_model() if state.step else None
        return Outcome(status, model, state.step, state.losses, self.chunk, failure)

    # ---- a step --------------------------------------------------------------------------------

    def _update(self) -> dict[str, float]:
        """Update all parts of the model once and return the losses. Raise _FailedStep."""
        state = self.state
        images, conditions = self._batches.read(state.step)
        rate = self._learning_rate()
        losses: dict[str, float] = {}
        for part, optimizer in state.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rate
            while True:
                try:
                    values = self._gradients(part, images, conditions)
                    break
                except (RuntimeError, MemoryError) as error:
                    self._reduce_chunk(error)
            self._check_and_clip(part, values)
            optimizer.step()
            prefix = f"{part} " if len(state.family.parts) > 1 else ""
            losses |= {prefix + name: value for name, value in values.items()}
        state.average(self._options.ema)
        return losses

    def _gradients(self, part: str, images: Tensor, conditions: Tensor | None) -> dict[str, float]:
        """Add up the gradients of a batch in chunks, and return the means of the losses."""
        family, rows = self.state.family, len(images)
        family.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for number, start in enumerate(range(0, rows, self.chunk)):
            chunk = slice(start, start + self.chunk)
            seed = derived_seed(self._options.seed, "noise", self.state.step, part, number)
            torch.manual_seed(seed)  # for layers such as dropout
            generator = torch.Generator().manual_seed(seed & 0xFFFFFFFF)
            part_images = images[chunk].to(family.device)
            part_ids = None if conditions is None else conditions[chunk].to(family.device)
            with torch.autocast(
                family.device.type,
                torch.bfloat16,
                enabled=self._options.precision == "bfloat16",
            ):
                values = family.losses(part, part_images, part_ids, generator)
            weight = len(part_images) / rows
            (values["loss"] * weight).backward()
            for name, value in values.items():
                sums[name] = sums.get(name, 0) + value.detach().float() * weight
        return {name: float(value) for name, value in sums.items()}

    def _check_and_clip(self, part: str, losses: Mapping[str, float]) -> None:
        """Limit the gradients of a part. Raise _FailedStep for a number that is not finite."""
        step = self.state.step + 1
        for name, value in losses.items():
            if not math.isfinite(value):
                raise _FailedStep(
                    f"the {name} of step {step:,} is {value}; use a smaller learning rate"
                )
        parameters = getattr(self.state.family, part).parameters()
        norm = nn.utils.clip_grad_norm_(parameters, self._options.clip or math.inf)
        if not torch.isfinite(norm):
            raise _FailedStep(
                f"the gradients of step {step:,} are not finite; use a smaller learning rate"
            )

    def _reduce_chunk(self, error: Exception) -> None:
        """Halve the number of pictures at a time. Raise _FailedStep if two are too many."""
        if not is_out_of_memory(error):
            raise error
        if self.chunk <= 2:
            raise _FailedStep(
                "the memory is too small for a training step with two pictures; use a smaller "
                "--image-size or a smaller network"
            ) from None
        # Batch normalisation needs at least two pictures.
        self.chunk = max(2, self.chunk // 2)
        family = self.state.family
        family.zero_grad(set_to_none=True)
        if family.device.type == "cuda":
            torch.cuda.empty_cache()
        self._watcher.note(
            f"out of memory; {self.chunk} pictures are processed at a time from here on, and the "
            f"batch remains {self._options.batch}"
        )

    def _learning_rate(self) -> float:
        """Return the learning rate of the step, which rises at first and can fall as a cosine."""
        options, family, step = self._options, self.state.family, self.state.step
        highest = options.learning_rate or family.learning_rate
        warm_up = max(1, min(_WARM_UP, options.steps // 20))
        rate = highest * min(1.0, (step + 1) / warm_up)
        if family.schedule == "cosine":
            cosine = (1 + math.cos(math.pi * step / options.steps)) / 2
            rate *= _LOWEST + (1 - _LOWEST) * cosine
        return rate

    # ---- files ---------------------------------------------------------------------------------

    def _report(self) -> None:
        """Write the losses, the curve and a grid of samples, and print a line."""
        state, options = self.state, self._options
        epoch = math.ceil(state.step * options.batch / self._batches.count)
        try:
            pixels = self._files.write(epoch, state.losses, state.sampling_model())
        except (OSError, RuntimeError, MemoryError, SamplingError) as error:
            if isinstance(error, RuntimeError) and not is_out_of_memory(error):
                raise
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._watcher.note(f"no samples were written: {reason}; the training goes on")
            return
        if self._log is not None and pixels is not None:
            self._log.samples(state.step, pixels)
        losses = ", ".join(f"{name} {values[-1]:.3g}" for name, values in state.losses.items())
        self._watcher.note(f"epoch {epoch:,}, step {state.step:,} of {options.steps:,}: {losses}")

    def _save_or_warn(self, saved: int) -> int:
        """Write a checkpoint and return its step, or print why the last one remains."""
        try:
            self._save()
        except CheckpointError as error:
            self._watcher.note(f"{error}; the training goes on")
            return saved
        return self.state.step

    def _save(self) -> None:
        state = {**self._noted, "chunk": self.chunk, "losses": list(self.state.losses)}
        checkpoint = Checkpoint(self.state.step, self._described, state, self.state.tensors())
        checkpoints.save(self._out, checkpoint)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint. Raise ResumeError if it has other options or other data."""
        check_unchanged(checkpoint.options, self._described)
        try:
            self.state.restore(checkpoint)
            self.chunk = _chunk(checkpoint.state["chunk"], self._options.batch)
            before = dict(checkpoint.state.get("environment", {}))
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            raise ResumeError(
                f"the checkpoint in {self._out} does not fit: {error}; train into a new folder"
            ) from None
        changes = [
            f"{name} {before.get(name)} is now {value}"
            for name, value in self._environment.items()
            if before.get(name) != value
        ]
        if changes:
            self._watcher.note(
                f"{', '.join(changes)}: the result can differ in its last digits from that of an "
                "uninterrupted training"
            )


def _chunk(value: object, batch: int) -> int:
    """Return the number of pictures that a checkpoint processes at a time. Raise ValueError."""
    if type(value) is not int or not min(2, batch) <= value <= batch:
        raise ValueError(f"{value!r:.40} pictures at a time are not possible with batch {batch}")
    return value
