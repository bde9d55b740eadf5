"""A packaged model is added when a generation first needs it."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from muniment import (
    Generation,
    GenerationSpec,
    ModelError,
    ModelTermsWarning,
    Session,
    StoreError,
    UsageError,
)
from muniment.plugins.objects import instantiate
from support.packaged import FIRST, SECOND, Packages
from support.plugins import PluginFolder


@pytest.fixture
def packages(tmp_path: Path, plugin_folder: PluginFolder) -> Packages:
    return Packages(tmp_path / "packages", plugin_folder)


@pytest.fixture
def session(home: Path, packages: Packages) -> Callable[..., Session]:
    """Open sessions on the home; terms are ignored unless a test catches them."""
    warnings.simplefilter("ignore", ModelTermsWarning)

    def open_session(**options: bool) -> Session:
        return Session(home, actor="tester", plugins=packages.plugin_folder.plugins(), **options)

    return open_session


def generate(session: Session, prompt: str = "oh", **options: object) -> Generation:
    options = {"generator": "worded", "policy": "none", **options}
    return session.generate(prompt, **options)  # type: ignore[arg-type]


def names(session: Session) -> list[str]:
    return [model.name for model in session.models.added()]


def model_entries(home: Path) -> list[bytes]:
    with closing(sqlite3.connect(home / "muniment.db")) as database:
        rows = database.execute("SELECT canonical_bytes FROM entry WHERE kind = 'model'")
        return [data for (data,) in rows]


# ---- the first run, and the second -------------------------------------------------------------


@pytest.mark.parametrize("isolate", [False, True])
def test_the_first_run_adds_and_records_the_model_and_the_second_does_not(
    session: Callable[..., Session], packages: Packages, home: Path, isolate: bool
) -> None:
    packages.install(FIRST, SECOND)
    for _ in range(2):
        with session(isolate=isolate) as opened:
            found = generate(opened)
            assert (found.status, found.text) == ("completed", "oh package:first")
            assert found.model is not None
            assert found.model.name == "first"
            assert found.model.digest == opened.models.get("first").digest
            assert opened.store.verify(projections=True, payloads=True).ok
            acts = [json.loads(entry) for entry in model_entries(home)]
            assert [act["act"] for act in acts] == ["added"]
            assert [act["digest"] for act in acts] == [found.model.digest]
            assert names(opened) == ["first"]
    assert packages.additions == ["package:first"]


def test_a_packaged_model_is_added_by_its_name_and_the_default_stays(
    session: Callable[..., Session], packages: Packages
) -> None:
    packages.install(FIRST, SECOND)
    with session() as opened:
        assert generate(opened, model="second").text == "oh package:second"
        assert names(opened) == ["second"]
        assert generate(opened).text == "oh package:first"
        assert generate(opened, model="second").text == "oh package:second"
    assert packages.additions == ["package:second", "package:first"]


def test_run_and_batch_add_the_model_once(
    session: Callable[..., Session], packages: Packages
) -> None:
    packages.install(FIRST, SECOND)
    lines = [b'{"prompt": "a"}', b"{", b'{"prompt": "b", "model": "second"}', b'{"prompt": "c"}']
    with session() as opened:
        defaults = GenerationSpec("", generator="worded")
        found = list(opened.batch(lines, defaults=defaults, policy="none", batch_size=2))
        assert [item.status for item in found] == ["completed", "failed", "completed", "completed"]
        specs = [GenerationSpec(word, generator="worded") for word in "xy"]
        assert len(list(opened.run(specs, policy="none"))) == 2
    assert packages.additions == ["package:first", "package:second"]


def test_a_failed_addition_fails_the_lines_of_a_batch_after_one_attempt(
    session: Callable[..., Session], packages: Packages
) -> None:
    packages.install(("first", "broken", ""))
    with session() as opened:
        defaults = GenerationSpec("", generator="worded")
        lines = [b'{"prompt": "a"}', b'{"prompt": "b"}']
        found = list(opened.batch(lines, defaults=defaults, policy="none"))
        assert [item.status for item in found] == ["failed", "failed"]
        assert all(item.failure and "No space left" in item.failure.message for item in found)
        assert names(opened) == []
    assert packages.additions == ["broken"]


def test_a_full_disk_is_one_sentence_and_leaves_no_model(
    session: Callable[..., Session], packages: Packages, home: Path
) -> None:
    packages.install(("first", "broken", ""))
    with session() as opened, pytest.raises(ModelError, match="No space left") as caught:
        generate(opened)
    assert "\n" not in str(caught.value)
    assert [path.name for path in (home / "models").iterdir() if path.name[0] != "."] == []
    assert model_entries(home) == []


@pytest.mark.parametrize("isolate", [False, True])
def test_without_a_packaged_model_the_error_stays(
    session: Callable[..., Session], packages: Packages, home: Path, isolate: bool
) -> None:
    packages.install()
    with session(isolate=isolate) as opened, pytest.raises(ModelError) as caught:
        generate(opened)
    steps = "use `muniment words fit`, then `muniment models add PATH_OR_ID --generator "
    assert steps in str(caught.value)
    assert not home.exists()


def test_packaged_models_that_cannot_be_listed_are_one_error(
    session: Callable[..., Session], packages: Packages, home: Path
) -> None:
    packages.install(("too", "many", "fields", "here"))  # type: ignore[arg-type]
    with session() as opened, pytest.raises(ModelError, match="cannot be listed"):
        generate(opened)
    assert not home.exists()


# ---- terms -------------------------------------------------------------------------------------


def test_the_terms_are_a_warning_once_at_the_line_of_the_program(
    session: Callable[..., Session], packages: Packages
) -> None:
    packages.install(FIRST, SECOND)
    with session() as opened, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        generate(opened)
        generate(opened)
        generate(opened, model="second")  # which has no terms
    (warning,) = caught
    assert warning.category is ModelTermsWarning
    assert "Use it kindly." in str(warning.message)
    assert warning.filename == __file__


def test_a_program_that_makes_the_warning_an_error_adds_nothing(
    session: Callable[..., Session], packages: Packages
) -> None:
    packages.install(FIRST)
    with session() as opened:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ModelTermsWarning)
            with pytest.raises(ModelTermsWarning):
                generate(opened)
        assert names(opened) == []
        assert packages.additions == []
        assert generate(opened).status == "completed"


# ---- mistakes add nothing ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"parameters": {"times": 9}},
        {"parameters": {"size": 9}},
        {"seed": -1},
        {"policy": "nonesuch"},
        {"parents": ["x"]},
        {"generator": "nobody"},
        {"model": "nonesuch"},
        {"prompt": "\ud800"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_a_mistake_adds_no_model_and_creates_no_home(
    session: Callable[..., Session], packages: Packages, home: Path, options: dict[str, object]
) -> None:
    packages.install(FIRST)
    with session() as opened, pytest.raises(UsageError):
        generate(opened, **options)
    assert packages.additions == []
    assert not home.exists()


def test_a_mistake_in_a_later_request_adds_no_model(
    session: Callable[..., Session], packages: Packages, home: Path
) -> None:
    packages.install(FIRST)
    specs = [
        GenerationSpec("a", generator="worded"),
        GenerationSpec("b", generator="worded", parameters={"times": 9}),
    ]
    with session() as opened, pytest.raises(UsageError):
        list(opened.run(specs, policy="none"))
    assert packages.additions == []
    assert not home.exists()


def test_a_blocked_prompt_is_recorded_and_adds_no_model(
    session: Callable[..., Session], packages: Packages, tmp_path: Path
) -> None:
    packages.install(FIRST)
    packages.plugin_folder.filter(
        "words", 'return content.block("rude") if "bomb" in content.text else content.allow()'
    )
    policy = tmp_path / "policy.yaml"
    policy.write_text("policy: team\nversion: 1\nfilters: [{filter: words}]\n")
    with session() as opened:
        blocked = generate(opened, "a bomb", policy=policy)
        assert blocked.status == "blocked"
        assert generate(opened, "x", system="bomb", policy=policy).status == "blocked"
        assert opened.generation(blocked.id).status == "blocked"
        assert packages.additions == []
        assert opened.store.verify(projections=True, payloads=True).ok
        specs = [GenerationSpec(word, generator="worded") for word in ("a bomb", "a", "bomb")]
        found = list(opened.run(specs, policy=policy))
        assert [item.status for item in found if isinstance(item, Generation)] == [
            "blocked",
            "completed",
            "blocked",
        ]
    assert packages.additions == ["package:first"]


def test_a_replay_adds_no_model(session: Callable[..., Session], packages: Packages) -> None:
    packages.install(FIRST)
    with session() as opened:
        found = generate(opened)
        (again,) = opened.replay([found])
        assert again.result == "exact"
        opened.models.remove("first")
    with session() as opened:
        (again,) = opened.replay([opened.generation(found.id)])
        assert again.result == "impossible"
    assert packages.additions == ["package:first"]


def test_a_store_that_cannot_be_opened_is_an_error_before_anything_is_added(
    packages: Packages, home: Path, tmp_path: Path
) -> None:
    packages.install(FIRST)
    (tmp_path / "file").write_text("")
    store = str(tmp_path / "file" / "x.db")
    with (
        Session(home, store=store, plugins=packages.plugin_folder.plugins()) as opened,
        pytest.raises(StoreError),
    ):
        generate(opened)
    assert packages.additions == []


def test_a_home_that_cannot_be_written_is_one_sentence(
    packages: Packages, home: Path, tmp_path: Path
) -> None:
    packages.install(FIRST)
    home.mkdir()
    (home / "models").write_text("")
    store = str(tmp_path / "elsewhere.db")
    with (
        Session(home, store=store, plugins=packages.plugin_folder.plugins()) as opened,
        pytest.raises(ModelError, match="model first cannot be added: ") as caught,
    ):
        generate(opened)
    assert "\n" not in str(caught.value)
    assert packages.additions == []


def test_an_addition_that_cannot_be_recorded_leaves_no_model(
    session: Callable[..., Session], packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.install(FIRST)
    with session() as opened:

        def fail(act: str, model: object) -> None:
            raise StoreError("", "the store is full")

        monkeypatch.setattr(opened, "record_model", fail)
        with pytest.raises(StoreError):
            generate(opened)
        assert names(opened) == []
        assert opened.models.half_written() == []


# ---- the default -------------------------------------------------------------------------------


def add(session: Session, source: str) -> None:
    generator = instantiate(session.plugins.find("generator", "worded"))
    session.models.add(source, "worded", generator)


def test_the_packaged_default_stays_after_another_was_added_before_or_after_it(
    session: Callable[..., Session], packages: Packages
) -> None:
    packages.install(FIRST, SECOND)
    with session() as opened:
        add(opened, "/my/own")
    with session() as opened:
        assert generate(opened).text == "oh package:first"
        add(opened, "/my/other")
        assert opened.models.default("worded") == "first"
    with session() as opened:
        assert generate(opened).text == "oh package:first"
        assert generate(opened, model="own").text == "oh own"


def test_ones_own_first_model_stays_the_default_when_packages_come_later(
    session: Callable[..., Session], packages: Packages
) -> None:
    packages.install()
    with session() as opened:
        add(opened, "/my/own")
    packages.plugin_folder.forget()
    packages.plugin_folder.all.clear()
    packages.install(FIRST)
    with session() as opened:
        assert generate(opened).text == "oh own"
        assert generate(opened, model="first").text == "oh package:first"
    with session() as opened:
        assert generate(opened).text == "oh own"


def test_the_only_model_of_a_home_without_a_recorded_default_stays_it(
    session: Callable[..., Session], packages: Packages, home: Path
) -> None:
    packages.install(FIRST)
    with session() as opened:
        add(opened, "/my/own")
        (home / "models" / ".defaults.json").unlink()  # as before defaults were recorded
        assert generate(opened).text == "oh own"
        add(opened, "/my/other")
    with session() as opened:
        assert generate(opened).text == "oh own"


def test_the_setting_of_a_generator_wins_and_may_name_a_packaged_model(
    session: Callable[..., Session], packages: Packages
) -> None:
    packages.install(FIRST, SECOND)
    with session() as opened:
        opened.home.mkdir()
        opened.config.set("model.worded", "second")
        assert generate(opened).text == "oh package:second"
    with session() as opened:
        opened.config.set("model.worded", None)
        assert generate(opened).text == "oh package:first"


def test_another_generators_models_and_default_are_apart(
    session: Callable[..., Session], packages: Packages
) -> None:
    packages.install(FIRST)
    packages.install(SECOND, name="other", distribution="other")
    with session() as opened:
        assert generate(opened, generator="other").text == "oh package:second"
        assert generate(opened).text == "oh package:first"
        assert generate(opened, generator="other").text == "oh package:second"


def test_a_removed_default_is_added_again_or_named(
    session: Callable[..., Session], packages: Packages
) -> None:
    packages.install(FIRST)
    with session() as opened:
        generate(opened)
        add(opened, "/my/own")
        opened.models.remove("first")
    with session() as opened:
        assert generate(opened).text == "oh package:first"
        opened.models.remove("first")
    packages.plugin_folder.forget()
    packages.plugin_folder.all.clear()
    packages.install()
    with session() as opened, pytest.raises(ModelError) as caught:
        generate(opened)
    assert caught.value.model == "first"
    assert "available: own" in str(caught.value)
    assert "model.worded" in str(caught.value)


def test_a_home_whose_only_default_was_removed_begins_again(
    session: Callable[..., Session], packages: Packages
) -> None:
    packages.install()
    with session() as opened:
        add(opened, "/my/own")
        opened.models.remove("own")
        with pytest.raises(ModelError, match="no model was added yet"):
            generate(opened)
        add(opened, "/my/other")
        assert generate(opened).text == "oh other"


# ---- several processes, and kills ---------------------------------------------------------------

PROGRAM = """
    import contextlib, pathlib, sys, warnings
    from muniment import ModelTermsWarning, Session
    from muniment.models.notices import AdditionNotices
    from muniment.plugins.discovery import Plugin
    from muniment.plugins.registry import Plugins

    class Notices(AdditionNotices):
        def begin(self, model): print("begin", file=sys.stderr, flush=True)
        def waiting(self, text): print(text, file=sys.stderr, flush=True)

    home, module = sys.argv[1:]
    plugins = Plugins([Plugin("worded", "1.0", "plugin", module)])
    with Session(home, actor="tester", plugins=plugins) as session:
        session.notices = lambda label: contextlib.nullcontext(Notices())
        print(session.generate("oh", generator="worded", policy="none").text, flush=True)
"""


class Starter:
    """Starts first runs in processes of their own."""

    def __init__(self, home: Path, packages: Packages) -> None:
        self.home, self.packages = home, packages
        self.module = packages.install(FIRST).module

    def __call__(self) -> subprocess.Popen[str]:
        program = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(self.home), self.module]
        environment = {"PYTHONPATH": str(self.packages.plugin_folder.folder), "PATH": ""}
        return subprocess.Popen(
            program,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def hold(self) -> None:
        (self.packages.folder / "hold").write_text("")

    def wait_until_held(self) -> None:
        deadline = time.monotonic() + 60
        while not (self.packages.folder / "held").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (self.packages.folder / "held").unlink()

    def release(self) -> None:
        (self.packages.folder / "hold").unlink()


@pytest.fixture
def start(home: Path, packages: Packages) -> Starter:
    return Starter(home, packages)


def test_of_two_first_runs_one_adds_and_the_other_waits(
    start: Starter, home: Path, packages: Packages
) -> None:
    start.hold()
    with start() as first:
        start.wait_until_held()
        with start() as second:
            assert second.stderr is not None
            assert f"process {first.pid}, which adds model first" in second.stderr.readline()
            start.release()
            assert second.communicate()[0] == "oh package:first\n"
        out, errors = first.communicate()
        assert (out, errors) == ("oh package:first\n", "begin\nprinted by the plugin\n")
    assert (first.returncode, second.returncode) == (0, 0)
    assert packages.additions == ["package:first"]
    assert len(model_entries(home)) == 1


def test_a_first_run_that_was_killed_leaves_nothing_and_the_next_one_adds(
    start: Starter, home: Path, packages: Packages, session: Callable[..., Session]
) -> None:
    start.hold()
    with start() as first, start() as second:
        start.wait_until_held()
        killed, other = first, second
        lines = {process: process.stderr.readline() for process in (first, second)}  # type: ignore[union-attr]
        if lines[first].startswith("waiting"):
            killed, other = second, first
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        start.wait_until_held()  # the one that waited goes on
        other.send_signal(signal.SIGKILL)
    assert model_entries(home) == []
    with session() as opened:
        assert names(opened) == []
    start.release()
    with session() as opened:
        assert generate(opened).text == "oh package:first"
        assert len(model_entries(home)) == 1
    assert list((home / "models" / ".adding").iterdir()) == []  # nothing of the killed ones is left


def test_a_kill_when_the_files_are_in_place_is_made_good_by_the_next_run(
    session: Callable[..., Session], packages: Packages, home: Path
) -> None:
    packages.install(FIRST)
    (home / "models" / "first").mkdir(parents=True)
    (home / "models" / "first" / "half.txt").write_text("half")
    with session() as opened:
        assert generate(opened).text == "oh package:first"
        assert names(opened) == ["first"]


# ---- the real one ------------------------------------------------------------------------------


@pytest.mark.model
@pytest.mark.integration
def test_the_default_model_of_muniment_text_is_added_by_the_first_generation(home: Path) -> None:
    with Session(home, actor="tester") as opened:
        with pytest.warns(ModelTermsWarning, match="Gemma Terms of Use"):
            found = opened.generate("hello", seed=7, parameters={"max_tokens": 4}, policy="none")
        assert found.status == "completed", found.failure
        assert found.model is not None
        assert found.model.name == "gemma-3-270m"
        assert [json.loads(entry)["act"] for entry in model_entries(home)] == ["added"]
        (again,) = opened.replay([found])
        assert again.result == "exact"


# ---- files of another home ---------------------------------------------------------------------


def test_the_packaged_model_of_a_file_is_added(
    session: Callable[..., Session], packages: Packages, tmp_path: Path
) -> None:
    packages.install(FIRST, SECOND)
    with session() as elsewhere:
        made = generate(elsewhere, model="second", seed=7).provenance
    with Session(tmp_path / "fresh", plugins=packages.plugin_folder.plugins()) as fresh:
        for wrong, message in (
            ({"parameters": {"times": 9}}, "times"),
            ({"models": {"times": made.model_digest}}, "no model of generator worded"),
            ({"model": "/my/own"}, made.model_digest),
        ):
            with pytest.raises(UsageError, match=message):
                fresh.like(replace(made, **wrong))  # type: ignore[arg-type]
        assert names(fresh) == []
        spec = fresh.like(made)
        assert (spec.model, names(fresh)) == ("second", ["second"])
        [again] = fresh.run([spec], policy="none")
        assert isinstance(again, Generation)
        assert (again.text, again.parents) == ("oh package:second", ())
        with pytest.raises(UsageError, match="tree1-sha256:00"):
            fresh.like(replace(made, model="first", model_digest="tree1-sha256:00"))
