"""`Session.record_training`, and the file `training.json` of a trained model."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import muniment
from muniment import ModelError, Training, UnknownNameError, UsageError
from muniment.ledger import schema
from muniment.models.training import FORMAT, read_training_json
from muniment.signing import KeyStore
from support.workspace import Workspace

Make = Callable[..., Training]


@pytest.fixture
def trained(tmp_path: Path) -> Make:
    """Write a model of one file, and return its training."""

    def make(name: str = "model", **changes: Any) -> Training:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "weights.bin").write_bytes(name.encode())
        training = Training(
            model=folder,
            counts={"epochs": 2, "examples": 3},
            parameters={
                "learning_rate": 0.1,
                "optimizer": "adam",
                "layers": ("a", "b"),
                "ema": True,
            },
            losses=[0.9, math.inf, 0.4],
            data_digest="sha256:" + "12" * 32,
            data_folder=tmp_path / "图片",
            data_files=["猫/1.png", "狗/2.png"],
            classes=["猫", "狗"],
            environment={"torch": "2.9.0"},
        )
        return dataclasses.replace(training, **changes)

    return make


class TestRecording:
    def test_a_training_is_returned_as_it_was_recorded(
        self, workspace: Workspace, trained: Make
    ) -> None:
        plugin = workspace.plugin_folder.generator("echo", "pass", distribution="test-trainer")
        training = trained()
        event = workspace.session.record_training(training, plugin="Test.Trainer")
        entry, texts = event.entry, event.training
        assert (entry.status, entry.claimed, entry.base) == ("completed", False, None)
        assert entry.result == muniment.model_digest(training.model or "")
        assert entry.counts == {"epochs": 2, "examples": 3}
        assert [item.distribution for item in event.plugins] == ["muniment", "test-trainer"]
        assert event.plugins[1] == workspace.session.plugins.ref(plugin)
        assert event.actor == workspace.session.actor
        assert texts.parameters == {
            "learning_rate": 0.1,
            "optimizer": "adam",
            "layers": ["a", "b"],
            "ema": True,
        }
        assert texts.losses == (0.9, "inf", 0.4)
        assert texts.data_digest == training.data_digest
        assert texts.data_folder == str(training.data_folder)
        assert texts.data_files == ("猫/1.png", "狗/2.png")
        assert texts.classes == ("猫", "狗")
        assert texts.environment is not None
        assert {"python", "system", "machine", "torch"} == set(texts.environment)
        assert workspace.session.verify(projections=True, payloads=True).ok

    def test_a_training_without_plugin_names_the_core(
        self, workspace: Workspace, trained: Make
    ) -> None:
        event = workspace.session.record_training(trained())
        assert [item.distribution for item in event.plugins] == ["muniment"]

    def test_the_entry_holds_no_text(self, workspace: Workspace, trained: Make) -> None:
        data = schema.encode(workspace.session.record_training(trained()).entry)
        for text in (b"adam", b"12" * 32, "猫".encode(), b"0.9", b"torch"):
            assert text not in data

    def test_counts_with_other_names_can_be_erased(
        self, workspace: Workspace, trained: Make
    ) -> None:
        counts = {"epochs": 2, "steps": 3, "examples": 4, "classes": 5, "tokens": 6}
        training = trained(counts=counts | {"jane_doe_born_1980": 1})
        muniment.write_training_json(training)
        event = workspace.session.record_training(training)
        assert b"jane" not in schema.encode(event.entry)
        assert event.entry.counts == counts
        assert event.training.other_counts == {"jane_doe_born_1980": 1}
        workspace.session.erase_event(event.number)
        [erased] = workspace.session.store.trainings.of([str(event.entry.result)])
        assert erased.training.other_counts is None

    def test_temporary_files_are_not_part_of_the_digest(
        self, workspace: Workspace, trained: Make, tmp_path: Path
    ) -> None:
        training = trained(temporary_files=["state.bin"])
        checkpoint = tmp_path / "model" / "state.bin"
        checkpoint.write_bytes(b"state")
        result = workspace.session.record_training(training).entry.result
        assert result == muniment.model_digest(tmp_path / "model", omit=["state.bin"])
        checkpoint.unlink()
        assert result == muniment.model_digest(tmp_path / "model")

    def test_a_model_of_one_file_is_recorded(
        self, workspace: Workspace, trained: Make, tmp_path: Path
    ) -> None:
        file = tmp_path / "weights.gguf"
        file.write_bytes(b"weights")
        event = workspace.session.record_training(trained(model=str(file)))
        assert event.entry.result == muniment.model_digest(file)
        assert str(event.entry.result).startswith("file-sha256:")

    @pytest.mark.parametrize("status", ["stopped", "failed"])
    def test_a_training_that_wrote_no_model_is_recorded(
        self, workspace: Workspace, trained: Make, status: Any
    ) -> None:
        training = trained(model=None, status=status, failure="磁盘已满")
        event = workspace.session.record_training(training)
        assert (event.entry.status, event.entry.result) == (status, None)
        assert event.training.failure == "磁盘已满"
        assert workspace.session.verify(projections=True, payloads=True).ok

    def test_a_base_is_named_by_its_folder_or_its_recorded_digest(
        self, workspace: Workspace, trained: Make
    ) -> None:
        session = workspace.session
        first = trained("first")
        digest = session.record_training(first).entry.result
        second = session.record_training(trained("second", base=first.model))
        assert second.entry.base == digest
        assert first.model is not None
        (Path(first.model) / "weights.bin").write_bytes(b"trained further")
        third = session.record_training(trained("third", base=digest))
        assert third.entry.base == digest
        chain = session.store.trainings.of([str(third.entry.result)])
        assert [event.entry.result for event in chain] == [third.entry.result, digest]

    def test_a_model_that_is_its_own_base_ends_the_chain(
        self, workspace: Workspace, trained: Make
    ) -> None:
        session = workspace.session
        training = trained()
        event = session.record_training(dataclasses.replace(training, base=training.model))
        assert event.entry.base == event.entry.result
        assert len(session.store.trainings.of([str(event.entry.result)])) == 1

    def test_names_that_are_not_utf8_are_escaped(self, workspace: Workspace, trained: Make) -> None:
        name = os.fsdecode(b"\xff.png")
        event = workspace.session.record_training(trained(data_files=[name], classes=[name]))
        assert event.training.data_files == event.training.classes == (r"\udcff.png",)

    def test_a_checkpoint_covers_the_training(self, workspace: Workspace, trained: Make) -> None:
        session = workspace.session
        session.ensure_store()
        KeyStore(session.home).generate(session.store.log)
        session.record_training(trained())
        session.close()
        verification = session.verify()
        assert verification.ok
        assert verification.unsigned_tail == 0


UNKNOWN = "tree1-sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"model": "/nowhere/model"}, ModelError, "there is no model /nowhere/model"),
        ({"model": "/dev/null"}, ModelError, "cannot be read"),
        ({"model": None}, UsageError, "completed training has no model"),
        ({"base": "/nowhere/base"}, ModelError, "there is no model /nowhere/base"),
        ({"base": UNKNOWN}, UnknownNameError, UNKNOWN),
        ({"status": "finished"}, UsageError, "use completed, stopped or failed"),
        ({"counts": {"epochs": -1}}, UsageError, "use whole numbers from 0"),
        ({"counts": {"epochs": 2**53}}, UsageError, "use whole numbers from 0"),
        ({"counts": {"many epochs": 1}}, UsageError, "'many epochs' of a count"),
        ({"counts": {f"c{n}": 1 for n in range(101)}}, UsageError, "at most 100"),
        ({"counts": {"epochs": True}}, UsageError, "use whole numbers from 0"),
        ({"losses": ["low"]}, UsageError, "must be numbers"),
        ({"losses": None}, UsageError, "must be numbers"),
        ({"parameters": {"rate": math.nan}}, UsageError, "parameter 'rate'"),
        ({"parameters": ["rate"]}, UsageError, "use numbers"),
        ({"model": "a\0b"}, ModelError, "cannot be read"),
        ({"parameters": {"rate": object()}}, UsageError, "cannot be recorded"),
        ({"parameters": {"name": "\ud800"}}, UsageError, r"text '\ud800' in parameters"),
        ({"data_digest": "\ud800"}, UsageError, r"text '\ud800' in data_digest"),
        ({"data_files": [3]}, UsageError, "data_files"),
        ({"data_files": "1.png"}, UsageError, "data_files"),
        ({"classes": "cat"}, UsageError, "classes"),
        ({"temporary_files": "1.bin"}, UsageError, "temporary_files"),
        ({"environment": {"torch": 1.5}}, UsageError, "cannot be recorded"),
        ({"failure": 3}, UsageError, "cannot be recorded"),
        ({"status": "completed", "failure": "x"}, UsageError, "has no failure"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_an_invalid_training_is_refused_and_not_recorded(
    workspace: Workspace, trained: Make, changes: dict[str, Any], error: type, reason: str
) -> None:
    session = workspace.session
    session.ensure_store()
    size = session.store.status().entries
    with pytest.raises(error, match=re.escape(reason)) as raised:
        session.record_training(trained(**changes))
    assert "\n" not in str(raised.value)
    assert session.store.status().entries == size


def test_an_unknown_plugin_is_refused(workspace: Workspace, trained: Make) -> None:
    with pytest.raises(UnknownNameError, match="'nobody'"):
        workspace.session.record_training(trained(), plugin="nobody")


def test_an_empty_model_folder_is_refused(
    workspace: Workspace, trained: Make, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="no files"):
        workspace.session.record_training(trained(model=tmp_path / "empty"))


class TestTrainingJson:
    def test_the_file_has_no_path_and_no_environment(self, trained: Make) -> None:
        training = trained()
        path = muniment.write_training_json(training)
        assert json.loads(path.read_bytes()) == {
            "format": FORMAT,
            "status": "completed",
            "base": None,
            "counts": {"epochs": 2, "examples": 3},
            "parameters": {
                "ema": True,
                "layers": ["a", "b"],
                "learning_rate": 0.1,
                "optimizer": "adam",
            },
            "losses": [0.9, "inf", 0.4],
            "data_digest": training.data_digest,
            "classes": ["猫", "狗"],
        }

    def test_equal_trainings_write_equal_files(self, trained: Make) -> None:
        training = trained()
        first = muniment.write_training_json(training).read_bytes()
        counts = dict(reversed(training.counts.items()))
        again = dataclasses.replace(
            training, counts=counts, data_folder="/elsewhere", environment={"torch": "3"}
        )
        assert muniment.write_training_json(again).read_bytes() == first

    def test_the_digest_covers_the_file(self, workspace: Workspace, trained: Make) -> None:
        training = trained()
        before = muniment.model_digest(training.model or "")
        muniment.write_training_json(training)
        event = workspace.session.record_training(training)
        assert event.entry.result != before
        assert event.entry.result == muniment.model_digest(training.model or "")

    def test_a_file_about_another_training_is_refused(
        self, workspace: Workspace, trained: Make
    ) -> None:
        training = trained()
        muniment.write_training_json(dataclasses.replace(training, counts={"epochs": 5}))
        with pytest.raises(UsageError, match="describes another training"):
            workspace.session.record_training(training)
        muniment.write_training_json(training)
        assert workspace.session.record_training(training).entry.counts["epochs"] == 2

    @pytest.mark.parametrize("model", [None, "/nowhere", "/dev/null"])
    def test_the_file_needs_a_folder(self, trained: Make, model: str | None) -> None:
        with pytest.raises(ModelError, match="is not a folder"):
            muniment.write_training_json(trained(model=model))

    def test_too_many_losses_are_refused(self, trained: Make) -> None:
        with pytest.raises(UsageError, match="fewer losses"):
            muniment.write_training_json(trained(losses=[0.123456789] * 1_500_000))

    @pytest.mark.parametrize("content", ["", "[", '{"epoch": 3}', "[1]" + " " * (16 << 20)])
    def test_a_file_of_another_program_is_no_claim(self, trained: Make, content: str) -> None:
        training = trained()
        path = Path(training.model or "") / "training.json"
        path.write_text(content)
        assert read_training_json(path.parent) is None

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"format": "muniment-training/2"}, "format"),
            ({"status": "done"}, "status"),
            ({"base": "a/path"}, "base"),
            ({"counts": {"epochs": 1.5}}, "counts"),
            ({"counts": {"a b": 1}}, "count"),
            ({"counts": {f"c{n}": 1 for n in range(101)}}, "at most 100"),
            ({"parameters": {"rate": {}}}, "parameters"),
            ({"losses": ["low"]}, "losses"),
            ({"data_digest": 5}, "data_digest"),
            ({"classes": "cat"}, "classes"),
            ({"trained_at": "2026-01-01"}, "unknown field"),
            (None, "missing required field"),
            ('{"format": "muniment-training/1"', "truncated|malformed"),
            ('{"format": "muniment-training/1", "\ud800": 1}', "UTF-8|utf-8"),
            ('{"format": "muniment-training/1"}' + " " * (16 << 20), "bytes"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_a_malformed_file_is_one_sentence(
        self, trained: Make, change: dict[str, Any] | str | None, reason: str
    ) -> None:
        path = muniment.write_training_json(trained())
        if isinstance(change, str):
            path.write_bytes(change.encode(errors="surrogatepass"))
        else:
            content = json.loads(path.read_bytes()) | (change or {})
            if change is None:
                del content["status"]
            path.write_text(json.dumps(content))
        with pytest.raises(ModelError, match=reason) as raised:
            read_training_json(path.parent)
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)
