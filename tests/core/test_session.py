"""The front door for Python: what a program gets, and what a session leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

import muniment
from muniment import GenerationSpec, Session
from muniment.errors import StoreError, UsageError
from muniment.store import NoStoreError, Query
from support.workspace import Workspace

ECHO = "for r in requests: yield r.reply(Text(r.prompt, 'stop'))"


def test_open_gives_a_session_on_the_settings_of_the_command_line(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUNIMENT_ACTOR", "from the variable")
    with muniment.open() as session:
        assert isinstance(session, Session)
        assert session.home == home
        assert session.actor == "from the variable"
        assert session.store_url == f"sqlite:///{home}/muniment.db"
    with muniment.open(str(home / "x"), store=str(home / "y.db"), actor="王") as session:
        assert (session.home, session.actor) == (home / "x", "王")
        assert session.store_url == f"sqlite:///{home}/y.db"
    assert not home.exists()


def test_a_session_finds_the_installed_plugins(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("shelved-echo", ECHO)
    with muniment.open(workspace.home) as session:
        done = session.generate("hello", generator="shelved-echo")
    assert (done.status, done.text) == ("completed", "hello")


def test_a_session_that_only_reads_loads_no_plugin_and_makes_no_store(workspace: Workspace) -> None:
    workspace.plugin_folder.add("raise RuntimeError('imported')")
    with pytest.raises(NoStoreError, match="nothing is recorded yet"):
        list(workspace.session.generations())
    assert not (workspace.home / "muniment.db").exists()
    assert workspace.session.plugins.broken == []


def test_a_run_that_nobody_recorded_cannot_be_resumed_and_makes_no_store(
    workspace: Workspace,
) -> None:
    with pytest.raises(NoStoreError, match="nothing is recorded yet"):
        workspace.session.batch([b'{"prompt": "a"}'], resume="last")
    assert not (workspace.home / "muniment.db").exists()


def test_a_policy_that_cannot_be_had_is_an_error_before_the_first_draft_is_taken(
    workspace: Workspace,
) -> None:
    with pytest.raises(muniment.UnknownNameError, match=r"nowhere\.yaml"):
        workspace.session.run(iter(()), policy="nowhere.yaml")


@pytest.mark.parametrize("actor", ["a\0b", "\udcff", "a\nb", "\x1b[1m", " ", "a" * 256])
def test_an_actor_that_cannot_be_kept_is_refused(home: Path, actor: str) -> None:
    with pytest.raises(muniment.UsageError, match="the actor's name"):
        Session(home, actor=actor)


def test_what_was_generated_can_be_read_by_another_session(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    done = [workspace.session.generate(prompt, tags=["t"]) for prompt in ("a", "b")]
    workspace.close()
    with Session(workspace.home) as session:
        assert session.generation("last") == done[1]
        assert session.generation(done[0].id[-6:]) == done[0]
        assert [item.id for item in session.generations()] == [done[1].id, done[0].id]
        assert [item.id for item in session.generations(Query(limit=1, tag="t"))] == [done[1].id]
        with pytest.raises(muniment.UsageError, match="no generation"):
            session.generation("ZZZZZZZZ")


def test_reading_and_generating_may_alternate_in_one_session(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.session.generate("a")
    workspace.close()
    assert [item.prompt for item in workspace.session.generations()] == ["a"]
    workspace.session.generate("b")
    assert [item.prompt for item in workspace.session.generations()] == ["b", "a"]
    for item in workspace.session.generations():
        workspace.session.generate(item.prompt + "!")
    assert len(workspace.recorded()) == 4


def test_closing_twice_is_allowed_and_a_closed_session_opens_again(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.session.generate("a")
    list(workspace.session.generations())
    workspace.session.close()
    workspace.session.close()
    assert workspace.session.generate("b").text == "b"


def test_generators_are_closed_with_the_session_and_cannot_spoil_it(
    workspace: Workspace, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "closed"
    for name in ("one", "two"):
        workspace.plugin_folder.generator(
            name,
            ECHO,
            attributes=f"""
            def close(self):
                print("closing")
                with open({str(log)!r}, "a") as file: file.write(self.name + " ")
                raise RuntimeError
            """,
        )
    with workspace.session as session:
        session.generate("a", generator="one")
        session.generate("a", generator="two")
    assert sorted(log.read_text().split()) == ["one", "two"]
    assert capfd.readouterr().out == ""


def test_one_generator_object_serves_a_whole_session(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "same", "for r in requests: yield r.reply(Text(str(id(self))))"
    )
    assert len({workspace.session.generate("x").text for _ in range(5)}) == 1


def test_a_store_that_cannot_be_made_is_an_error_before_anything_is_generated(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.plugin_folder.generator(
        "echo", f"open({str(tmp_path / 'ran')!r}, 'w').close()\n{ECHO}"
    )
    (tmp_path / "file").write_text("")
    with (
        Session(
            workspace.home,
            store=str(tmp_path / "file" / "a.db"),
            plugins=workspace.plugin_folder.plugins(),
        ) as session,
        pytest.raises(StoreError),
    ):
        session.generate("x")
    assert not (tmp_path / "ran").exists()


def test_odd_paths_of_the_home_hold_a_store(tmp_path: Path, workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    for name in ("数据 库", "100%", "100%41", "a#b", "what?", "a&b=c"):
        with Session(tmp_path / name, plugins=workspace.plugin_folder.plugins()) as session:
            session.generate("x", policy="none")
            assert session.generation("last").prompt == "x"
        assert (tmp_path / name / "muniment.db").is_file(), name


def test_sessions_in_threads_and_processes_write_side_by_side(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    program = (
        "import sys\n"
        "from muniment import GenerationSpec, Session\n"
        "with Session(sys.argv[1]) as session:\n"
        "    drafts = [GenerationSpec(f'p{n}', generator='echo') for n in range(20)]\n"
        "    print(sum(item.status == 'completed' for item in session.run(drafts, batch_size=3)))\n"
    )
    others = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(workspace.home)],
            env={**os.environ, "PYTHONPATH": str(workspace.plugin_folder.folder)},
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    failures: list[BaseException] = []

    def generate() -> None:
        try:
            with Session(workspace.home, plugins=workspace.plugin_folder.plugins()) as session:
                list(session.run([GenerationSpec(f"t{n}") for n in range(20)], batch_size=3))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=generate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.communicate()[0] for process in others] == [b"20\n"] * 2
    assert failures == []
    assert len(workspace.recorded()) == 80
    assert {item.status for item in workspace.recorded()} == {"completed"}
    workspace.check()


def test_a_generation_as_json_has_the_documented_fields(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "echo",
        "for r in requests: yield r.reply(Text('好', 'length'), Text('b'), usage=Usage(1, 2))",
        parameters="words: list[str] = param(['a'])",
    )
    workspace.plugin_folder.filter("fine", "return content.flag(Reason('odd', 'why', 0, 1))")
    workspace.plugin_folder.evaluator("size", "return {'value': 1}")
    done = workspace.session.generate(
        "x", seed=2**64 - 1, policy=workspace.policy("{filter: fine}"), tags=["t"]
    )
    body = json.loads(json.dumps(done.to_json()))
    assert list(body)[:10] == [
        "id",
        "run_id",
        "actor",
        "status",
        "decision",
        "categories",
        "generator",
        "model",
        "prompt",
        "system",
    ]
    assert (body["decision"], body["categories"]) == ("flag", ["odd"])
    assert body["seed"] == "18446744073709551615"
    assert body["parameters"] == {"words": ["a"]}
    assert body["outputs"][0] == {
        "media_type": "text/plain",
        "text": "好",
        "sha256": done.outputs[0].sha256,
        "bytes": 3,
        "finish_reason": "length",
        "kept": None,
        "wanted": None,
    }
    assert body["verdicts"][0] == {
        "filter": "fine",
        "version": "1.0",
        "policy_rule": 0,
        "stage": "prompt",
        "decision": "flag",
        "action": "flag",
        "observed_action": None,
        "categories": {"odd": 1.0},
        "reasons": [{"category": "odd", "message": "why", "start": 0, "end": 1}],
        "policy_version": "team@1",
        "latency_ms": done.verdicts[0].latency_ms,
        "failure": None,
        "item": None,
        "input": None,
        "parameter": None,
    }
    assert body["inputs"] == []
    assert body["usage"] == {"prompt_tokens": 1, "output_tokens": 2}
    assert body["model"] is None
    assert body["failure"] is None
    assert body["started_at"].endswith("Z")
    assert len(body["started_at"]) == len("2026-01-02T03:04:05.678Z")
    assert done.text == "好\n\nb"


def test_a_generation_is_the_same_json_as_it_is_returned_and_as_it_is_read(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator(
        "echo",
        "for r in requests: yield r.reply(Text(r.prompt))",
        parameters="times: int = param(1)\nnote: str = param('n')\nafter: float = param(0.5)",
        attributes="def environment(self): return {'z': 1, 'm': 'x'}",
    )
    workspace.plugin_folder.filter(
        "fine",
        "return content.flag(z=0.5, own=0.25, a=1.0)",
        attributes="categories = ('z', 'a')",
    )
    done = workspace.session.generate("x", policy=workspace.policy("{filter: fine}"))
    read = workspace.session.generation(done.id)
    assert json.dumps(read.to_json()) == json.dumps(done.to_json())


def test_an_output_that_is_no_text_has_none() -> None:
    output = muniment.Output("image/png", b"abc")
    assert output.text is None
    assert output.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("name", ["tags", "parents"])
@pytest.mark.parametrize("value", ["abc", ["a", 1], {"a": "b"}, 5])
def test_a_list_of_texts_must_be_one(workspace: Workspace, name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{name} must be a list of texts"):
        workspace.session.generate("x", **{name: value})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"{name} must be a list of texts"):
        GenerationSpec("x", **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "tag", ["", " \n", "a\nb", "\x1b[31m", "\x85", "a\u2028b", "\t", "a" * 256]
)
def test_session_tag_that_is_no_name_is_refused(workspace: Workspace, tag: str) -> None:
    workspace.plugin_folder.generator("echo", "for r in requests: yield r.reply(Text('a'))")
    with pytest.raises(UsageError, match="the tag "):
        workspace.session.generate("x", tags=["good", tag])
    with pytest.raises(StoreError):
        workspace.session.generation("last")


NAIVE = datetime(2026, 1, 31, tzinfo=UTC).replace(tzinfo=None)


@pytest.mark.parametrize("value", [NAIVE, date(2026, 1, 31), 5, "soon", ""])
@pytest.mark.parametrize("name", ["since", "until"])
def test_a_time_of_a_query_needs_a_zone(name: str, value: object) -> None:
    with pytest.raises(UsageError):
        Query(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["status", "generator", "model", "decision", "filter", "actor", "tag", "run"]
)
def test_a_text_of_a_query_cannot_be_empty(name: str) -> None:
    with pytest.raises(UsageError, match=f"the {name} is empty"):
        Query(**{name: ""})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["home", "store", "actor"])
def test_a_text_of_a_session_cannot_be_empty(workspace: Workspace, name: str) -> None:
    with pytest.raises(UsageError, match=f"the {name}.* is empty"):
        Session(**{"home": workspace.home, name: ""})  # type: ignore[arg-type]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_the_last_day_ends_a_period(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert Query(until="9999-12-31").period == (None, datetime.max.replace(tzinfo=UTC))
        with pytest.raises(UsageError, match="not within the years"):
            Query(since="0001-01-01T00:00+14:00")
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("name", ["ids", "scores"])
def test_a_list_of_a_query_must_be_one(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} must be a list of texts"):
        Query(**{name: "abc"})  # type: ignore[arg-type]


def test_a_query_takes_times_as_a_command_does() -> None:
    ago = datetime.now(UTC) - timedelta(days=7)
    since, until = Query(since="7d", until="2026-01-31").period
    assert since is not None
    assert abs(since - ago) < timedelta(minutes=1)
    assert until == datetime(2026, 2, 1).astimezone(UTC)
    zone = timezone(timedelta(hours=8))
    assert Query(since=datetime(2026, 1, 31, tzinfo=zone)).period == (
        datetime(2026, 1, 31, tzinfo=zone),
        None,
    )
