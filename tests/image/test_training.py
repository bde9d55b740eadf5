"""The training loop: batches, resuming, failures, and the files that it writes."""

from __future__ import annotations

import errno
import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError

from muniment import Training
from muniment.testing import TrainingContract
from muniment_image import checkpoints, curve, files, progress_files, training
from muniment_image.batches import Batches
from muniment_image.checkpoints import CheckpointError
from muniment_image.dataset_conditions import condition_of
from muniment_image.dataset_folder import DatasetError, Item
from muniment_image.datasets import Dataset
from muniment_image.generator import ImageGenerator
from muniment_image.model_config import ModelConfig
from muniment_image.model_folder import load_model
from muniment_image.progress_files import is_grid_due, losses_table
from muniment_image.training import Outcome, new_family, train
from muniment_image.training_options import Options, ResumeError, native_precision
from muniment_image.training_records import finish
from muniment_image.training_state import TrainingState

NETWORKS = {
    "flow": {"width": 8, "blocks": 1, "embedding": 8},
    "vae": {"width": 4, "latent": 4, "embedding": 4},
    "dcgan": {"width": 4, "latent": 4, "embedding": 4},
}


def make_data(count: int = 12, *, channels: int = 3, classes: int = 2) -> Dataset:
    rng = np.random.default_rng(0)
    names = tuple(f"class {number}" for number in range(classes))
    return Dataset(
        pixels=rng.integers(0, 256, (count, 8, 8, channels), dtype=np.uint8),
        items=tuple(
            Item(f"{number}.png", names[number % classes], (f"red {number}", f"红 {number}"))
            for number in range(count)
        ),
        classes=names,
        folder=Path("/pictures/of/mine"),
        files=(),
        fingerprints=np.arange(count, dtype=np.uint64),
    )


def config_of(data: Dataset, family: str = "flow", condition: str = "label") -> ModelConfig:
    return ModelConfig(
        family,
        8,
        data.pixels.shape[3],
        condition_of(data, condition),
        network=NETWORKS[family],
        steps=1,
        batch=4,
    )


class Watcher:
    """A watcher that collects notes, and can send a signal to this process after some steps."""

    def __init__(self, stop_after: int = -1, number: int = signal.SIGINT) -> None:
        self.steps, self.stop_after, self.number = 0, stop_after, number
        self.notes: list[str] = []

    def advance(self, steps: int) -> None:
        self.steps += steps
        if self.steps == self.stop_after:
            signal.raise_signal(self.number)

    def note(self, text: str) -> None:
        self.notes.append(text)


def run(
    out: Path,
    *,
    family: str = "flow",
    condition: str = "label",
    data: Dataset | None = None,
    watcher: Watcher | None = None,
    resume: bool = False,
    log: Any = None,
    **options: Any,
) -> Outcome:
    """Train a tiny model for six steps."""
    out.mkdir(exist_ok=True)
    data = data or make_data()
    return train(
        new_family(config_of(data, family, condition), 7),
        data,
        Options(**{"steps": 6, "seed": 7, "batch": 5, **options}),
        out,
        resume=resume,
        samples=3,
        checkpoint_steps=2,
        watcher=watcher or Watcher(),
        log=log,
    )


def weights(outcome: Outcome) -> dict[str, Any]:
    assert outcome.model is not None
    return {name: tensor.tolist() for name, tensor in outcome.model.state_dict().items()}


# ---- batches -----------------------------------------------------------------------------------


def make_batches(count: int = 10, batch: int = 4, **options: Any) -> Batches:
    data = make_data(count)
    condition = condition_of(data, options.pop("condition", "none"))
    return Batches(data, condition, batch=batch, seed=options.pop("seed", 1), **options)


@pytest.mark.parametrize(("count", "batch"), [(10, 4), (3, 8), (1, 2), (8, 8)])
def test_batches_have_one_size_and_every_epoch_has_each_picture_once(
    count: int, batch: int
) -> None:
    batches = make_batches(count, batch)
    indices = np.concatenate([batches.indices(step) for step in range(2 * count)])
    assert len(indices) == 2 * count * batch
    for epoch in range(2 * batch):
        assert sorted(indices[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_epochs_have_different_orders() -> None:
    batches = make_batches(50, 50)
    assert batches.indices(0).tolist() != batches.indices(1).tolist()


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    options = {"augment": ("flip", "shift"), "condition": "caption"}
    first, second = make_batches(**options), make_batches(**options)
    for step in (0, 1, 2):
        first.read(step)
    for ours, theirs in zip(first.read(5), second.read(5), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(first.read(5)[0], make_batches(seed=2, **options).read(5)[0])


def test_pictures_become_numbers_from_minus_one_to_one() -> None:
    data = make_data(4)
    images, conditions = Batches(data, condition_of(data, "none"), batch=4, seed=1).read(0)
    assert conditions is None
    assert images.shape == (4, 3, 8, 8)
    pixels = ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    order = Batches(data, condition_of(data, "none"), batch=4, seed=1).indices(0)
    assert (pixels == data.pixels[order]).all()


def test_conditions_belong_to_their_pictures() -> None:
    data = make_data(10)
    condition = condition_of(data, "label")
    batches = Batches(data, condition, batch=10, seed=1)
    ids = batches.read(0)[1]
    expected = [condition.encode(data.items[index].label) for index in batches.indices(0)]
    assert ids.tolist() == [list(row) for row in expected]


def test_each_caption_of_a_picture_is_used() -> None:
    batches = make_batches(1, 2, condition="caption")
    rows = Counter(tuple(row) for step in range(20) for row in batches.read(step)[1].tolist())
    assert len(rows) == 2
    assert min(rows.values()) > 5


def test_flips_and_shifts_change_some_pictures() -> None:
    plain = make_batches(6, 6).read(0)[0]
    flipped = make_batches(6, 6, augment=("flip",)).read(0)[0]
    changed = [not torch.equal(one, other) for one, other in zip(plain, flipped, strict=True)]
    assert 0 < sum(changed) < 6
    mirrored = plain.flip(3)
    assert all(
        torch.equal(flipped[row], (mirrored if changed[row] else plain)[row]) for row in range(6)
    )
    shifted = make_batches(6, 6, augment=("shift",)).read(0)[0]
    assert not torch.equal(shifted, plain)


def test_a_caption_without_content_words_is_named() -> None:
    data = make_data(2)
    items = (data.items[0], Item("empty.png", None, ("the",)))
    bad = Dataset(data.pixels, items, (), data.folder, (), data.fingerprints)
    with pytest.raises(DatasetError, match=r"empty\.png"):
        Batches(bad, condition_of(bad, "caption"), batch=2, seed=1)


def test_a_caption_that_is_too_long_is_named() -> None:
    data = make_data(2)
    long = " ".join(f"word{number}" for number in range(65))
    items = (data.items[0], Item("long.png", None, (long,)))
    bad = Dataset(data.pixels, items, (), data.folder, (), data.fingerprints)
    with pytest.raises(DatasetError, match=r"long\.png"):
        condition_of(bad, "caption")


# ---- resuming ----------------------------------------------------------------------------------


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


# ---- failures ----------------------------------------------------------------------------------


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
    for name in (".checkpoint.safetensors.123", "samples/.epoch-0001.png.77", ".hidden"):
        (tmp_path / name).write_bytes(b"")
    files.remove_abandoned(tmp_path)
    assert [path.name for path in tmp_path.rglob(".*")] == [".hidden"]


# ---- precision ---------------------------------------------------------------------------------


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


# ---- files of the progress ---------------------------------------------------------------------


def test_a_grid_of_samples_is_written_at_the_end_of_each_epoch(tmp_path: Path) -> None:
    run(tmp_path, steps=5, batch=6)  # two steps an epoch
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == ["epoch-0001.png", "epoch-0002.png", "epoch-0003.png"]
    with Image.open(tmp_path / "samples" / names[0]) as grid:
        assert 3 * 96 < grid.width < 4 * 96
        assert 96 < grid.height < 2 * 96


@pytest.mark.parametrize(("steps", "batch"), [(5, 6), (130, 2), (10_000, 5), (3, 40), (1, 2)])
def test_grids_are_spread_over_the_training_and_at_most_fifty(steps: int, batch: int) -> None:
    pictures = 2 if steps > 5 else 12
    options = Options(steps=steps, seed=1, batch=batch)
    due = [step for step in range(1, steps + 1) if is_grid_due(step, options, pictures)]
    assert due[-1] == steps
    assert min(steps, 3) <= len(due) <= 51


@pytest.mark.parametrize(
    ("classes", "columns"), [(1, 8), (2, 8), (3, 6), (8, 8), (10, 10), (16, 16), (17, 8)]
)
def test_a_column_of_samples_has_one_class_if_there_are_few(classes: int, columns: int) -> None:
    data = make_data(classes, classes=classes)
    assert progress_files._columns(config_of(data), 32) == columns
    assert progress_files._columns(config_of(data), 3) == 3


def test_samples_change_nothing_in_the_training(tmp_path: Path) -> None:
    data = make_data()
    config = config_of(data, "dcgan")
    states = []
    for samples in (0, 5):
        out = tmp_path / str(samples)
        out.mkdir()
        options = Options(steps=6, seed=7, batch=5)
        outcome = train(new_family(config, 7), data, options, out, samples=samples)
        states.append(weights(outcome))
    assert states[0] == states[1]
    assert not (tmp_path / "0" / "samples").exists()


def test_the_curve_is_a_picture_with_axes_and_the_losses_a_table(tmp_path: Path) -> None:
    outcome = run(tmp_path, family="dcgan")
    with Image.open(tmp_path / "curve.png") as picture:
        pixels = np.array(picture.convert("RGB"))
    assert pixels.shape == (curve.SIZE[1], curve.SIZE[0], 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 4
    lines = (tmp_path / "losses.csv").read_text().splitlines()
    assert lines[0] == "step,discriminator loss,generator loss"
    assert len(lines) == 7
    last = [values[-1] for values in outcome.losses.values()]
    assert [float(cell) for cell in lines[-1].split(",")[1:]] == pytest.approx(last, rel=1e-4)


@pytest.mark.parametrize(
    "curves",
    [
        {},
        {"loss": []},
        {"loss": [0.0]},
        {"loss": [1.0, 1.0]},
        {"loss": [float("nan"), 1.0]},
        {"loss": [-3.0, 2e9]},
        {"a": [1e-9, 5.0], "b": list(np.linspace(1, 2, 5000))},
        {"loss": [float("inf")]},
    ],
)
def test_a_curve_is_drawn_for_any_losses(curves: dict[str, list[float]]) -> None:
    pixels = curve.draw_curve(curves, title="Training", steps=5000)
    assert pixels.shape == (curve.SIZE[1], curve.SIZE[0], 3)


def test_a_long_table_of_losses_has_means(tmp_path: Path) -> None:
    lines = losses_table({"loss": [float(step % 2) for step in range(4000)]}).splitlines()
    assert len(lines) == 1001
    assert lines[1] == "4,0.5"
    assert lines[-1] == "4000,0.5"


def test_losses_and_samples_are_logged(tmp_path: Path) -> None:
    class Log:
        def __init__(self) -> None:
            self.steps: list[int] = []
            self.grids: list[int] = []

        def losses(self, step: int, losses: dict[str, float]) -> None:
            assert set(losses) == {"loss"}
            self.steps.append(step)

        def samples(self, step: int, pixels: np.ndarray) -> None:
            self.grids.append(step)

    log = Log()
    run(tmp_path, log=log, steps=4, batch=6)
    assert (log.steps, log.grids) == ([1, 2, 3, 4], [2, 4])


def test_a_checkpoint_has_no_pickle_and_its_options_are_json(tmp_path: Path) -> None:
    run(tmp_path)
    content = (tmp_path / checkpoints.FILE).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    description = json.loads(header["__metadata__"]["muniment"])
    assert description["step"] == 6
    assert description["options"]["seed"] == 7


def test_weights_beyond_float16_are_written_as_float32(tmp_path: Path) -> None:
    outcome = run(tmp_path, steps=1)
    assert outcome.model is not None
    with torch.no_grad():
        outcome.model.network.enter.weight[0, 0, 0, 0] = 1e5
    finish(outcome, outcome.model, make_data(), Options(steps=1, seed=7, batch=5), tmp_path)
    assert load_model(tmp_path).network.enter.weight[0, 0, 0, 0] == 1e5


# ---- the contract of trainings -----------------------------------------------------------------


class TestContract(TrainingContract):
    generator = ImageGenerator

    def train(self, folder: Path) -> Training:
        folder.mkdir()
        outcome = run(folder, steps=2)
        assert outcome.model is not None
        return finish(
            outcome, outcome.model, make_data(), Options(steps=2, seed=7, batch=5), folder
        )
