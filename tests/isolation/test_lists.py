"""Lists of isolated plugins: judged, selected and given feedback as in this process."""

from __future__ import annotations

import json
import re

import pytest

from muniment import Generation
from support.lists import TITLES, add_lists
from support.plugins import PluginFolder
from support.workers import IsolatedWorkspace
from support.workspace import Workspace

RULE = "{filter: colour, stages: [item]}"


def rank(workspace: Workspace) -> Generation:
    [done] = workspace.run(json.dumps(TITLES), generator="rank", policy=workspace.policy(RULE))
    return done


def test_a_list_is_judged_and_selected_with_every_plugin_isolated(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    add_lists(plugin_folder, wanted="2")
    done = rank(workspace)
    assert json.loads(done.outputs[0].data) == ["green", "blue"]
    assert (done.outputs[0].kept, done.outputs[0].wanted) == ((1, 2), 2)
    assert [(verdict.item, verdict.action) for verdict in done.verdicts] == [
        (1, "block"),
        (2, "allow"),
        (3, "allow"),
    ]
    assert workspace.session.feedback(done.id, action="click", item="id-blue").entry.item == 3
    [replayed] = workspace.session.replay([done])
    assert replayed.result == "exact"


@pytest.mark.parametrize(
    "extra",
    [
        "def items(self, data): raise RuntimeError('broken')",
        "def items(self, data): return (Item('a', 'x'), Item('a', 'y'))",
        "def items(self, data): return 5",
        "def items(self, data): import os; os._exit(1)",
    ],
)
def test_an_isolated_list_that_cannot_be_read_is_blocked(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder, extra: str
) -> None:
    add_lists(plugin_folder, extra=extra)
    done = rank(workspace)
    assert (done.status, done.outputs) == ("blocked", ())
    assert [(verdict.stage, verdict.item) for verdict in done.verdicts] == [("item", None)]


def test_the_failure_of_isolated_items_has_its_place_and_no_text_of_the_list(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    forged = 'x\n  File "secret", line 1, in items'
    add_lists(plugin_folder, extra=f"def items(self, data): raise ValueError({forged!r})")
    failure = str(rank(workspace).verdicts[-1].failure)
    assert re.search(
        r"items\(\) of .* failed: ValueError \(shelved_\d+/__init__\.py:\d+\)$", failure
    )
    assert "secret" not in failure


def test_items_that_take_too_long_block_the_list(
    workspace: IsolatedWorkspace, plugin_folder: PluginFolder
) -> None:
    add_lists(plugin_folder, extra="def items(self, data): import time; time.sleep(60)")
    workspace.set("ranking-type", timeout="1")
    assert rank(workspace).status == "blocked"
