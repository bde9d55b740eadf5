"""Interruptions: what was answered stays, the rest says that it was interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from muniment import Chunk, Generation, GenerationSpec
from support.workspace import Workspace

STOPS_AT_B = """
    for request in requests:
        if request.prompt == "b":
            raise KeyboardInterrupt
        yield request.reply(Text(request.prompt))
"""


def statuses(workspace: Workspace) -> list[tuple[str, str]]:
    workspace.check()
    return [(item.prompt, item.status) for item in workspace.recorded()]


def test_ctrl_c_while_generating_keeps_what_was_answered(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("slow", STOPS_AT_B)
    workspace.plugin_folder.evaluator("size", "return {'value': len(generation.text)}")
    returned: list[object] = []
    with pytest.raises(KeyboardInterrupt):
        returned.extend(
            workspace.session.run([GenerationSpec("a"), GenerationSpec("b"), GenerationSpec("c")])
        )
    assert returned == []
    assert statuses(workspace) == [("a", "completed"), ("b", "interrupted"), ("c", "interrupted")]
    first, second, _ = workspace.recorded()
    assert first.text == "a"
    assert [score.value for score in first.scores] == [1.0]
    assert second.finished_at is not None


def test_batches_before_an_interruption_are_returned_and_those_after_never_start(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator("slow", STOPS_AT_B)
    returned: list[object] = []
    with pytest.raises(KeyboardInterrupt):
        returned.extend(
            workspace.session.run(
                [GenerationSpec("a"), GenerationSpec("b"), GenerationSpec("c")], batch_size=1
            )
        )
    assert [item.text for item in returned if isinstance(item, Generation)] == ["a"]
    assert statuses(workspace) == [("a", "completed"), ("b", "interrupted")]


def test_an_interruption_that_another_process_recorded_stands_and_costs_no_other_outcome(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator(
        "slow",
        f"""
        from dataclasses import replace
        from muniment.store import Store
        with Store.open("sqlite:///{workspace.home}/muniment.db", create=False) as store:
            for item in list(store.generations()):
                if item.prompt == "b":
                    gone = replace(item, status="interrupted", finished_at=item.started_at)
                    store.record_outcomes([gone])
        for request in requests:
            yield request.reply(Text(request.prompt))
        """,
    )
    done = workspace.run("a", "b", "c")
    assert [item.status for item in done] == ["completed", "interrupted", "completed"]
    assert [item.text for item in done] == ["a", "", "c"]
    assert workspace.recorded() == done


@pytest.mark.parametrize("where", ["filter", "evaluator", "load"])
def test_ctrl_c_anywhere_on_the_path_is_an_interruption(
    workspace: Workspace, tmp_path: Path, where: str
) -> None:
    (tmp_path / "w.bin").write_bytes(b"1")
    stop = "raise KeyboardInterrupt"
    workspace.plugin_folder.generator(
        "heavy",
        "for request in requests: yield request.reply(Text('x'))",
        attributes=f"""
        uses_model = True
        def load(self, model):
            {stop if where == "load" else "pass"}
        """,
    )
    workspace.plugin_folder.filter("f", stop if where == "filter" else "return content.allow()")
    workspace.plugin_folder.evaluator("e", stop if where == "evaluator" else "return {}")
    specs = [GenerationSpec("a", model=str(tmp_path / "w.bin"))]
    with pytest.raises(KeyboardInterrupt):
        list(workspace.session.run(specs, policy=workspace.policy("{filter: f, stages: [output]}")))
    expected = "interrupted"
    assert statuses(workspace) == [("a", expected)]


def test_what_was_blocked_before_the_interruption_stays_blocked(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("slow", STOPS_AT_B)
    workspace.plugin_folder.filter(
        "never", "return content.block('no') if content.text == 'x' else content.allow()"
    )
    with pytest.raises(KeyboardInterrupt):
        list(
            workspace.session.run(
                [GenerationSpec("x"), GenerationSpec("b")],
                policy=workspace.policy("{filter: never}"),
            )
        )
    assert statuses(workspace) == [("x", "blocked"), ("b", "interrupted")]
    assert [v.action for v in workspace.recorded()[1].verdicts] == ["allow"]


def test_a_consumer_that_stops_while_pieces_come_interrupts(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "words",
        """
        for request in requests:
            yield request.reply(Text("whole")) if request.prompt == "a" else request.chunk("part")
        """,
    )
    items = workspace.session.run([GenerationSpec("a"), GenerationSpec("b")], stream=True)
    with contextlib.closing(items):  # type: ignore[type-var]
        assert isinstance(next(items), Chunk)
    assert statuses(workspace) == [("a", "completed"), ("b", "interrupted")]


def test_a_consumer_that_stops_after_the_first_generation_loses_none(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", "for r in requests: yield r.reply(Text(r.prompt))")
    items = workspace.session.run(
        [GenerationSpec("a"), GenerationSpec("b"), GenerationSpec("c")], batch_size=2
    )
    with contextlib.closing(items):  # type: ignore[type-var]
        next(items)
    assert statuses(workspace) == [("a", "completed"), ("b", "completed")]


def test_a_killed_process_leaves_its_generations_interrupted_and_the_store_whole(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator(
        "hangs",
        """
        import time
        for request in requests:
            if request.prompt == "b":
                print("now", flush=True)
                time.sleep(60)
            yield request.reply(Text(request.prompt))
        """,
    )
    program = (
        "import sys\n"
        "from muniment import GenerationSpec, Session\n"
        "session = Session(sys.argv[1])\n"
        "drafts = [GenerationSpec(p, generator='hangs') for p in 'abc']\n"
        "for item in session.run(drafts, batch_size=2): print('done', item.text, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(workspace.plugin_folder.folder)}
    with subprocess.Popen(
        [sys.executable, "-c", program, str(workspace.home)],
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"now\n"
        assert statuses(workspace) == [("a", "started"), ("b", "started")]
        process.send_signal(signal.SIGKILL)
    assert statuses(workspace) == [("a", "interrupted"), ("b", "interrupted")]
    workspace.session.generate("d", generator="hangs")
    assert statuses(workspace)[-1] == ("d", "completed")
