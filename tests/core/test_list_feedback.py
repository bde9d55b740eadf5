"""Feedback on the items of lists."""

from __future__ import annotations

import json

import pytest

from muniment import FeedbackEvent, Item, Query, UsageError
from support.lists import TITLES, add_lists, run
from support.workspace import Workspace


def test_feedback_on_an_item_records_its_position_and_never_its_id(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder, wanted="2")
    done = run(workspace, "{filter: colour, stages: [item]}")
    recorded = workspace.session.feedback(done.id, action="click", item="id-blue")
    assert (recorded.entry.action, recorded.entry.item) == ("click", 3)
    rated = workspace.session.feedback(done.id, 4, "nice", item="id-green")
    assert (rated.entry.rating, rated.entry.action, rated.entry.item) == ("4", None, 2)
    whole = workspace.session.feedback(done.id, action="buy")
    assert (whole.entry.action, whole.entry.item) == ("buy", None)
    workspace.check()


@pytest.mark.parametrize("item", ["id-red", "id-white", "unknown"])
def test_feedback_on_an_item_that_was_not_returned_names_those_that_were(
    workspace: Workspace, item: str
) -> None:
    add_lists(workspace.plugin_folder, wanted="2")
    done = run(workspace, "{filter: colour, stages: [item]}")
    with pytest.raises(UsageError, match=r"it returned id-green, id-blue$"):
        workspace.session.feedback(done.id, action="click", item=item)


@pytest.mark.parametrize("title", ["Blue", "lue"])
def test_feedback_on_the_title_of_an_item_names_its_id(workspace: Workspace, title: str) -> None:
    add_lists(workspace.plugin_folder, wanted="2")
    done = run(workspace, "{filter: colour, stages: [item]}")
    with pytest.raises(UsageError, match=r"title is id-blue$"):
        workspace.session.feedback(done.id, action="click", item=title)


def test_feedback_on_an_item_of_a_blocked_or_other_generation_is_refused(
    workspace: Workspace,
) -> None:
    add_lists(workspace.plugin_folder)
    workspace.plugin_folder.generator("text", "for r in requests: yield r.reply(Text('a'))")
    blocked = run(workspace, "{filter: colour, stages: [item], parameters: {word: ''}}")
    [text] = workspace.run("x")
    for generation in (blocked, text):
        with pytest.raises(UsageError, match="it returned no items"):
            workspace.session.feedback(generation.id, action="click", item="id-red")


def test_feedback_without_a_policy_finds_every_item(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder)
    [done] = workspace.run(json.dumps(TITLES), generator="rank")
    assert workspace.session.feedback(done.id, action="like", item="id-white").entry.item == 5


@pytest.mark.parametrize("arguments", [{"action": "share"}, {"item": "id-red"}, {}])
def test_invalid_feedback_is_refused(workspace: Workspace, arguments: dict[str, str]) -> None:
    add_lists(workspace.plugin_folder)
    [done] = workspace.run(json.dumps(TITLES), generator="rank")
    with pytest.raises(UsageError):
        workspace.session.feedback(done.id, **arguments)  # type: ignore[arg-type]


def test_feedback_on_an_item_of_an_erased_output_is_refused(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder)
    [done] = workspace.run(json.dumps(TITLES), generator="rank")
    workspace.session.erase(Query(ids=[done.id]))
    with pytest.raises(UsageError, match="erased"):
        workspace.session.feedback(done.id, action="like", item="id-white")


def test_recorded_feedback_is_read_with_its_generation_and_its_item(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder, wanted="2")
    first = run(workspace, "{filter: colour, stages: [item]}")
    second = run(workspace, "{filter: colour, stages: [item]}")
    session = workspace.session
    assert list(session.feedback_events()) == []
    session.feedback(second.id, action="like", item="id-green")
    session.feedback(first.id, "up", "nice", item="id-blue")
    session.feedback(first.id, 4)
    events = list(session.feedback_events())
    assert all(isinstance(event, FeedbackEvent) for event in events)
    assert [(event.generation.id, event.position, event.item) for event in events] == [
        (first.id, 3, Item("id-blue", "blue")),
        (first.id, None, None),
        (second.id, 2, Item("id-green", "green")),
    ]
    assert events[0].number > events[2].number
    assert events[0].at >= events[2].at
    assert {event.actor for event in events} == {"tester"}
    assert [event.rating for event in events] == ["up", "4", None]
    assert [event.action for event in events] == [None, None, "like"]
    assert [event.comment for event in events] == ["nice", None, None]
    assert events[0].generation == session.generation(first.id)
    only = list(session.feedback_events(Query(ids=[second.id])))
    assert only == events[2:]
    session.erase(Query(ids=[first.id]))
    erased = next(session.feedback_events())
    assert (erased.position, erased.item, erased.comment) == (3, None, None)
    assert "output" in erased.generation.erased
