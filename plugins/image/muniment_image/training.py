"""The training loop of the families, with checkpoints from which it continues bit for bit.

Order, augmentation and noise are functions of the seed and the step. The state of a training is
therefore its weights, their moving average, the optimizers and the number of steps done.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
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
from .progress_files import ProgressFiles
from .training_options import Options

Status = Literal["completed", "stopped", "failed"]
_WARM_UP = 500  # steps in which the learning rate rises, at most a twentieth of all
_LOWEST = 0.02  # part of the learning rate that remains at the end of the cosine
_MOST_GRIDS = 50
_BYTES_A_WEIGHT = 20  # the weight, its average, its gradient and two states of the optimizer


class TrainingError(muniment.MunimentError):
    """A training that cannot go on, such as one without enough memory for two pictures."""


class ResumeError(muniment.UsageError):
    """A training that cannot be resumed, because options or data are not those of its start."""

    def __init__(self, message: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.names = names


class _Diverged(Exception):
    """A loss or a gradient that is not a finite number."""


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

    def samples(self, step: int, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        """Receive a grid of samples [H, W, 3]."""


@dataclass(frozen=True)
class Outcome:
    """The end of a training.

    Attributes:
        status: `completed`, `stopped` by a signal, or `failed` because of numbers that are not
            finite.
        model: The model with averaged weights: those of the last checkpoint if the training failed.
            None after no step, or if it failed before the first checkpoint.
        step: The number of steps that the model was trained.
        losses: The losses of each step by name.
        batch: The number of pictures that were processed at a time.
        failure: The reason of a failure.
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
    ResumeError, CheckpointError, DatasetError and TrainingError.
    """
    loop = _Loop(family, dataset, options, out, samples, watcher or _Silent(), log)
    loop.source = source
    loop.checkpoint_steps = checkpoint_steps
    if resume:
        loop.restore(checkpoints.load(out))
    with deterministic(family.device), postponed_signals() as signalled:
        return loop.run(signalled)


class _Loop:
    """A training in progress."""

    def __init__(
        self,
        family: Family,
        dataset: Dataset,
        options: Options,
        out: Path,
        samples: int,
        watcher: Watcher,
        log: EventLog | None,
    ) -> None:
        self.family, self.options, self.out = family.train(), options, out
        self.watcher, self.log = watcher, log
        self.checkpoint_steps, self.source, self._samples = 200, "", samples
        self.step = 0
        self.chunk = options.batch  # pictures that are processed at a time
        self.losses: dict[str, list[float]] = {}
        self._batches = Batches(
            dataset,
            family.config.condition,
            batch=options.batch,
            seed=options.seed,
            augment=options.augment,
        )
        self._data_digest = dataset.digest
        self._averaged = copy.deepcopy(family).eval().requires_grad_(False)
        self._optimizers = {
            part: family.optimizer(part, options.learning_rate) for part in family.parts
        }
        self._files = ProgressFiles(out, dataset, family.config, samples)

    # ---- the loop ------------------------------------------------------------------------------

    def run(self, signalled: Callable[[], int | None]) -> Outcome:
        """Train until the last step, a signal, or a number that is not finite."""
        self.watcher.advance(self.step)
        if self.step == 0:  # a disk that is too small is noticed now, not after hours
            self._save()
        saved = attempted = self.step
        while self.step < self.options.steps:
            if signalled():
                self._save_or_warn(saved)
                if self.step:
                    self._report()
                return replace(self._outcome("stopped"), signal=signalled())
            try:
                self._record(self._update())
            except _Diverged as error:
                return self._failed(str(error))
            self.watcher.advance(1)
            if self._is_grid_due():
                self._report()
            if self.step % self.checkpoint_steps == 0:
                saved, attempted = self._save_or_warn(saved), self.step
        if attempted < self.step:
            self._save_or_warn(saved)
        return self._outcome("completed")

    def _update(self) -> dict[str, float]:
        """Update all parts of the model once and return the losses."""
        images, conditions = self._batches.read(self.step)
        rate = self._learning_rate()
        losses: dict[str, float] = {}
        for part, optimizer in self._optimizers.items():
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
            prefix = f"{part} " if len(self.family.parts) > 1 else ""
            losses |= {prefix + name: value for name, value in values.items()}
        self._average()
        return losses

    def _gradients(self, part: str, images: Tensor, conditions: Tensor | None) -> dict[str, float]:
        """Add up the gradients of a batch in chunks, and return the means of the losses."""
        family, rows = self.family, len(images)
        family.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for number, start in enumerate(range(0, rows, self.chunk)):
            chunk = slice(start, start + self.chunk)
            seed = derived_seed(self.options.seed, "noise", self.step, part, number)
            torch.manual_seed(seed)  # for layers such as dropout
            generator = torch.Generator().manual_seed(seed & 0xFFFFFFFF)
            part_images = images[chunk].to(family.device)
            part_ids = None if conditions is None else conditions[chunk].to(family.device)
            with torch.autocast(
                family.device.type,
                torch.bfloat16,
                enabled=self.options.precision == "bfloat16",
            ):
                values = family.losses(part, part_images, part_ids, generator)
            weight = len(part_images) / rows
            (values["loss"] * weight).backward()  # type: ignore[no-untyped-call]
            for name, value in values.items():
                sums[name] = sums.get(name, 0) + value.detach().float() * weight
        return {name: float(value) for name, value in sums.items()}

    def _check_and_clip(self, part: str, losses: Mapping[str, float]) -> None:
        """Limit the gradients of a part. Raise _Diverged for a number that is not finite."""
        for name, value in losses.items():
            if not math.isfinite(value):
                raise _Diverged(f"the {name} of step {self.step + 1:,} is {value}")
        parameters = getattr(self.family, part).parameters()
        norm = nn.utils.clip_grad_norm_(parameters, self.options.clip or math.inf)
        if not torch.isfinite(norm):
            raise _Diverged(f"the gradients of step {self.step + 1:,} are not finite")

    def _reduce_chunk(self, error: Exception) -> None:
        """Halve the number of pictures at a time, or raise TrainingError if memory is too small."""
        if not is_out_of_memory(error):
            raise error
        if self.chunk <= 2:
            raise TrainingError(
                "the memory is too small for a training step with two pictures; use a smaller "
                "--image-size or a smaller network"
            ) from None
        # Batch normalisation needs at least two pictures.
        self.chunk = max(2, self.chunk // 2)
        self.family.zero_grad(set_to_none=True)
        if self.family.device.type == "cuda":
            torch.cuda.empty_cache()
        self.watcher.note(
            f"out of memory; {self.chunk} pictures are processed at a time from here on, and the "
            f"batch remains {self.options.batch}"
        )

    def _learning_rate(self) -> float:
        options = self.options
        highest = options.learning_rate or self.family.learning_rate
        warm_up = max(1, min(_WARM_UP, options.steps // 20))
        rate = highest * min(1.0, (self.step + 1) / warm_up)
        if self.family.schedule == "cosine":
            cosine = (1 + math.cos(math.pi * self.step / options.steps)) / 2
            rate *= _LOWEST + (1 - _LOWEST) * cosine
        return rate

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged weights towards the weights. Buffers are copied."""
        decay = min(self.options.ema, (1 + self.step) / (10 + self.step))
        part = self.family.sampled_part
        source, target = getattr(self.family, part), getattr(self._averaged, part)
        for average, weight in zip(target.parameters(), source.parameters(), strict=True):
            average.lerp_(weight, 1 - decay)
        for average, buffer in zip(target.buffers(), source.buffers(), strict=True):
            average.copy_(buffer)

    def _record(self, losses: Mapping[str, float]) -> None:
        for name, value in losses.items():
            self.losses.setdefault(name, []).append(value)
        self.step += 1
        if self.log is not None:
            self.log.losses(self.step, losses)

    # ---- files ---------------------------------------------------------------------------------

    def _is_grid_due(self) -> bool:
        """Return whether an epoch ends here, or one of 50 parts of a training of more epochs."""
        epochs = self._epochs(self.options.steps)
        every = max(1, math.ceil(epochs / _MOST_GRIDS))
        before = self._epochs(self.step - 1) // every
        return self._epochs(self.step) // every > before or self.step == self.options.steps

    def _epochs(self, step: int) -> int:
        """Return the number of whole epochs in a number of steps."""
        return step * self.options.batch // self._batches.count

    def _report(self) -> None:
        """Write the losses, the curve and a grid of samples, and print a line."""
        epoch = math.ceil(self.step * self.options.batch / self._batches.count)
        try:
            pixels = self._files.write(epoch, self.losses, self._sampling_model())
        except (OSError, RuntimeError, MemoryError, SamplingError) as error:
            if isinstance(error, RuntimeError) and not is_out_of_memory(error):
                raise
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self.watcher.note(f"no samples were written: {reason}; the training goes on")
            return
        if self.log is not None and pixels is not None:
            self.log.samples(self.step, pixels)
        shown = ", ".join(f"{name} {values[-1]:.3g}" for name, values in self.losses.items())
        self.watcher.note(f"epoch {epoch:,}, step {self.step:,} of {self.options.steps:,}: {shown}")

    def _sampling_model(self) -> Family:
        """Return the model with averaged weights of the sampled part, and the other parts."""
        averaged = getattr(self._averaged, self.family.sampled_part).state_dict()
        state = self.family.state_dict()
        prefix = f"{self.family.sampled_part}."
        state |= {prefix + name: tensor for name, tensor in averaged.items()}
        self._averaged.load_state_dict(state)
        return self._averaged

    def _save_or_warn(self, saved: int) -> int:
        """Write a checkpoint and return its step, or print why the last one remains."""
        try:
            self._save()
        except CheckpointError as error:
            self.watcher.note(f"{error}; the training goes on")
            return saved
        return self.step

    def _save(self) -> None:
        state = {
            "chunk": self.chunk,
            "source": self.source,
            "samples": self._samples,
            "losses": list(self.losses),
            "environment": facts(self.family.device),
        }
        checkpoints.save(
            self.out,
            Checkpoint(self.step, self._described(), state, self._tensors()),
        )

    def _described(self) -> dict[str, Any]:
        """Return everything that must be the same when a training is resumed, as JSON."""
        config = self.family.config
        return {
            "family": config.family,
            "image_size": config.image_size,
            "channels": config.channels,
            "condition": config.condition.to_json(),
            "network": dict(config.network),
            "sampler_steps": config.steps,
            "guidance": config.guidance,
            "data": self._data_digest,
            **asdict(self.options),
            "augment": sorted(self.options.augment),
        }

    def _tensors(self) -> dict[str, Tensor]:
        averaged = getattr(self._averaged, self.family.sampled_part)
        tensors = {f"model.{name}": value for name, value in self.family.state_dict().items()}
        tensors |= {f"averaged.{name}": value for name, value in averaged.state_dict().items()}
        for part, optimizer in self._optimizers.items():
            for index, state in optimizer.state_dict()["state"].items():
                for name, value in state.items():
                    tensors[f"optimizer.{part}.{index}.{name}"] = torch.as_tensor(value)
        for name, values in self.losses.items():
            tensors[f"losses.{name}"] = torch.tensor(values, dtype=torch.float64)
        return tensors

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint. Raise ResumeError if it has other options or other data."""
        _check_options(checkpoint.options, self._described())
        tensors = checkpoint.tensors
        try:
            self.family.load_state_dict(_with_prefix(tensors, "model."))
            averaged = getattr(self._averaged, self.family.sampled_part)
            averaged.load_state_dict(_with_prefix(tensors, "averaged."))
            for part, optimizer in self._optimizers.items():
                state: dict[int, dict[str, Tensor]] = {}
                for name, value in _with_prefix(tensors, f"optimizer.{part}.").items():
                    index, _, key = name.partition(".")
                    state.setdefault(int(index), {})[key] = value
                groups = optimizer.state_dict()["param_groups"]
                optimizer.load_state_dict({"state": state, "param_groups": groups})
            self.losses = {
                name: tensors[f"losses.{name}"].tolist() for name in checkpoint.state["losses"]
            }
            self.chunk = int(checkpoint.state["chunk"])
            self._compare_environment(checkpoint.state.get("environment", {}))
        except (RuntimeError, ValueError, KeyError) as error:
            raise ResumeError(f"the checkpoint in {self.out} does not fit: {error}") from None
        self.step = checkpoint.step

    def _compare_environment(self, before: Mapping[str, Any]) -> None:
        """Print a note if the result can differ from that of an uninterrupted training."""
        changes = [
            f"{name} {before.get(name)} is now {value}"
            for name, value in facts(self.family.device).items()
            if before.get(name) != value
        ]
        if changes:
            self.watcher.note(
                f"{', '.join(changes)}: the result can differ in its last digits from that of an "
                "uninterrupted training"
            )

    # ---- the end -------------------------------------------------------------------------------

    def _outcome(self, status: Status, failure: str | None = None) -> Outcome:
        model = self._sampling_model() if self.step else None
        return Outcome(status, model, self.step, self.losses, self.chunk, failure)

    def _failed(self, reason: str) -> Outcome:
        """Return the model of the last checkpoint after a failure."""
        failure = f"{reason}; use a smaller learning rate"
        self.restore(checkpoints.load(self.out))
        return self._outcome("failed", failure)


def _check_options(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise ResumeError, with the names of the options that differ."""
    names = [name for name in now if before.get(name) != now[name]]
    if not names:
        return
    changes = [
        "the data is not the same"
        if name == "data"
        else f"{name} was {before.get(name)!r:.60} and is {now[name]!r:.60}"
        for name in names
    ]
    raise ResumeError(
        f"the training cannot be resumed: {', '.join(changes)}; use the options and the data that "
        "it was started with",
        tuple(names),
    )


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
