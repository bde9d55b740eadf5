"""`muniment recommendation forget-user`: data, model, copies and generations of a user."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import muniment
from muniment import verifier
from muniment.ledger.events import ModelEntry
from muniment.signing import KeyStore
from muniment.testing import CommandContract, CommandResult, run_command
from muniment_recommendation.commands import recommendation
from muniment_recommendation.commands.fit import fit
from muniment_recommendation.commands.forget_user import forget_user
from muniment_recommendation.data.tables import read_tables
from muniment_recommendation.generator import RecommendationGenerator
from muniment_recommendation.home.forgotten_users import ForgottenUsers
from muniment_recommendation.model_folder.files import read_users
from muniment_recommendation.model_folder.replacement import Replacement
from support.catalogue import program
from support.commands import Here
from support.plugins import PluginFolder

USER, OTHER = "u002", "u003"


class Place:
    """A session with a folder of data and a fitted model."""

    def __init__(self, session: muniment.Session, folder: Path) -> None:
        self.session = session
        self.folder = folder
        self.data, self.model = folder / "data", folder / "model"

    def fit(self, out: Path, *options: str, data: Path | None = None) -> None:
        arguments = ("--data", str(data or self.data), "--out", str(out), *options)
        result = run_command(fit, *arguments, session=self.session)
        assert result.code == 0, result.stderr

    def list_for(self, user: str, **fields: Any) -> muniment.Generation:
        fields = {"model": str(self.model)} | fields
        return self.session.generate(
            "", generator="recommendation", inputs={"user": user.encode()}, **fields
        )

    def forget(self, user: str = USER, *options: str) -> CommandResult:
        arguments = ("--model", str(self.model), "--data", str(self.data))
        return run_command(
            recommendation,
            "forget-user",
            *(user, *arguments, "--yes", "--json", *options),
            session=self.session,
        )

    def data_without(self, user: str) -> Path:
        """Return a copy of the data, written without a user by other means."""
        copy = self.folder / f"without-{user}"
        shutil.copytree(self.data, copy)
        path = copy / "interactions.csv"
        lines = path.read_text("utf-8").splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith(f"{user},")), "utf-8")
        return copy


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def place(home: Path, tmp_path: Path, plugin_folder: PluginFolder) -> Iterator[Place]:
    """A fitted model of 60 users, in a home with a generator of articles."""
    plugin_folder.generator("article", "for r in requests: yield r.reply(Text(f'For {r.prompt}.'))")
    program().write(tmp_path / "data", users=60)
    with muniment.Session(home, actor="librarian") as session:
        session.ensure_store()
        KeyStore(home).generate(session.store.log)
        place = Place(session, tmp_path)
        place.fit(place.model, "--set", "factors=8", "--seed", "3")
        yield place


class TestForgetUser(CommandContract):
    command = forget_user
    arguments: ClassVar = (USER, "--model", "model", "--data", "data", "--yes")

    @pytest.fixture
    def session(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> muniment.Session:
        monkeypatch.chdir(place.folder)
        return place.session


def test_the_new_model_is_the_one_that_is_fitted_without_the_user(place: Place) -> None:
    without, expected = place.data_without(USER), place.folder / "expected"
    place.fit(expected, "--set", "factors=8", "--seed", "3", data=without)
    result = place.forget()
    assert result.code == 0, result.stderr
    assert files_of(place.model) == files_of(expected)
    assert files_of(place.data) == files_of(without)
    assert USER not in read_users(place.model)
    [record] = result.json
    assert record["digest"] == muniment.model_digest(place.model)
    assert record["rows"] > 0
    assert place.session.store.trainings.knows_model(record["digest"])
    names = {path.name for path in place.folder.iterdir()}
    assert not {name for name in names if name.startswith(".")}


def test_the_generations_of_the_user_are_erased_and_all_others_stay(place: Place) -> None:
    session = place.session
    mine, theirs = place.list_for(USER), place.list_for(OTHER)
    attempt = session.generate("me", generator="article", parents=[mine.id], policy="none")
    final = session.generate("me", generator="article", parents=[attempt.id], policy="none")
    for_other = place.list_for(OTHER, parents=[mine.id])
    unrelated = session.generate("all", generator="article", parents=[theirs.id], policy="none")
    key = KeyStore(session.home).private_key(session.store.log)
    assert key is not None
    proofs = {made.id: session.prove(made.id).write() for made in (theirs, unrelated)}
    [record] = place.forget().json
    assert record["erased"] == 3
    for made in (mine, attempt, final):
        recorded = session.generation(made.id)
        assert {"prompt", "output"} <= set(recorded.erased)
        assert not any(item.data for item in recorded.inputs)
    for made in (for_other, theirs, unrelated):
        assert not session.generation(made.id).erased
    assert session.verify(projections=True, payloads=True, search=True).ok
    for id, proof in proofs.items():
        path = place.folder / f"{id}.proof"
        path.write_bytes(proof)
        assert verifier.main([str(path), "--key", str(key.public)]) == 0
        assert session.prove(id)


def test_a_note_names_the_copies_that_keep_what_was_erased(place: Place) -> None:
    place.list_for(USER)
    arguments = ("--model", str(place.model), "--data", str(place.data), "--yes")
    forgotten = run_command(forget_user, USER, *arguments, session=place.session)
    assert "backups" in forgotten.stderr
    nothing_erased = run_command(forget_user, OTHER, *arguments, session=place.session)
    assert nothing_erased.code == 0
    assert "backups" not in nothing_erased.stderr


def test_lists_of_the_old_model_cannot_be_replayed(place: Place) -> None:
    theirs = place.list_for(OTHER)
    [before] = place.session.replay([theirs])
    assert before.result == "exact"
    place.forget()
    [after] = place.session.replay([theirs])
    assert after.result == "impossible"
    assert "model" in after.detail
    [again] = place.session.replay([place.list_for(OTHER)])
    assert again.result == "exact"
    with pytest.raises(muniment.UsageError, match=USER):
        place.list_for(USER)


def test_the_copy_in_the_home_is_removed_on_record(place: Place) -> None:
    session = place.session
    generator = RecommendationGenerator()
    session.models.add(str(place.model), "recommendation", generator, name="copied")
    other = place.folder / "popular"
    place.fit(other, "--model", "popularity")
    session.models.add(str(other), "recommendation", generator, name="popular")
    digest = session.models.get("copied").digest
    theirs = place.list_for(OTHER, model="copied")
    result = place.forget()
    [record] = result.json
    assert record["models"] == ["copied"]
    assert [model.name for model in session.models.added()] == ["popular"]
    assert "popular" in result.stderr
    acts = [event.entry.act for event in session.store.events.with_key(ModelEntry, digest)]
    assert acts[-1] == "removed"
    [replayed] = session.replay([theirs])
    assert replayed.result == "impossible"


def test_a_generation_on_hold_is_named_and_erased_when_the_hold_ends(place: Place) -> None:
    session = place.session
    held, free = place.list_for(USER), place.list_for(USER)
    hold, _ = session.hold(muniment.Query(ids=[held.id]), "a court order")
    result = place.forget()
    assert result.code == 1
    [record] = result.json
    assert (record["erased"], record["remaining"]) == (1, [held.id])
    assert held.id in result.stderr
    assert not session.generation(held.id).erased
    assert session.generation(free.id).erased
    files = files_of(place.model)
    session.release(hold)
    result = place.forget()
    assert result.code == 0
    assert session.generation(held.id).erased
    assert files_of(place.model) == files


def test_earlier_feedback_of_the_user_is_not_used_again(place: Place) -> None:
    session = place.session

    def first_of(made: muniment.Generation) -> str:
        return session.candidates(session.generation(made.id))[0].id

    mine, theirs = place.list_for(USER), place.list_for(OTHER)
    session.feedback(mine.id, action="like", item=first_of(mine))
    session.feedback(theirs.id, action="like", item=first_of(theirs))
    nobody = session.generate("", generator="recommendation", model=str(place.model))
    with muniment.Session(session.home, actor=USER) as own:
        own.feedback(nobody.id, action="like", item=first_of(nobody))
    shutil.rmtree(place.model)
    place.fit(place.model, "--model", "item-knn", "--feedback")
    assert json.loads((place.model / "training.json").read_bytes())["counts"]["feedback"] == 3
    assert place.forget().code == 0
    assert json.loads((place.model / "training.json").read_bytes())["counts"]["feedback"] == 1
    again = place.folder / "again"
    place.fit(again, "--model", "item-knn", "--feedback")
    assert files_of(again) == files_of(place.model)
    assert USER not in read_users(again)
    assert USER.encode() not in (session.home / "recommendation-forgotten.json").read_bytes()
    with muniment.Session(session.home, actor=USER) as own:
        own.feedback(nobody.id, action="like", item=first_of(nobody))
    later = place.folder / "later"
    place.fit(later, "--model", "item-knn", "--feedback")
    assert USER in read_users(later)


@pytest.mark.parametrize(("user", "named"), [("u0002", "'u002'"), ("完全不同", "完全不同")])
def test_an_unknown_user_is_refused_with_the_nearest(place: Place, user: str, named: str) -> None:
    before = files_of(place.data) | files_of(place.model)
    result = place.forget(user)
    assert result.code == 2
    assert named in result.stderr
    assert files_of(place.data) | files_of(place.model) == before


def test_data_of_other_users_and_a_copy_in_the_home_are_refused(place: Place) -> None:
    other = place.folder / "other"
    other.mkdir()
    (other / "interactions.csv").write_text("user,item,timestamp\na,i,1\nb,j,2\n")
    place.session.models.add(
        str(place.model), "recommendation", RecommendationGenerator(), name="copied"
    )
    for model, data in (
        (place.model, other),
        (place.session.models.path("copied"), place.data),
        (place.folder / "none", place.data),
    ):
        arguments = (USER, "--model", str(model), "--data", str(data), "--yes")
        result = run_command(forget_user, *arguments, session=place.session)
        assert result.code != 0
        assert result.stderr.count("\n") == 1
    assert USER in read_users(place.model)


def test_the_last_user_cannot_be_forgotten_and_nothing_changes(place: Place) -> None:
    path = place.data / "interactions.csv"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text(lines[0] + "".join(x for x in lines if x.startswith(f"{USER},")), "utf-8")
    mine = place.list_for(USER)
    before = files_of(place.data) | files_of(place.model)
    result = place.forget()
    assert result.code == 2
    assert files_of(place.data) | files_of(place.model) == before
    assert not place.session.generation(mine.id).erased
    assert USER not in ForgottenUsers(place.session.home)


def test_without_yes_nothing_is_removed(
    place: Place, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = place.list_for(USER)
    before = files_of(place.data) | files_of(place.model)
    arguments = (USER, "--model", place.model, "--data", place.data)
    result = Here(capfd, monkeypatch)("recommendation", "forget-user", *arguments)
    assert result.code == 2
    assert "--yes" in result.err
    assert files_of(place.data) | files_of(place.model) == before
    assert not place.session.generation(mine.id).erased


# ---- kills --------------------------------------------------------------------------------------

_KILLED = """
import os
import signal
import sys
from types import SimpleNamespace

from muniment.testing import run_command
from muniment_recommendation.commands.forget_user import forget_user
from muniment_recommendation.data import writing
from muniment_recommendation.home import forgetting
from muniment_recommendation.model_folder import replacement, writing as model_writing

def kill(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

def renamed(path, target, rename=replacement.Path.rename):
    if path.name == ".model.new":
        kill()
    return rename(path, target)

step = sys.argv[1]
if step == "between two renames":
    replacement._exchange = lambda one, other: False
    replacement.Path.rename = renamed
elif step == "while the old folder is deleted":
    replacement.shutil = SimpleNamespace(rmtree=kill)
elif step == "before the exchange":
    replacement.Replacement.finish = kill
else:
    module, name = step.split(".")
    setattr({"model_writing": model_writing, "forgetting": forgetting, "writing": writing}[module],
            name, kill)
run_command(forget_user, *sys.argv[2:])
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize(
    "step",
    [
        "model_writing.save",
        "writing.remove_user",
        "forgetting.erase_generations",
        "forgetting.remove_copies",
        "before the exchange",
        "between two renames",
        "while the old folder is deleted",
    ],
)
def test_a_kill_leaves_the_old_or_the_new_model_and_can_be_repeated(
    place: Place, step: str
) -> None:
    mine = place.list_for(USER)
    without, expected = place.data_without(USER), place.folder / "expected"
    place.fit(expected, "--set", "factors=8", "--seed", "3", data=without)
    old = files_of(place.model)
    arguments = (USER, "--model", str(place.model), "--data", str(place.data), "--yes")
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, step, *arguments],
        env={**os.environ, "MUNIMENT_HOME": str(place.session.home)},
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    if step != "between two renames":  # without an exchange, the next run completes it
        assert files_of(place.model) in (old, files_of(expected))
    Replacement(place.model).recover()
    assert files_of(place.model) in (old, files_of(expected))
    result = place.forget()
    assert result.code == 0, result.stderr
    assert files_of(place.model) == files_of(expected)
    assert files_of(place.data) == files_of(without)
    assert place.session.generation(mine.id).erased
    assert not [path for path in place.folder.iterdir() if path.name == ".model.new"]
    assert USER not in read_tables(place.data).rows.users.distinct
