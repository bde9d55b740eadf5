"""Every check of the suite for trainings passes a good training and fails one that breaks it."""

from __future__ import annotations

import inspect
import itertools
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import muniment
from muniment.testing import TrainingContract

RECORD = "the_training_can_be_recorded"
DESCRIBE = "the_model_describes_its_training"
REPEAT = "the_same_training_writes_the_same_files"
COPY = "adding_copies_the_model_unchanged"

numbers = itertools.count()


class Copies(muniment.Generator):
    name, media_type, uses_model = "copies", "text/plain", True

    def generate(self, requests: Sequence[muniment.Request]) -> Iterable[muniment.Reply]:
        return ()

    def packaged_models(self) -> Sequence[muniment.PackagedModel]:
        return ()

    def add_model(
        self, source: str, into: Path, progress: Callable[[str, float], None]
    ) -> Mapping[str, Any]:
        progress("copying", 0.0)
        shutil.copytree(source, into, dirs_exist_ok=True)
        return {}

    def find_model(self, source: str) -> Path:
        raise muniment.ModelError(source, f"there is no model {source}")


class Converts(Copies):
    def add_model(
        self, source: str, into: Path, progress: Callable[[str, float], None]
    ) -> Mapping[str, Any]:
        (into / "weights").write_bytes(b"converted")
        return {}


class WithoutModels(muniment.Generator):
    name, media_type = "none", "text/plain"

    def generate(self, requests: Sequence[muniment.Request]) -> Iterable[muniment.Reply]:
        return ()


def trained(folder: Path, weights: bytes = b"[0.5]", **fields: Any) -> muniment.Training:
    folder.mkdir()
    (folder / "weights").write_bytes(weights)
    training = muniment.Training(
        **{"model": folder, "counts": {"steps": 3}, "data_folder": "/data"} | fields
    )
    if training.model is not None:
        muniment.write_training_json(training)
    return training


class Good(TrainingContract):
    generator = Copies

    def train(self, folder: Path) -> muniment.Training:
        return trained(folder)


class WithoutResult(Good):
    def train(self, folder: Path) -> muniment.Training:
        return trained(folder, model=None, status="stopped")


class Invalid(Good):
    def train(self, folder: Path) -> muniment.Training:
        training = trained(folder)
        return muniment.Training(model=training.model, counts={"steps": 1.5})  # type: ignore[dict-item]


class Undescribed(Good):
    def train(self, folder: Path) -> muniment.Training:
        training = trained(folder)
        (folder / "training.json").unlink()
        return training


class WithPath(Good):
    def train(self, folder: Path) -> muniment.Training:
        return trained(folder, parameters={"data": "/data/train"})


class Random(Good):
    def train(self, folder: Path) -> muniment.Training:
        return trained(folder, weights=str(next(numbers)).encode())


class AnyOrder(Random):
    repeatable = False


class Converted(Good):
    generator = Converts


class NotAdded(Good):
    generator = WithoutModels


def check(suite: type[TrainingContract], point: str, tmp_path: Path) -> None:
    method = getattr(suite(), f"test_{point}")
    fixtures: dict[str, Any] = {"tmp_path": tmp_path}
    if "training" in inspect.signature(method).parameters:
        fixtures["training"] = suite()._train(tmp_path / "trained")
    method(**{name: fixtures[name] for name in inspect.signature(method).parameters})


def points() -> list[str]:
    return [name.removeprefix("test_") for name in dir(Good) if name.startswith("test_")]


@pytest.mark.parametrize("point", points())
def test_a_good_training_passes_every_check(point: str, tmp_path: Path) -> None:
    check(Good, point, tmp_path)


CASES: list[tuple[type[TrainingContract], str, str]] = [
    (WithoutResult, RECORD, "the training wrote no model; set Training.model"),
    (Invalid, RECORD, "the training cannot be recorded: .*counts"),
    (Undescribed, DESCRIBE, "has no training.json"),
    (WithPath, DESCRIBE, "contains the path /data; leave paths out"),
    (Random, REPEAT, "wrote other files; take randomness from a seed"),
    (Converted, COPY, "add_model of copies changed the files"),
    (NotAdded, COPY, "none cannot add models"),
]


@pytest.mark.parametrize(("suite", "point", "complaint"), CASES)
def test_a_training_that_breaks_a_point_fails_in_one_sentence(
    suite: type[TrainingContract], point: str, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(pytest.fail.Exception, match=complaint) as caught:
        check(suite, point, tmp_path)
    assert "\n" not in str(caught.value)
    assert caught.value.pytrace is False


def test_a_training_that_is_not_repeatable_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception):
        check(AnyOrder, REPEAT, tmp_path)


def test_every_check_can_fail() -> None:
    assert {point for _, point, _ in CASES} == set(points())


class TestGood(Good):
    """The suite as pytest runs it."""
