"""The work of `muniment image train`: from the options of the command to a recorded training."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import torch
from click.core import ParameterSource

import muniment
from muniment.command import Column, emit_one, progress, write_note
from muniment_image import checkpoints, training_records
from muniment_image.conditions import Condition, ConditionKind, NoCondition
from muniment_image.dataset_conditions import condition_of
from muniment_image.datasets import Dataset, read_dataset
from muniment_image.event_log import open_event_log
from muniment_image.families.base import Family
from muniment_image.files import locked, remove_abandoned
from muniment_image.memory import physical_memory
from muniment_image.model_config import ModelConfig
from muniment_image.model_folder import TRAINING
from muniment_image.training import Outcome, TrainingError, new_family, train
from muniment_image.training_options import Options, native_precision

_STEPS = 10_000
_BYTES_A_PIXEL = 9  # of a batch
_GUIDANCE = 1.5  # of a model with labels or captions


def run(
    session: muniment.Session, ctx: click.Context, values: dict[str, Any], *, as_json: bool
) -> None:
    """Train a model and record the training. `values` are the options of the command."""
    out: Path = values["out"]
    _check_folder(out, values)
    with locked(out), _without_empty_folder(out):
        remove_abandoned(out)
        if values["resume"]:
            _use_values_of_checkpoint(ctx, values)
        if not values["data"]:
            raise muniment.UsageError("there is no data; add --data with a folder of pictures")
        _check_data_folder(out, values["data"])
        device = _device(values["device"])
        _new_family(_config(values, NoCondition(), channels=3), 0)  # fails before the data is read
        session.ensure_store()
        dataset, condition = _read(values)
        _check_guidance(values, condition)
        config = _config(values, condition, channels=dataset.pixels.shape[3])
        options = _options(values, dataset, device)
        _describe(dataset, condition)
        family = _new_family(config, options.seed).to(device)
        outcome = _train(family, dataset, options, values)
        digest = _record(session, outcome, family, dataset, options, values)
        _print(outcome, dataset, out, digest, as_json=as_json)


# ---- options -----------------------------------------------------------------------------------


def _check_folder(out: Path, values: dict[str, Any]) -> None:
    """Create the folder of the model. Raise UsageError if it has other files than a training's."""
    if values["steps"] is not None and values["epochs"] is not None:
        raise muniment.UsageError("--steps and --epochs exclude each other; use one of them")
    if values["resume"]:
        if not (out / checkpoints.FILE).exists() and (out / TRAINING).exists():
            raise muniment.UsageError(
                f"the training in {out} is complete and cannot be made longer; train again into a "
                "new folder, with more --steps"
            )
        checkpoints.read_description(out)
        return
    if (out / checkpoints.FILE).exists():
        raise muniment.UsageError(
            f"{out} has an unfinished training; add --resume to continue it, or use another folder"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise muniment.UsageError(f"the folder {out} is not empty; use a new one")
    except OSError as error:
        raise muniment.UsageError(f"cannot write into {out}: {error.strerror}") from None


@contextlib.contextmanager
def _without_empty_folder(out: Path) -> Iterator[None]:
    """Remove the folder of the model if the block raises an exception before it writes there."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # it is not empty
            out.rmdir()
        raise


def _check_data_folder(out: Path, data: str) -> None:
    folder, model = os.path.realpath(os.path.expanduser(data)), Path(os.path.realpath(out))
    if os.path.isdir(folder) and model.is_relative_to(folder):
        raise muniment.UsageError(
            f"{out} is in the folder of the data, of which the samples would become a part; use "
            "a folder outside it"
        )


def _use_values_of_checkpoint(ctx: click.Context, values: dict[str, Any]) -> None:
    """Replace the options that were not given by those of the checkpoint."""
    description = checkpoints.read_description(values["out"])
    before: dict[str, Any] = dict(description["options"])
    options = {str(option.name): option for option in ctx.command.params}
    try:
        before["condition"] = before["condition"]["kind"]
        before["network"] = [f"{name}={size}" for name, size in before["network"].items()]
        before["data"] = description["state"].get("source")
        before["samples"] = description["state"].get("samples", values["samples"])
        if values["epochs"] is not None:
            del before["steps"]
        for name in values.keys() & before.keys():
            if ctx.get_parameter_source(name) == ParameterSource.DEFAULT:
                values[name] = options[name].type_cast_value(ctx, before[name])
    except (click.BadParameter, KeyError, TypeError, AttributeError) as error:
        raise checkpoints.damaged(values["out"] / checkpoints.FILE, error) from None


def _device(name: str | None) -> torch.device:
    is_available = torch.cuda.is_available()
    if name == "cuda" and not is_available:
        raise muniment.UsageError("torch finds no CUDA device; use --device cpu")
    return torch.device(name or ("cuda" if is_available else "cpu"))


def _config(values: dict[str, Any], condition: Condition, *, channels: int) -> ModelConfig:
    guidance = values["guidance"]
    if guidance is None:
        has_guidance = values["family"] == "flow" and condition.kind != "none"
        guidance = _GUIDANCE if has_guidance else 1.0
    try:
        return ModelConfig(
            family=values["family"],
            image_size=values["image_size"],
            channels=channels,
            condition=condition,
            network=_network(values["network"]),
            steps=values["sampler_steps"],
            guidance=guidance,
        )
    except ValueError as error:
        raise muniment.UsageError(str(error)) from None


def _check_guidance(values: dict[str, Any], condition: Condition) -> None:
    """Raise UsageError for a guidance without effect."""
    has_guidance = values["family"] == "flow" and condition.kind != "none"
    if not has_guidance and values["guidance"] not in (None, 1.0):  # 1.0 is in checkpoints
        raise muniment.UsageError(
            "--guidance has an effect only on models of the family flow with labels or captions; "
            "remove it"
        )


def _network(sizes: list[str]) -> dict[str, int]:
    network: dict[str, int] = {}
    for size in sizes:
        name, _, number = size.partition("=")
        if not name or not number.isascii() or not number.isdigit():
            raise muniment.UsageError(f"--network {size!r} is not NAME=N, such as width=32")
        if name in network:
            raise muniment.UsageError(f"--network has {name} twice; remove one")
        network[name] = int(number)
    return network


def _new_family(config: ModelConfig, seed: int) -> Family:
    try:
        return new_family(config, seed)
    except ValueError as error:
        raise muniment.UsageError(str(error)) from None


def _options(values: dict[str, Any], dataset: Dataset, device: torch.device) -> Options:
    steps, seed, batch = values["steps"], values["seed"], values["batch"]
    if values["epochs"] is not None:
        steps = math.ceil(values["epochs"] * len(dataset) / batch)
    # A batch has the pixels as bytes and as float32, and the network at least as many numbers.
    needed = batch * math.prod(dataset.pixels.shape[1:]) * _BYTES_A_PIXEL
    if needed > physical_memory():
        raise muniment.UsageError(
            f"a batch of {batch:,} pictures needs at least {needed / 1e9:,.0f} GB of memory; use "
            "a smaller --batch"
        )
    return Options(
        steps=steps or _STEPS,
        seed=secrets.randbits(32) if seed is None else seed,
        batch=batch,
        learning_rate=values["learning_rate"],
        ema=values["ema"],
        clip=values["clip"],
        augment=tuple(sorted(set(values["augment"]))),
        precision=values["precision"] or native_precision(device),
    )


# ---- the data and the training -----------------------------------------------------------------


def _read(values: dict[str, Any]) -> tuple[Dataset, Condition]:
    """Return the data and the condition that a model of it has."""
    kind: ConditionKind | None = values["condition"]
    with progress("checking the pictures"):
        dataset = read_dataset(values["data"], size=values["image_size"], condition=kind or "none")
    if kind is None:
        kind = _kind_of(dataset)
    return dataset, condition_of(dataset, kind)


def _describe(dataset: Dataset, condition: Condition) -> None:
    """Print the data of a training whose options are all valid."""
    for note in dataset.notes:
        write_note(note)
    kind = condition.kind
    classes = f" of {len(dataset.classes):,} classes" if dataset.classes else ""
    write_note(f"{len(dataset):,} pictures{classes}; the model is trained with condition {kind}")
    if kind == "label" and len(dataset.classes) == 1:
        write_note(f"there is one class only, so that the model draws {dataset.classes[0]} alone")


def _kind_of(dataset: Dataset) -> ConditionKind:
    """Return the condition for which every picture has a text.

    Raises UsageError for texts that only some pictures have. They would be ignored.
    """
    lacking: dict[ConditionKind, list[str]] = {
        "caption": [item.file for item in dataset.items if not item.captions],
        "label": [item.file for item in dataset.items if item.label is None],
    }
    for kind, files in lacking.items():
        if not files:
            return kind
        if len(files) < len(dataset):
            raise muniment.UsageError(
                f"{len(files):,} of {len(dataset):,} pictures have no {kind}, such as "
                f"{files[0]}; add what is missing, or choose with --condition"
            )
    return "none"


def _train(family: Family, dataset: Dataset, options: Options, values: dict[str, Any]) -> Outcome:
    source = values["data"]
    if os.path.exists(os.path.expanduser(source)):
        source = os.path.abspath(os.path.expanduser(source))
    with (
        open_event_log(values["tensorboard"]) as log,
        progress(f"training a {family.name} model", total=options.steps) as bar,
    ):
        bar.note(
            f"seed {options.seed}, {options.steps:,} steps of {options.batch} pictures, "
            f"{options.precision} on {family.device.type}"
        )
        return train(
            family,
            dataset,
            options,
            values["out"],
            resume=values["resume"],
            samples=values["samples"],
            checkpoint_steps=values["checkpoint_steps"],
            source=source,
            watcher=bar,
            log=log,
        )


# ---- the result --------------------------------------------------------------------------------


def _record(
    session: muniment.Session,
    outcome: Outcome,
    family: Family,
    dataset: Dataset,
    options: Options,
    values: dict[str, Any],
) -> str | None:
    """Write the model, record the training, and return the digest of the model.

    The checkpoint of a completed training is removed last. A training that is killed before can
    be resumed, and is recorded then unless it already was.
    """
    out: Path = values["out"]
    training = training_records.finish(outcome, family, dataset, options, out)
    digest = _recorded_digest(session, training) if values["resume"] else None
    if digest is None:
        event = session.record_training(training, plugin=training_records.DISTRIBUTION)
        digest = event.entry.result
    if outcome.status == "completed":
        checkpoints.remove(out)
    return digest


def _recorded_digest(session: muniment.Session, training: muniment.Training) -> str | None:
    """Return the digest of a model whose completed training is on record here, or None."""
    if training.model is None or training.status != "completed":
        return None
    digest = muniment.model_digest(training.model, omit=training.temporary_files)
    is_recorded = any(
        event.entry.result == digest and not event.entry.claimed
        for event in session.store.trainings.of([digest])
    )
    return digest if is_recorded else None


def _print(
    outcome: Outcome, dataset: Dataset, out: Path, digest: str | None, *, as_json: bool
) -> None:
    """Print the result. Raise TrainingError after a failure, and the signal after a signal."""
    last = {name: values[-1] for name, values in outcome.losses.items() if values}
    record: dict[str, Any] = {
        "status": outcome.status,
        "folder": str(out),
        "model": digest,
        "steps": outcome.step,
        "losses": last,
    }
    columns: list[Column[dict[str, Any]]] = [
        ("status", "status"),
        ("folder", "folder"),
        ("steps", "steps"),
        ("losses", lambda _: ", ".join(f"{name} {value:.4g}" for name, value in last.items())),
        ("model", "model"),
    ]
    emit_one(record, columns, as_json)
    if outcome.model is not None:
        config = outcome.model.config
        write_note(f"draw with it: {training_records.example(config, dataset, out)}")
    if outcome.status == "failed":
        state = "no model was written"
        if outcome.model is not None:
            state = f"{out} has the model of step {outcome.step:,}"
        raise TrainingError(f"the training failed: {outcome.failure}; {state}")
    if outcome.signal is not None:
        if (out / checkpoints.FILE).exists():
            resume = shlex.join(["muniment", "image", "train", "--resume", "--out", str(out)])
            write_note(f"the training was stopped; continue it with: {resume}")
        signal.raise_signal(outcome.signal)
