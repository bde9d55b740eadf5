"""`muniment image train`: from folders of pictures to recorded models."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
import sqlalchemy

import muniment
import muniment.testing
from muniment.ledger.events import TrainingEntry
from muniment.store.recording.events import select_events
from muniment_image import checkpoints
from muniment_image.commands import image
from muniment_image.commands.train import train as train_command
from muniment_image.families.flow import Flow
from muniment_image.model_folder import load_model, read_config
from support import picture_folders
from support.commands import Here, Processes, Result

TINY = [
    *("--image-size", "8", "--batch", "4", "--seed", "1", "--samples", "2", "--sampler-steps", "1"),
    *("--network", "width=8", "--network", "blocks=1", "--network", "embedding=8"),
]


class TestTrain(muniment.testing.CommandContract):
    command = train_command
    reads = False


class TestImage(muniment.testing.CommandContract):
    command = image
    plugin = "muniment_image.commands"


class Trainer:
    """`muniment image train` into the folder `model`, in this process or another."""

    def __init__(self, here: Here, processes: Processes, folder: Path) -> None:
        self.here, self.processes = here, processes
        self.out, self.data = folder / "model", folder / "data"

    def __call__(self, *arguments: str | Path) -> Result:
        return self.here("image", "train", "--out", self.out, *arguments)

    def small(self, *arguments: str | Path, steps: int = 4, data: Path | None = None) -> Result:
        """Train a tiny model on the data."""
        return self("--data", data or self.data, "--steps", str(steps), *TINY, *arguments)

    def started(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a long training of a tiny model, and return its process with ten steps done."""
        process = subprocess.Popen(
            [
                *(self.processes.program, "image", "train", "--data", self.data, "--out", self.out),
                *("--steps", "100000", "--checkpoint-steps", "10", *TINY, *arguments),
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.processes.environment,
            encoding="utf-8",
        )
        deadline = time.monotonic() + 60
        while not self.step():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return process

    def step(self) -> int:
        """Return the step of the checkpoint, 0 without one."""
        if not (self.out / checkpoints.FILE).exists():
            return 0
        return int(checkpoints.read_description(self.out)["step"])

    def trainings(self) -> list[tuple[str, int]]:
        """Return the status and the steps of the recorded trainings."""
        with muniment.open() as session, session.store._database.reading() as connection:
            events = select_events(connection, TrainingEntry, sqlalchemy.true())
            return [(event.entry.status, event.entry.counts["steps"]) for event in events]


@pytest.fixture
def trainer(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path
) -> Trainer:
    monkeypatch.setenv("MUNIMENT_HOME", str(home))
    picture_folders.write_classes(tmp_path / "data")
    return Trainer(Here(capfd, monkeypatch), Processes(tmp_path / "none", home), tmp_path)


# ---- a whole training --------------------------------------------------------------------------


def test_a_training_writes_a_model_and_is_recorded(trainer: Trainer, tmp_path: Path) -> None:
    result = trainer.small("--json")
    assert result.code == 0, result.err
    record = json.loads(result.out)
    assert (record["status"], record["steps"]) == ("completed", 4)
    assert record["model"] == muniment.model_digest(trainer.out)
    assert sorted(path.name for path in trainer.out.iterdir()) == [
        *("README.md", "curve.png", "losses.csv", "model.json", "model.safetensors"),
        *("samples", "training.json"),
    ]
    claim = json.loads((trainer.out / "training.json").read_text())
    assert claim["classes"] == ["cat", "狗"]
    assert claim["counts"] == {"classes": 2, "epochs": 2, "examples": 8, "steps": 4}
    assert claim["parameters"]["seed"] == 1
    assert len(claim["losses"]) == 2
    with muniment.open() as session:
        (event,) = session.store.trainings.of([record["model"]])
        assert event.entry.status == "completed"
        assert [plugin.distribution for plugin in event.plugins] == ["muniment", "muniment-image"]
        assert len(event.training.data_files or ()) == 8
    assert "muniment generate image cat" in result.err
    assert read_config(trainer.out).condition.kind == "label"
    load_model(trainer.out)


def test_no_path_is_written_into_the_model(trainer: Trainer, tmp_path: Path) -> None:
    assert trainer.small().code == 0
    for path in trainer.out.rglob("*.*"):
        assert str(tmp_path).encode() not in path.read_bytes()


def test_the_same_training_writes_the_same_files(trainer: Trainer, tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        trainer.out = tmp_path / name
        assert trainer.small().code == 0
        digests.append(muniment.model_digest(trainer.out))
    assert digests[0] == digests[1]


def test_epochs_are_passes_over_the_data(trainer: Trainer) -> None:
    result = trainer("--data", trainer.data, *TINY, "--epochs", "3", "--json")
    assert json.loads(result.out)["steps"] == 6


def test_captions_in_two_languages_train_a_captioned_model(trainer: Trainer) -> None:
    lines = [
        {"file_name": f"cat/{number}.png", "caption": f"red {number}", "caption_zh": "红色"}
        for number in range(4)
    ]
    text = "\n".join(map(json.dumps, lines))
    (trainer.data / "metadata.jsonl").write_text(text)
    assert trainer.small().code == 0
    condition = read_config(trainer.out).condition
    assert condition.kind == "caption"
    assert condition.encode("red 红") != condition.encode("red")


def test_texts_that_only_some_pictures_have_are_not_ignored(trainer: Trainer) -> None:
    lines = [
        {"file_name": "cat/0.png", "label": "cat", "caption": "red cat"},
        {"file_name": "cat/1.png", "label": "cat"},
    ]
    metadata = trainer.data / "metadata.jsonl"
    metadata.write_text("\n".join(map(json.dumps, lines)))
    refused = trainer.small()
    assert (refused.code, trainer.out.exists()) == (2, False)
    assert "cat/1.png" in refused.err
    assert trainer.small("--condition", "label").code == 0


def test_a_very_long_caption_is_shortened_below_a_sample(trainer: Trainer) -> None:
    line = {"file_name": "cat/0.png", "caption": "x" * 100_000}
    (trainer.data / "metadata.jsonl").write_text(json.dumps(line))
    result = trainer.small()
    assert result.code == 0, result.err
    assert list((trainer.out / "samples").iterdir())


def test_one_class_trains_and_is_noted(trainer: Trainer, tmp_path: Path) -> None:
    picture_folders.save(tmp_path / "one" / "cat" / "0.png")
    result = trainer.small(data=tmp_path / "one")
    assert result.code == 0
    assert "cat alone" in result.err


def test_tensorboard_logs_are_written(trainer: Trainer, tmp_path: Path) -> None:
    assert trainer.small("--tensorboard", tmp_path / "logs").code == 0
    assert list((tmp_path / "logs").glob("events.*"))


# ---- awkward folders ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "condition", "code", "names"),
    [
        ("classes", "label", 0, ["empty"]),
        ("modes", "none", 0, ["thin.png"]),
        ("turned", "none", 0, []),
        ("damaged", "none", 2, ["truncated.jpg", "zero.png", "animated.gif"]),
        ("bombs", "none", 2, ["pixels.png"]),
        ("talking", "none", 0, []),
        ("names", "none", 0, ["outside", "secret.png"]),
        ("names", "label", 2, ["cat.jpg", "Cat.JPG"]),
        ("modes", "label", 2, ["label"]),
        ("modes", "caption", 2, ["caption"]),
    ],
)
def test_awkward_folders(
    trainer: Trainer, tmp_path: Path, folder: str, condition: str, code: int, names: list[str]
) -> None:
    data = picture_folders.FOLDERS[folder](tmp_path / folder)
    result = trainer.small("--condition", condition, data=data, steps=2)
    assert result.code == code, result.err
    assert all(name in result.err for name in names)
    assert "\x1b" not in result.err
    assert trainer.out.exists() == (code == 0)
    assert trainer.trainings() == ([("completed", 2)] if code == 0 else [])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--image-size", "30"], "30"),
        (["--image-size", "1000000"], "1000000"),
        (["--network", "width"], "NAME=N"),
        (["--network", "depth=3"], "blocks"),
        (["--network", "width=0"], "width is 0"),
        (["--steps", "3", "--epochs", "3"], "--epochs"),
        (["--batch", "1"], "--batch"),
        (["--family", "gan"], "gan"),
        (["--data", "nowhere"], "nowhere"),
        (["--data", "fashion-mnist"], "dataset-fashion-mnist"),
        (["--device", "cuda"], "CUDA"),
        (["--data", ""], "--data"),
        (["--network", "=8"], "NAME=N"),
        (["--network", "width=8", "--network", "width=9"], "twice"),
        (["--batch", str(2**31 - 1)], "--batch"),
        (["--condition", "none", "--guidance", "3"], "--guidance"),
        (["--family", "dcgan", "--guidance", "3"], "--guidance"),
        (["--learning-rate", "nan"], "--learning-rate"),
        (["--ema", "nan"], "--ema"),
        (["--clip", "nan"], "--clip"),
        (["--guidance", "nan"], "--guidance"),
    ],
)
def test_invalid_options_are_refused_before_anything_is_written(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, arguments: list[str], name: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("XDG_DATA_DIRS", "/nowhere")
    defaults = [] if "--data" in arguments else ["--data", trainer.data]
    result = trainer(*defaults, *arguments)
    assert (result.code, result.out) == (2, "")
    assert name in result.err.splitlines()[-1]
    assert not trainer.out.exists()


def test_a_network_that_does_not_fit_the_memory_is_refused(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment_image.training.physical_memory", lambda: 1e9)
    result = trainer("--data", trainer.data, "--network", "width=1024")
    assert result.code == 2
    assert "--network" in result.err.splitlines()[-1]
    assert not trainer.out.exists()


def test_a_folder_that_is_not_empty_is_refused(trainer: Trainer) -> None:
    trainer.out.mkdir()
    (trainer.out / "thesis.txt").write_text("valuable")
    result = trainer.small()
    assert result.code == 2
    assert [path.name for path in trainer.out.iterdir()] == ["thesis.txt"]


def test_a_folder_within_the_data_is_refused(trainer: Trainer) -> None:
    trainer.out = trainer.data / "model"
    assert trainer.small().code == 2
    assert not trainer.out.exists()


def test_no_data_is_refused(trainer: Trainer) -> None:
    result = trainer(*TINY)
    assert result.code == 2
    assert "--data" in result.err


# ---- ends before the last step -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.integration),
    ],
)
def test_a_signal_writes_a_checkpoint_and_records_a_stopped_training(
    trainer: Trainer, number: int, code: int
) -> None:
    process = trainer.started()
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    step = checkpoints.read_description(trainer.out)["step"]
    assert trainer.trainings() == [("stopped", step)]
    assert "--resume" in stderr
    load_model(trainer.out)


def test_a_killed_training_is_resumed_with_the_options_of_its_start(trainer: Trainer) -> None:
    process = trainer.started()
    try:
        in_progress = trainer("--resume")
    finally:
        process.kill()
        process.communicate()
    assert in_progress.code == 2
    assert "another process" in in_progress.err
    before = (trainer.out / checkpoints.FILE).read_bytes()
    overwriting = trainer.small()
    assert overwriting.code == 2
    assert "--resume" in overwriting.err
    assert (trainer.out / checkpoints.FILE).read_bytes() == before
    assert checkpoints.read_description(trainer.out)["step"] % 10 == 0
    assert trainer.small("--resume", steps=7).code == 2  # another number of steps
    # Let it have few steps to do, without another option.
    checkpoint = checkpoints.load(trainer.out)
    options = {**checkpoint.options, "steps": checkpoint.step + 3}
    checkpoints.save(trainer.out, checkpoint._replace(options=options))
    result = trainer("--resume", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["steps"] == checkpoint.step + 3
    assert trainer.trainings() == [("completed", checkpoint.step + 3)]
    assert not list(trainer.out.rglob(".*"))
    assert not (trainer.out / checkpoints.FILE).exists()


KILLED = """
import os, signal, sys
import muniment
from muniment_image import checkpoints, training_records
from muniment.cli import main

def killed(owner, name, before):
    function = getattr(owner, name)
    def wrapper(*arguments, **options):
        if not before:
            function(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, wrapper)

owners = {
    "save_model": training_records,
    "write_training_json": training_records.muniment,
    "record_training": muniment.Session,
    "remove": checkpoints,
}
killed(owners[sys.argv[1]], sys.argv[1], sys.argv[2] == "before")
sys.exit(main(sys.argv[3:]))
"""


@pytest.mark.parametrize(
    ("function", "moment"),
    [
        pytest.param("save_model", "after", marks=pytest.mark.integration),
        pytest.param("write_training_json", "after", marks=pytest.mark.integration),
        ("record_training", "before"),
        ("record_training", "after"),
        pytest.param("remove", "after", marks=pytest.mark.integration),
    ],
)
def test_a_training_killed_at_its_end_is_recorded_once(
    trainer: Trainer, function: str, moment: str
) -> None:
    arguments = ["image", "train", "--data", trainer.data, "--out", trainer.out, "--steps", "2"]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, function, moment, *map(str, arguments), *TINY],
        capture_output=True,
        env=trainer.processes.environment,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    is_done = function == "remove"
    assert trainer("--resume").code == (2 if is_done else 0)
    assert trainer.trainings() == [("completed", 2)]
    with muniment.open() as session:
        assert session.store.trainings.of([muniment.model_digest(trainer.out)])
    assert not list(trainer.out.rglob(".*"))
    assert not (trainer.out / checkpoints.FILE).exists()


KILLED_WHILE_WRITING = """
import resource, signal, sys
from muniment.cli import main
from muniment_image import checkpoints

def save(folder, checkpoint):
    if checkpoint.step:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # a byte beyond the limit ends the process
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    original(folder, checkpoint)

original, checkpoints.save = checkpoints.save, save
sys.exit(main(sys.argv[1:]))
"""


def test_a_training_killed_while_it_writes_a_checkpoint_leaves_no_file_in_the_model(
    trainer: Trainer, tmp_path: Path
) -> None:
    start = ["--data", trainer.data, "--steps", "2", "--checkpoint-steps", "1", *TINY]
    arguments = ["image", "train", "--out", trainer.out, *start]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_WRITING, *map(str, arguments)],
        capture_output=True,
        env=trainer.processes.environment,
    )
    assert killed.returncode == -signal.SIGXFSZ, killed.stderr
    assert checkpoints.read_description(trainer.out)["step"] == 0
    assert [file.name for file in trainer.out.rglob("*") if file.is_file()] != [checkpoints.FILE]
    assert trainer("--resume", "--checkpoint-steps", "1").code == 0
    assert not list(trainer.out.rglob(".*"))
    done = trainer.here("image", "train", "--out", tmp_path / "whole", *start)
    assert done.code == 0, done.err
    assert muniment.model_digest(trainer.out) == muniment.model_digest(tmp_path / "whole")


def test_a_checkpoint_has_the_permissions_that_the_umask_allows(trainer: Trainer) -> None:
    before = os.umask(0o027)
    try:
        process = trainer.started()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        os.umask(before)
    assert (trainer.out / checkpoints.FILE).stat().st_mode & 0o777 == 0o640


@pytest.mark.integration
def test_a_training_killed_at_random_moments_ends_with_the_model_of_an_uninterrupted_one(
    trainer: Trainer, tmp_path: Path
) -> None:
    program = [trainer.processes.program, "image", "train"]
    start = ["--data", trainer.data, "--steps", "400", "--checkpoint-steps", "3", *TINY]
    random = Random(5)
    arguments, kills = start, 0
    while True:
        process = subprocess.Popen(
            [*program, "--out", trainer.out, *arguments],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=trainer.processes.environment,
            encoding="utf-8",
        )
        before, deadline = trainer.step(), time.monotonic() + 60
        while process.poll() is None and kills < 4 and trainer.step() == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if kills < 4 and process.poll() is None:
            time.sleep(random.random() / 2)
            process.kill()
            kills += 1
        _, stderr = process.communicate(timeout=300)
        if process.returncode != -signal.SIGKILL:
            break
        arguments = ["--resume", "--checkpoint-steps", "3"]
    assert (process.returncode, kills) == (0, 4), stderr
    done = trainer.processes("image", "train", "--out", tmp_path / "whole", *start)
    assert done.code == 0, done.err
    assert muniment.model_digest(trainer.out) == muniment.model_digest(tmp_path / "whole")


@pytest.mark.parametrize(
    ("step", "options", "state"),
    [
        (-5, {}, {}),
        (9, {}, {}),
        (1, {"steps": "many"}, {}),
        (1, {"batch": 0}, {}),
        (1, {"learning_rate": float("nan")}, {}),
        (1, {"condition": "label"}, {}),
        (1, {"network": [8]}, {}),
        (1, {"precision": "float8"}, {}),
        (1, {}, {"samples": 10**9}),
    ],
)
def test_a_checkpoint_with_an_invalid_value_is_refused(
    trainer: Trainer, step: int, options: dict[str, object], state: dict[str, object]
) -> None:
    good = {
        "family": "flow",
        "steps": 4,
        "batch": 4,
        "network": {},
        "seed": 1,
        "augment": [],
        "condition": {"kind": "none"},
        "learning_rate": None,
        "precision": None,
    }
    trainer.out.mkdir()
    source = {"source": str(trainer.data)}
    checkpoint = checkpoints.Checkpoint(step, {**good, **options}, {**source, **state}, {})
    checkpoints.save(trainer.out, checkpoint)
    result = trainer("--resume")
    assert result.code == 1
    assert checkpoints.FILE in result.err
    assert result.err.count("\n") == 1
    assert (trainer.out / checkpoints.FILE).exists()


def test_nothing_is_resumed_without_a_checkpoint(trainer: Trainer) -> None:
    assert trainer.small("--resume").code == 1
    assert trainer.small().code == 0
    digest = muniment.model_digest(trainer.out)
    again = trainer("--resume")
    assert again.code == 2
    assert "new folder" in again.err
    assert muniment.model_digest(trainer.out) == digest


def test_a_loss_that_is_not_finite_is_a_failed_training(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses, calls = Flow.losses, []

    def broken(self: Flow, *arguments: object) -> dict[str, object]:
        calls.append(None)
        result = losses(self, *arguments)  # type: ignore[arg-type]
        return {"loss": result["loss"] * (float("nan") if len(calls) > 4 else 1)}

    monkeypatch.setattr(Flow, "losses", broken)
    result = trainer.small("--checkpoint-steps", "2", steps=9)
    assert result.code == 1
    assert "step 5" in result.err
    assert trainer.trainings() == [("failed", 4)]
    load_model(trainer.out)


def test_out_of_memory_is_a_failed_training(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")

    monkeypatch.setattr(Flow, "losses", full)
    result = trainer.small()
    assert result.code == 1
    assert "memory" in result.err.splitlines()[-1]
    assert trainer.trainings() == [("failed", 0)]


@pytest.mark.integration
def test_a_disk_without_space_for_the_model_keeps_the_checkpoint(trainer: Trainer) -> None:
    with muniment.open() as session:
        session.ensure_store()
    script = (
        "import resource, sys\n"
        "from muniment_image import model_folder\n"
        "replace = model_folder.write_file\n"
        "def limited(*arguments):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "    replace(*arguments)\n"
        "model_folder.write_file = limited\n"
        "from muniment.cli import main\n"
        "sys.exit(main())\n"
    )
    command = ["image", "train", "--data", trainer.data, "--out", trainer.out, "--steps", "2"]
    done = subprocess.run(
        [sys.executable, "-c", script, *command, *TINY],
        capture_output=True,
        env=trainer.processes.environment,
        encoding="utf-8",
    )
    assert done.returncode == 1
    assert "--resume" in done.stderr.splitlines()[-1]
    assert checkpoints.read_description(trainer.out)["step"] == 2
    assert trainer("--resume").code == 0
    assert trainer.trainings() == [("completed", 2)]
