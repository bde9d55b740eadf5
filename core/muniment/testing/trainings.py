"""The contract suite for the training of models, run by pytest."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from muniment.errors import MunimentError
from muniment.hookspecs import Generator, ModelProvider
from muniment.models.training import FILE, Training, check_training, model_digest
from muniment.plugins.registry import Plugins
from muniment.testing.contract import broken, without_traceback


class TrainingContract:
    """The checks of a training, which subclasses define by `generator` and `train`.

    `generator` is the class to which the trained model is added. `repeatable` is whether the same
    training writes the same files.
    """

    generator: ClassVar[type[Generator]]
    repeatable: ClassVar[bool] = True

    def train(self, folder: Path) -> Training:
        """Train a small model into a new folder, and return the training before it is recorded.

        The folder has all files of the model at the end, `training.json` included.
        """
        raise NotImplementedError

    @pytest.fixture
    def training(self, tmp_path: Path) -> Training:
        """Return the training of one model."""
        return self._train(tmp_path / "trained")

    @without_traceback
    def test_the_training_can_be_recorded(self, training: Training, tmp_path: Path) -> None:
        """Check that a store accepts the training, and finds it by the digest of the model."""
        from muniment.session.session import (
            Session,  # imports SQLAlchemy, which other suites need not
        )

        url = f"sqlite:///{tmp_path / 'muniment.db'}"

        session = Session(tmp_path / "home", store=url, actor="test", plugins=Plugins([]))
        with session:
            try:
                recorded = session.record_training(training)
            except MunimentError as error:
                broken(f"the training cannot be recorded: {error}")
            result = recorded.entry.result
            assert result is not None, "the training wrote no model; set Training.model"
            assert session.store.trainings.of([result])

    @without_traceback
    def test_the_model_describes_its_training(self, training: Training) -> None:
        """Check that the model has a `training.json` without the paths of its folders."""
        path = Path(training.model or "") / FILE
        assert path.is_file(), (
            f"the model has no {FILE}; call muniment.write_training_json(training) last"
        )
        text = path.read_text(encoding="utf-8")
        for folder in filter(None, (training.model, training.data_folder)):
            assert str(folder) not in text, (
                f"{FILE} contains the path {folder}; leave paths out of parameters and classes"
            )

    @without_traceback
    def test_the_same_training_writes_the_same_files(
        self, training: Training, tmp_path: Path
    ) -> None:
        """Check that training again gives the same digest, unless `repeatable` is False."""
        if not self.repeatable:
            pytest.skip("it does not claim to be repeatable")
        again = self._train(tmp_path / "again")
        assert model_digest(training.model or "") == model_digest(again.model or ""), (
            "training again wrote other files; take randomness from a seed, and write no times or "
            "paths into files, or set repeatable = False"
        )

    @without_traceback
    def test_adding_copies_the_model_unchanged(self, training: Training, tmp_path: Path) -> None:
        """Check that `add_model` keeps the digest, by which the training is found."""
        generator = self.generator()
        name, into = self.generator.name, tmp_path / "added"
        assert isinstance(generator, ModelProvider), (
            f"{name} cannot add models; define packaged_models, add_model and find_model"
        )
        into.mkdir()
        generator.add_model(str(training.model), into, lambda step, fraction: None)
        assert model_digest(into) == model_digest(training.model or ""), (
            f"add_model of {name} changed the files of the trained model; copy its folder"
        )

    def _train(self, folder: Path) -> Training:
        """Return a training whose fields are valid, or fail the test."""
        training = self.train(folder)
        try:
            check_training(training, {})
        except MunimentError as error:
            broken(f"the training cannot be recorded: {error}")
        return training
