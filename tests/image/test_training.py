"""The training loop: resuming, failures and precision."""

from __future__ import annotations

import errno
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from muniment import Training
from muniment.testing import TrainingContract
from muniment_image import checkpoints, files, training
from muniment_image.checkpoints import Checkpoint, CheckpointError
from muniment_image.generator import ImageGenerator
from muniment_image.training import new_family
from muniment_image.training_options import Options, ResumeError, native_precision
from muniment_image.training_records import finish
from muniment_image.training_state import TrainingState
from support.trainings import Watcher, config_of, make_data, run, weights

# ---- resuming ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "condition"),
    [
        ("flow", "label"),
        ("flow", "caption"),
        ("vae", "none"),
        ("dcgan", "label"),
        ("dcgan", "none"),
    ],
)
def test_a_resumed_training_equals_an_uninterrupted_one(
    tmp_path: Path, family: str, condition: str
) -> None:
    options = {"family": family, "condition": condition, "augment": ("flip",)}
    whole = run(tmp_path / "whole", **options)
    stopped = run(tmp_path / "parts", watcher=Watcher(stop_after=3), **options)
    assert (stopped.status, stopped.step, stopped.signal) == ("stopped", 3, signal.SIGINT)
    resumed = run(tmp_path / "parts", resume=True, **options)
    assert resumed.status == whole.status == "completed"
    assert resumed.losses == whole.losses
    assert weights(resumed) == weights(whole)
    # Weights, averages, optimizers and losses.
    contents = [(tmp_path / name / checkpoints.FILE).read_bytes() for name in ("whole", "parts")]
    assert contents[0] == contents[1]
    tables = [(tmp_path / name / "losses.csv").read_bytes() for name in ("whole", "parts")]
    assert tables[0] == tables[1]


def test_the_training_changes_weights_and_their_average(tmp_path: Path) -> None:
    outcome = run(tmp_path)
    assert outcome.model is not None
    start = new_family(outcome.model.config, 7).state_dict()
    state = checkpoints.load(tmp_path).tensors
    name = "network.enter.weight"
    assert not torch.equal(start[name], state[f"model.{name}"])
    average = state["averaged.enter.weight"]
    assert not torch.equal(average, state[f"model.{name}"])
    assert torch.equal(average, outcome.model.state_dict()[name])


@pytest.mark.parametrize("highest", [0.999, 0.15, 0.0])
def test_the_average_follows_the_weights_with_a_decay_that_rises(highest: float) -> None:
    state = TrainingState(new_family(config_of(make_data()), 1), None)
    weight = state.family.network.enter.weight.detach()
    expected = weight.clone()
    for step in range(4):
        weight += 1
        decay = min(highest, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
        state.average(highest)
        state.record({"loss": 1.0})
    average = state.sampling_model().state_dict()["network.enter.weight"]
    assert torch.allclose(average, expected, rtol=1e-6)


def test_running_statistics_are_averaged_with_the_weights_that_they_fit() -> None:
    state = TrainingState(new_family(config_of(make_data(), family="dcgan"), 1), None)
    buffers = dict(state.family.generator.named_buffers())
    [mean, *_] = [name for name in buffers if name.endswith("running_mean")]
    [count, *_] = [name for name in buffers if name.endswith("num_batches_tracked")]
    buffers[mean].fill_(10)
    buffers[count].fill_(3)
    state.average(0.999)
    averaged = state.sampling_model().generator.state_dict()
    assert torch.allclose(averaged[mean], torch.tensor(9.0))  # the first decay is 1/10
    assert averaged[count] == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_stop_a_training_too(tmp_path: Path, number: int) -> None:
    assert run(tmp_path, watcher=Watcher(2, number)).signal == number
    assert checkpoints.load(tmp_path).step == 2


def test_a_training_that_is_stopped_at_the_end_of_an_epoch_reports_it_once(tmp_path: Path) -> None:
    data = make_data()
    watcher = Watcher(stop_after=2)
    run(tmp_path, data=data, watcher=watcher, batch=len(data))
    assert [note.split(",")[0] for note in watcher.notes] == ["epoch 1", "epoch 2"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", 8), ("steps", 7), ("batch", 4), ("learning_rate", 0.1), ("augment", ("flip",))],
)
def test_a_training_is_not_resumed_with_another_option(
    tmp_path: Path, name: str, value: object
) -> None:
    run(tmp_path, watcher=Watcher(stop_after=2))
    with pytest.raises(ResumeError) as raised:
        run(tmp_path, resume=True, **{name: value})
    assert raised.value.names == (name,)
    assert name in str(raised.value)
    assert ("new folder" in str(raised.value)) == (name == "steps")
    assert checkpoints.load(tmp_path).step == 2


def test_a_training_is_not_resumed_with_other_data_or_another_family(tmp_path: Path) -> None:
    run(tmp_path, watcher=Watcher(stop_after=2))
    data = make_data()
    data.pixels[0, 0, 0, 0] ^= 1
    with pytest.raises(ResumeError) as raised:
        run(tmp_path, resume=True, data=data)
    assert raised.value.names == ("data",)
    with pytest.raises(ResumeError) as raised:
        run(tmp_path, resume=True, family="vae")
    assert "family" in raised.value.names


@pytest.mark.parametrize("fault", ["missing", "truncated", "pickle", "no metadata"])
def test_a_checkpoint_that_cannot_be_read_is_refused(tmp_path: Path, fault: str) -> None:
    run(tmp_path)
    path = tmp_path / checkpoints.FILE
    match fault:
        case "missing":
            path.unlink()
        case "truncated":
            path.write_bytes(path.read_bytes()[:-100])
        case "pickle":
            torch.save({"a": torch.zeros(1)}, path)
        case "no metadata":
            from safetensors.torch import save_file

            save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError):
        run(tmp_path, resume=True)


def odd(checkpoint: Checkpoint, fault: str) -> Checkpoint:
    """Return a checkpoint with the fault of a crafted one, which can be read."""
    tensors, state = dict(checkpoint.tensors), dict(checkpoint.state)
    average = next(name for name in tensors if name.startswith("averaged."))
    moment = next(name for name in tensors if name.endswith("exp_avg_sq"))
    loss = next(name for name in tensors if name.startswith("losses."))
    match fault:
        case "no step of the optimizer":
            del tensors[moment.replace("exp_avg_sq", "step")]
        case "a step of the optimizer of another type":
            tensors[moment.replace("exp_avg_sq", "step")] = torch.zeros(3)
        case "a moment of another shape":
            tensors[moment] = torch.zeros(2, 3, 5)
        case "a negative moment":
            tensors[moment] = tensors[moment] - 1
        case "a state of one weight more":
            name, _, _ = moment.split(".", 2)
            tensors[f"{name}.{moment.split('.')[1]}.999.step"] = torch.tensor(1.0)
        case "a state without a number":
            tensors[f"optimizer.{moment.split('.')[1]}.x.step"] = torch.tensor(1.0)
        case "no states":
            tensors = {name: tensors[name] for name in tensors if "optimizer" not in name}
        case "an average that is not finite":
            tensors[average] = torch.full_like(tensors[average], torch.nan)
        case "an average of another shape":
            tensors[average] = torch.zeros(1, 2, 3)
        case "losses of another number of steps":
            tensors[loss] = tensors[loss][:-1]
        case "losses that are a number":
            tensors[loss] = torch.tensor(1.0)
        case "names of losses that are a number":
            state["losses"] = 5
        case "no pictures at a time":
            state["chunk"] = 0
        case "pictures at a time without a number":
            state["chunk"] = None
        case "an environment that is a number":
            state["environment"] = 5
    return checkpoint._replace(tensors=tensors, state=state)


@pytest.mark.parametrize(
    "fault",
    [
        "no step of the optimizer",
        "a step of the optimizer of another type",
        "a moment of another shape",
        "a negative moment",
        "a state of one weight more",
        "a state without a number",
        "no states",
        "an average that is not finite",
        "an average of another shape",
        "losses of another number of steps",
        "losses that are a number",
        "names of losses that are a number",
        "no pictures at a time",
        "pictures at a time without a number",
        "an environment that is a number",
    ],
)
def test_an_odd_checkpoint_is_refused_before_a_step(tmp_path: Path, fault: str) -> None:
    run(tmp_path, watcher=Watcher(stop_after=3))
    checkpoints.save(tmp_path, odd(checkpoints.load(tmp_path), fault))
    with pytest.raises(ResumeError) as raised:
        run(tmp_path, resume=True)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value).partition("Error(s)")[0]


# ---- failures ------------------------------------------------------------------------------------


def break_losses(monkeypatch: pytest.MonkeyPatch, step: int, value: float) -> None:
    """Let the losses of the flow family from a step on be multiplied by a value."""
    from muniment_image.families.flow import Flow

    losses, calls = Flow.losses, Counter[str]()

    def broken(self: Flow, *arguments: Any) -> dict[str, torch.Tensor]:
        calls["losses"] += 1
        result = losses(self, *arguments)
        factor = value if calls["losses"] > step else 1.0
        return {name: loss * factor for name, loss in result.items()}

    monkeypatch.setattr(Flow, "losses", broken)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_with_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    break_losses(monkeypatch, 5, value)
    outcome = run(tmp_path)
    assert (outcome.status, outcome.step) == ("failed", 4)
    assert "step 6" in str(outcome.failure)
    assert checkpoints.load(tmp_path).step == 4
    assert np.isfinite(sum(outcome.losses["loss"]))
    monkeypatch.undo()
    assert outcome.model is not None
    assert all(torch.isfinite(tensor).all() for tensor in outcome.model.state_dict().values())


def test_a_loss_that_is_not_finite_at_once_gives_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_losses(monkeypatch, 0, float("nan"))
    outcome = run(tmp_path)
    assert (outcome.status, outcome.model) == ("failed", None)


def test_gradients_that_are_not_finite_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = iter([torch.tensor(1.0), torch.tensor(1.0), torch.tensor(float("nan"))])
    monkeypatch.setattr(training.nn.utils, "clip_grad_norm_", lambda *_: next(norms))
    outcome = run(tmp_path)
    assert (outcome.status, outcome.step) == ("failed", 2)


@pytest.mark.parametrize("family", ["flow", "dcgan"])
def test_out_of_memory_halves_the_pictures_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    limit_memory(monkeypatch, family, 3)
    watcher = Watcher()
    outcome = run(tmp_path, family=family, watcher=watcher, batch=8)
    assert (outcome.status, outcome.batch) == ("completed", 2)
    assert len([note for note in watcher.notes if "out of memory" in note]) == 2
    assert checkpoints.load(tmp_path).state["chunk"] == 2


def test_out_of_memory_with_two_pictures_at_once_gives_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_memory(monkeypatch, "flow", 1)
    outcome = run(tmp_path)
    assert (outcome.status, outcome.model) == ("failed", None)
    assert "memory" in str(outcome.failure)


def test_out_of_memory_with_two_pictures_ends_with_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher()
    count = watcher.advance

    def advance(steps: int) -> None:
        count(steps)
        if watcher.steps == 5:  # as when another program takes the memory
            limit_memory(monkeypatch, "flow", 1)

    watcher.advance = advance  # type: ignore[method-assign]
    outcome = run(tmp_path, watcher=watcher)
    assert (outcome.status, outcome.step) == ("failed", 4)
    assert outcome.model is not None


def limit_memory(monkeypatch: pytest.MonkeyPatch, family: str, most: int) -> None:
    """Let a family run out of memory with more pictures at a time than `most`."""
    from muniment_image.families import family_class

    cls: Any = family_class(family)
    losses = cls.losses

    def limited(self: Any, part: str, images: torch.Tensor, *rest: Any) -> Any:
        if len(images) > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")
        return losses(self, part, images, *rest)

    monkeypatch.setattr(cls, "losses", limited)


def test_gradients_of_chunks_are_those_of_the_batch(tmp_path: Path) -> None:
    data = make_data()
    config = config_of(data, "vae", "none")
    loops = []
    for chunk in (6, 2):
        family = new_family(config, 1)
        # The noise differs between chunks, so that the decoder must not depend on it.
        torch.nn.init.zeros_(family.network.start[0].weight)
        options = Options(steps=3, seed=1, batch=6)
        loop = training._Loop(
            family,
            data,
            options,
            tmp_path,
            samples=0,
            checkpoint_steps=1,
            source="",
            watcher=Watcher(),
            log=None,
        )
        loop.chunk = chunk
        loop._gradients("network", *loop._batches.read(0))
        loops.append(family.network.up[-1].weight.grad)
    assert torch.allclose(loops[0], loops[1], rtol=1e-4, atol=1e-6)


def test_a_full_disk_keeps_the_previous_checkpoint_and_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = Counter[str]()
    original = checkpoints.save_file

    def full(tensors: Any, path: Path, **options: Any) -> None:
        saves["save"] += 1
        if saves["save"] == 3:
            path.write_bytes(b"half a checkpoint")
            raise OSError(errno.ENOSPC, "No space left on device")
        original(tensors, path, **options)

    monkeypatch.setattr(checkpoints, "save_file", full)
    watcher = Watcher(stop_after=5)

    def kept(text: str) -> None:
        watcher.notes.append(text)
        if "No space left" in text:
            assert checkpoints.load(tmp_path).step == 2

    watcher.note = kept  # type: ignore[method-assign]
    outcome = run(tmp_path, watcher=watcher)
    assert outcome.status == "stopped"
    assert [note for note in watcher.notes if "No space left" in note]
    assert checkpoints.load(tmp_path).step == 5
    assert not list(tmp_path.glob(".*"))


def test_a_full_disk_is_an_error_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left (os error 28)")

    monkeypatch.setattr(checkpoints, "save_file", full)
    watcher = Watcher()
    with pytest.raises(CheckpointError, match="written: No space left; "):
        run(tmp_path, watcher=watcher)
    assert watcher.steps == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("family", ["flow", "vae", "dcgan"])
def test_one_picture_is_enough_for_a_training(tmp_path: Path, family: str) -> None:
    outcome = run(tmp_path, family=family, data=make_data(1), batch=2, steps=3)
    assert outcome.status == "completed"


def test_a_full_disk_for_samples_does_not_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("muniment_image.progress_files.write_file", full)
    watcher = Watcher()
    assert run(tmp_path, watcher=watcher).status == "completed"
    assert [note for note in watcher.notes if "No space left" in note]


def test_a_folder_is_locked_for_one_training(tmp_path: Path) -> None:
    with (
        files.locked(tmp_path),
        pytest.raises(Exception, match="another process"),
        files.locked(tmp_path),
    ):
        pass
    with files.locked(tmp_path):
        pass


def test_unfinished_files_of_a_killed_training_are_removed(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / ".checkpoint.safetensors.123").mkdir()
    (tmp_path / ".checkpoint.safetensors.123" / ".tmpQ1w2E3").write_bytes(b"half a checkpoint")
    for name in ("samples/.epoch-0001.png.77", ".hidden"):
        (tmp_path / name).write_bytes(b"")
    files.remove_abandoned(tmp_path)
    assert [path.name for path in tmp_path.rglob(".*")] == [".hidden"]


# ---- precision -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amx", "avx", "expected"),
    [(True, True, "bfloat16"), (False, True, "bfloat16"), (False, False, "float32")],
)
def test_a_processor_uses_bfloat16_only_with_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    assert native_precision(torch.device("cpu")) == expected


@pytest.mark.parametrize("family", ["flow", "vae", "dcgan"])
def test_every_family_trains_in_bfloat16(tmp_path: Path, family: str) -> None:
    outcome = run(tmp_path, family=family, precision="bfloat16", steps=2)
    assert outcome.status == "completed"
    assert all(
        tensor.dtype == torch.float32
        for tensor in checkpoints.load(tmp_path).tensors.values()
        if tensor.is_floating_point() and tensor.dtype != torch.float64
    )


# ---- the contract of trainings -------------------------------------------------------------------


class TestContract(TrainingContract):
    generator = ImageGenerator

    def train(self, folder: Path) -> Training:
        folder.mkdir()
        outcome = run(folder, steps=2)
        assert outcome.model is not None
        return finish(
            outcome, outcome.model, make_data(), Options(steps=2, seed=7, batch=5), folder
        )
