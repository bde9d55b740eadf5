"""Recorded selections of lists, read with another version of the plugin that made them."""

from __future__ import annotations

from typing import Any

import pytest

from muniment import Query, SelectionError
from support.lists import TITLES, add_lists, run
from support.workspace import Workspace

_ITEM_RULE = "{filter: colour, stages: [item], parameters: {word: pink}}"
_SPACED = """
    def select(self, data, positions):
        titles = json.loads(data)
        return json.dumps([titles[position] for position in positions], indent=1).encode()
"""


def _with_another_version(workspace: Workspace, extra: str = _SPACED) -> None:
    """Install a version of the media type whose selections have other bytes."""
    workspace.close()
    workspace.plugin_folder.all.clear()
    add_lists(workspace.plugin_folder, wanted="3", extra=extra)


def test_a_selection_with_other_bytes_than_the_recorded_one_is_never_returned(
    workspace: Workspace,
) -> None:
    add_lists(workspace.plugin_folder, wanted="3")
    done = run(workspace, "{filter: colour, stages: [item]}")
    _with_another_version(workspace)
    recorded = workspace.session.generation(done.id)
    for read in (workspace.session.selection, workspace.session.candidates):
        with pytest.raises(SelectionError, match="differs from the recorded one") as raised:
            read(recorded)
        assert raised.value.distribution == "ranking-type"
    with pytest.raises(SelectionError):
        workspace.session.feedback(done.id, item="id-green", action="click")
    [replayed] = workspace.session.replay([recorded])
    assert replayed.result == "diverged"
    assert "selection differs" in replayed.detail
    workspace.check()  # verification needs no plugin


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ("del items, select", "no installed plugin reads the items"),
        ("del select", "media type 'ranking' of ranking-type has no select()"),
        ("def select(self, data, positions): raise RuntimeError('x')", "select() of media type"),
        ("def items(self, data): return ()", "the record selects item 4"),
    ],
)
def test_a_replay_whose_selection_cannot_be_made_is_impossible(
    workspace: Workspace, extra: str, reason: str
) -> None:
    add_lists(workspace.plugin_folder, wanted="3")
    done = run(workspace, "{filter: colour, stages: [item]}")
    _with_another_version(workspace, extra)
    [replayed] = workspace.session.replay([workspace.session.generation(done.id)])
    assert replayed.result == "impossible"
    assert f"the selection is unknown: {reason}" in replayed.detail


def test_a_replay_whose_selection_has_other_items_is_diverged(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder, wanted="3")
    done = run(workspace, "{filter: colour, stages: [item]}")
    _with_another_version(workspace, "def select(self, data, positions): return data")
    recorded = workspace.session.generation(done.id)
    with pytest.raises(SelectionError, match="returned other items"):
        workspace.session.selection(recorded)
    [replayed] = workspace.session.replay([recorded])
    assert (replayed.result, "returned other items" in replayed.detail) == ("diverged", True)


def test_a_whole_list_is_not_returned_if_the_plugin_reads_more_items_in_it(
    workspace: Workspace,
) -> None:
    add_lists(workspace.plugin_folder, wanted="3")
    done = run(workspace, _ITEM_RULE, prompt=TITLES[:3])
    recorded = workspace.session.generation(done.id)
    assert workspace.session.selection(recorded).outputs[0].data == recorded.outputs[0].data
    extra = (
        _SPACED
        + """
    def items(self, data):
        items = tuple(Item("id-" + title, title) for title in json.loads(data))
        return items if b"\\n" in data else (*items, Item("id-more", "more"))
    """
    )
    _with_another_version(workspace, extra)
    with pytest.raises(SelectionError):
        workspace.session.selection(workspace.session.generation(done.id))


def test_the_commitment_to_a_selection_is_erased_with_the_salt_of_the_output(
    workspace: Workspace,
) -> None:
    add_lists(workspace.plugin_folder, wanted="3")
    done = run(workspace, "{filter: colour, stages: [item]}")
    [recorded] = workspace.recorded()
    assert recorded.outputs[0].selection is not None
    assert done.outputs[0].selection is None
    workspace.session.store.erasures.erase(Query(), "tester")
    [erased] = workspace.recorded()
    assert erased.outputs[0].selection is None
    assert workspace.session.selection(erased) == erased
    workspace.check()


def test_evaluators_do_not_get_the_salt_of_a_selection(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder, wanted="3")
    workspace.plugin_folder.evaluator(
        "salted",
        "return {'value': sum(o.selection is not None for o in generation.outputs)}",
        attributes="default = True; media_types = ('application/x-ranking+json',)",
    )
    done = run(workspace, _ITEM_RULE)
    assert [score.value for score in done.scores if score.evaluator == "salted"] == [0.0]


@pytest.mark.parametrize("prompt", [["red"], "not a list"])
def test_a_list_that_is_not_returned_has_no_commitment_to_a_selection(
    workspace: Workspace, prompt: Any
) -> None:
    add_lists(workspace.plugin_folder, wanted="3")
    assert run(workspace, "{filter: colour, stages: [item]}", prompt=prompt).outputs == ()
    [recorded] = workspace.recorded()
    assert recorded.outputs[0].selection is None
