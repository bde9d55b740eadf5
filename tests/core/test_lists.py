"""Lists: items are judged one by one, callers get the selection, the record has all candidates."""

from __future__ import annotations

import json
import re

import pytest

from muniment import Output
from support.lists import LIST, TITLES, add_lists, run, titles
from support.workspace import Workspace


@pytest.mark.parametrize("stage", ["item", "output"])
def test_a_blocked_item_falls_out_and_the_next_ones_move_up(
    workspace: Workspace, stage: str
) -> None:
    add_lists(workspace.plugin_folder, wanted="3")
    done = run(workspace, f"{{filter: colour, stages: [{stage}]}}")
    assert done.status == "completed"
    assert titles(done.outputs[0]) == ["green", "blue", "black"]
    [recorded] = workspace.recorded()
    assert titles(recorded.outputs[0]) == TITLES
    assert (recorded.outputs[0].kept, recorded.outputs[0].wanted) == ((1, 2, 3), 3)
    selection = [("output", None, "allow")] if stage == "output" else []
    assert [(v.stage, v.item, v.action) for v in recorded.verdicts] == [
        ("item", 1, "block"),
        ("item", 2, "allow"),
        ("item", 3, "allow"),
        ("item", 4, "allow"),
        *selection,
    ]
    assert "ranking-type" in {plugin.distribution for plugin in recorded.plugins}
    assert workspace.session.selection(recorded).outputs == done.outputs


def test_without_a_wanted_number_all_items_are_judged_and_those_that_pass_selected(
    workspace: Workspace,
) -> None:
    add_lists(workspace.plugin_folder)
    done = run(workspace, "{filter: colour, stages: [item], parameters: {word: bl}}")
    assert titles(done.outputs[0]) == ["red", "green", "white"]
    assert len(done.verdicts) == len(TITLES)


def test_verdicts_on_removed_items_come_back_without_quotations(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder)
    done = run(
        workspace,
        "{filter: colour, stages: [output]}",
        "{filter: colour, stages: [output], parameters: {word: re, flags: true}}",
    )
    messages = {(v.item, v.policy_rule): [r.message for r in v.reasons] for v in done.verdicts}
    assert (messages[1, 0], messages[1, 1], messages[2, 1]) == (
        [""],
        [""],
        ["it is green\nid-green"],
    )
    [recorded] = workspace.recorded()
    assert [r.message for v in recorded.verdicts if v.item == 1 for r in v.reasons] == [
        "it is red\nid-red",
        "it is red\nid-red",
    ]


def test_a_rule_for_items_judges_nothing_else(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder)
    workspace.plugin_folder.generator("text", "yield Text('red')")
    [done] = workspace.run("red", policy=workspace.policy("{filter: colour, stages: [item]}"))
    assert (done.status, done.verdicts, done.text) == ("completed", (), "red")


_ITEM_RULE = "{filter: colour, stages: [item], parameters: {word: pink}}"


@pytest.mark.parametrize(
    "media_type", ["application/json", "application/x-unknown", "image/png", "application/ld+json"]
)
def test_a_rule_for_items_blocks_an_output_that_no_plugin_reads(
    workspace: Workspace, media_type: str
) -> None:
    add_lists(workspace.plugin_folder)
    data = b"[]" if "json" in media_type else b"\x89[]"
    workspace.plugin_folder.generator(
        "odd",
        f"for r in requests: yield r.reply(Output({media_type!r}, {data!r}))",
        media_type=media_type,
    )
    [done] = workspace.run("x", generator="odd", policy=workspace.policy(_ITEM_RULE))
    assert (done.status, done.outputs) == ("blocked", ())
    [verdict] = done.verdicts
    assert (verdict.stage, verdict.item, verdict.action) == ("item", None, "block")
    assert media_type in str(verdict.failure)
    for rule in ("{filter: colour, stages: [output]}", "{filter: colour, stages: [prompt]}"):
        [done] = workspace.run("x", generator="odd", policy=workspace.policy(rule))
        assert "item" not in {verdict.stage for verdict in done.verdicts}


@pytest.mark.parametrize(
    ("media_type", "wanted", "status"),
    [
        (LIST, "3", "completed"),
        (LIST, "None", "completed"),
        ("image/png", "3", "blocked"),
        ("image/png", "None", "blocked"),
    ],
)
def test_the_items_of_a_list_are_read_with_the_list(
    workspace: Workspace, media_type: str, wanted: str, status: str
) -> None:
    add_lists(workspace.plugin_folder, wanted=wanted)
    workspace.plugin_folder.filter(
        "whole", "return content.allow()", attributes=f"media_types = ({media_type!r},)"
    )
    policy = workspace.policy("{filter: whole, stages: [output]}")
    policy.write_text(policy.read_text() + "unread: block\n")
    [done] = workspace.run(json.dumps(TITLES), generator="rank", policy=policy)
    assert done.status == status


def test_a_rule_for_items_passes_a_registered_media_type_without_items(
    workspace: Workspace,
) -> None:
    add_lists(workspace.plugin_folder, extra="del items, select")
    done = run(workspace, _ITEM_RULE)
    assert (done.status, done.verdicts) == ("completed", ())


_HEADED = """
    def items(self, data):
        return tuple(Item("id-" + title, title) for title in json.loads(data)["items"])

    def select(self, data, positions):
        content = json.loads(data)
        content["items"] = [content["items"][position] for position in positions]
        return json.dumps(content).encode()
"""


@pytest.mark.parametrize(
    ("stage", "header", "status"),
    [
        ("output", "red headline", "blocked"),
        ("output", "blue headline", "completed"),
        ("item", "red headline", "completed"),
    ],
)
def test_text_outside_the_items_of_a_selection_is_judged_by_rules_for_outputs(
    workspace: Workspace, stage: str, header: str, status: str
) -> None:
    add_lists(workspace.plugin_folder, extra=_HEADED.strip())
    prompt = json.dumps({"header": header, "items": ["red", "blue"]})
    done = run(workspace, f"{{filter: colour, stages: [{stage}]}}", prompt=prompt)
    assert done.status == status
    whole = [verdict.action for verdict in done.verdicts if verdict.stage == "output"]
    expected = {"blocked": ["block"], "completed": ["allow"] if stage == "output" else []}
    assert whole == expected[status]
    assert "headline" not in str(done.verdicts) or status == "completed"
    [recorded] = workspace.recorded()
    assert json.loads(recorded.outputs[0].data)["items"] == ["red", "blue"]


def test_the_id_of_an_item_is_judged_with_its_text(workspace: Workspace) -> None:
    extra = """
    def items(self, data):
        return tuple(Item(title, title[:2]) for title in json.loads(data))
    """
    add_lists(workspace.plugin_folder, extra=extra.strip())
    done = run(workspace, "{filter: colour, stages: [item]}", prompt=["a red", "gr", "black"])
    assert titles(done.outputs[0]) == ["gr", "black"]
    rule = "{filter: colour, stages: [item], parameters: {word: bl, flags: true}}"
    done = run(workspace, rule, prompt=["bl", "black"])
    assert [v.reasons[0].message for v in done.verdicts] == ["it is bl", "it is bl\nblack"]


def test_a_rule_for_prompts_judges_no_items(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder)
    done = run(
        workspace, "{filter: colour, stages: [prompt], parameters: {word: pink}}", prompt=TITLES
    )
    assert [verdict.stage for verdict in done.verdicts] == ["prompt"]
    assert (done.outputs[0].kept, titles(done.outputs[0])) == (None, TITLES)


def test_a_filter_of_the_lists_own_type_judges_the_whole_list(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder)
    workspace.plugin_folder.filter(
        "whole", "return content.block()", attributes=f"media_types = ({LIST!r},)"
    )
    done = run(workspace, "{filter: whole, stages: [output]}")
    assert (done.status, done.verdicts[0].stage, done.verdicts[0].item) == (
        "blocked",
        "output",
        None,
    )


def test_an_observing_rule_removes_nothing_and_a_flagged_item_stays(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder, wanted="2")
    done = run(
        workspace,
        "{filter: colour, stages: [item], mode: observe}",
        "{filter: colour, stages: [item], parameters: {flags: true}}",
    )
    assert titles(done.outputs[0]) == ["red", "green"]
    assert [(v.action, v.observed_action) for v in done.verdicts[:2]] == [
        ("allow", "block"),
        ("flag", None),
    ]


def test_thresholds_act_on_each_item(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder)
    rule = "{filter: colour, stages: [item], thresholds: {colour: {flag: 0.5}}}"
    assert titles(run(workspace, rule).outputs[0]) == TITLES


def test_a_list_of_which_no_item_is_left_is_blocked(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder, wanted="2")
    done = run(workspace, "{filter: colour, stages: [item], parameters: {word: ''}}")
    assert (done.status, done.outputs) == ("blocked", ())
    assert not any(reason.message for verdict in done.verdicts for reason in verdict.reasons)
    [recorded] = workspace.recorded()
    assert (titles(recorded.outputs[0]), recorded.outputs[0].kept) == (TITLES, ())


def test_fewer_items_than_wanted_complete(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder, wanted="9")
    done = run(workspace, "{filter: colour, stages: [item]}")
    assert (done.status, done.outputs[0].kept, done.outputs[0].wanted) == (
        "completed",
        (1, 2, 3, 4),
        9,
    )


def test_a_wanted_number_selects_without_a_policy(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder, wanted="2")
    done = run(workspace, "{filter: colour, stages: [prompt], parameters: {word: pink}}")
    assert titles(done.outputs[0]) == ["red", "green"]
    assert workspace.recorded()[0].outputs[0].kept == (0, 1)


def test_an_empty_list_completes(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder, wanted="2")
    done = run(workspace, "{filter: colour, stages: [output]}", prompt=[])
    assert (done.status, done.outputs[0].kept, titles(done.outputs[0])) == ("completed", (), [])


def test_the_candidates_of_several_lists_are_numbered_on(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder)
    workspace.plugin_folder.generator(
        "two",
        f"""
        for request in requests:
            outputs = [Output({LIST!r}, data) for data in (b'["a", "red"]', b'["b", "red", "c"]')]
            yield request.reply(*outputs, wanted=2)
        """,
        media_type=LIST,
    )
    [done] = workspace.run(
        "x", generator="two", policy=workspace.policy("{filter: colour, stages: [item]}")
    )
    assert [verdict.item for verdict in done.verdicts] == [1, 2, 3, 4, 5]
    assert [output.kept for output in done.outputs] == [(0,), (0, 2)]
    candidates = workspace.session.candidates(workspace.recorded()[0])
    assert [(item.position, item.id) for item in candidates if item.kept] == [
        (1, "id-a"),
        (3, "id-b"),
        (5, "id-c"),
    ]


@pytest.mark.parametrize(
    "extra",
    [
        "def items(self, data): raise RuntimeError('secret')",
        "def items(self, data): return 'abc'",
        "def items(self, data): return (1, 2)",
        "def items(self, data): return (Item('', 'x'),)",
        "def items(self, data): return (Item('a', 'x'), Item('a', 'y'))",
        "def items(self, data): return (Item('a', '\\ud800'),)",
        "def items(self, data): raise SystemExit",
        "def items(self, data): return [Item(str(n), 'x') for n in range(10_001)]",
    ],
)
def test_a_list_that_cannot_be_read_is_blocked_if_a_filter_must_read_it(
    workspace: Workspace, extra: str
) -> None:
    add_lists(workspace.plugin_folder, extra=extra)
    done = run(workspace, "{filter: colour, stages: [output]}")
    assert (done.status, done.outputs) == ("blocked", ())
    [verdict] = [verdict for verdict in done.verdicts if verdict.stage == "item"]
    assert (verdict.action, verdict.item) == ("block", None)
    assert "secret" not in str(verdict.failure)
    assert re.search(r"failed: [A-Z][A-Za-z]+( \(|$)", str(verdict.failure))
    assert titles(workspace.recorded()[0].outputs[0]) == TITLES
    # Without such a filter the list is not read.
    assert run(workspace, "{filter: colour, stages: [prompt]}", prompt=["x"]).status == "completed"


def test_json_that_is_not_utf8_is_a_fault_of_the_generator(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder)
    workspace.plugin_folder.generator(
        "latin",
        f"for r in requests: yield r.reply(Output({LIST!r}, b'[\"caf\\xe9\"]'))",
        media_type=LIST,
    )
    policy = workspace.policy("{filter: colour}")
    [done] = workspace.run("x", policy=policy, generator="latin")
    assert (done.status, done.outputs) == ("failed", ())
    assert "generator latin broke the contract" in done.failure.message
    assert "not UTF-8" in done.failure.message
    assert [verdict.stage for verdict in done.verdicts] == ["prompt"]


def test_a_wanted_number_of_a_list_that_cannot_be_read_fails(workspace: Workspace) -> None:
    add_lists(
        workspace.plugin_folder,
        wanted="2",
        extra="def items(self, data): raise RuntimeError('broken')",
    )
    done = run(workspace, "{filter: colour, stages: [prompt], parameters: {word: pink}}")
    assert (done.status, done.failure.code, done.outputs) == ("failed", "generator", ())
    assert re.search(
        r"failed: RuntimeError \(shelved_\d+/__init__\.py:\d+\)$", done.failure.message
    )
    [recorded] = workspace.recorded()
    assert str(recorded.failure.message).startswith(
        done.failure.message.partition(" (")[0] + ": broken ("
    )
    assert titles(recorded.outputs[0]) == TITLES


SELECTIONS = [
    "def select(self, data, positions): raise RuntimeError(data.decode())",
    "def select(self, data, positions): return 'abc'",
    "def select(self, data, positions): return data",
    "select = MediaType.select",
]


@pytest.mark.parametrize("extra", SELECTIONS)
def test_a_list_with_blocked_items_is_blocked_if_the_selection_cannot_be_made(
    workspace: Workspace, extra: str
) -> None:
    add_lists(workspace.plugin_folder, extra=extra)
    done = run(workspace, "{filter: colour, stages: [item]}")
    assert (done.status, done.outputs, done.trace) == ("blocked", (), None)
    assert [verdict.item for verdict in done.verdicts] == [1, 2, 3, 4, 5, None]
    assert "select()" in done.verdicts[-1].failure
    assert not any(title in str(done.verdicts) for title in TITLES)
    [recorded] = workspace.recorded()
    assert titles(recorded.outputs[0]) == TITLES
    assert recorded.verdicts[0].reasons[0].message.startswith("it is red")
    assert len(recorded.verdicts) == 6


@pytest.mark.parametrize("extra", SELECTIONS)
def test_a_selection_of_the_wanted_number_that_cannot_be_made_fails(
    workspace: Workspace, extra: str
) -> None:
    add_lists(workspace.plugin_folder, wanted="2", extra=extra)
    done = run(workspace, "{filter: colour, stages: [item], parameters: {word: pink}}")
    assert (done.status, done.outputs) == ("failed", ())
    assert "media type 'ranking' of ranking-type " in done.failure.message
    assert "select()" in done.failure.message
    assert "hookspecs" not in done.failure.message
    assert not any(title in done.failure.message for title in TITLES)
    [recorded] = workspace.recorded()
    assert (recorded.status, titles(recorded.outputs[0])) == ("failed", TITLES)
    assert [verdict.item for verdict in recorded.verdicts] == [1, 2]


def test_a_selection_that_fails_after_a_list_with_a_blocked_item_quotes_nothing(
    workspace: Workspace,
) -> None:
    extra = """
    def select(self, data, positions):
        if b"blue" in data:
            raise RuntimeError(data.decode())
        return json.dumps([json.loads(data)[position] for position in positions]).encode()
    """
    add_lists(workspace.plugin_folder, extra=extra.strip())
    workspace.plugin_folder.generator(
        "two",
        f"""
        for request in requests:
            outputs = [Output({LIST!r}, b) for b in (b'["red", "black"]', b'["blue", "white"]')]
            yield request.reply(*outputs, wanted=1)
        """,
        media_type=LIST,
    )
    policy = workspace.policy("{filter: colour, stages: [item]}")
    [done] = workspace.run("x", generator="two", policy=policy)
    assert (done.status, done.outputs) == ("failed", ())
    assert not any(title in str((done.verdicts, done.failure)) for title in TITLES)
    [recorded] = workspace.recorded()
    assert [titles(output) for output in recorded.outputs] == [["red", "black"], ["blue", "white"]]
    assert [verdict.item for verdict in recorded.verdicts] == [1, 2, 3]


def test_a_failure_after_a_blocked_output_does_not_quote_it(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder, extra="def items(self, data): raise ValueError(data)")
    workspace.plugin_folder.filter(
        "whole",
        "return content.block(Reason('x', content.text)) if 'red' in content.text"
        " else content.allow()",
        attributes=f"media_types = ({LIST!r},)",
    )
    workspace.plugin_folder.generator(
        "two",
        f"""
        for request in requests:
            outputs = [Output({LIST!r}, data) for data in (b'["red"]', b'["blue"]')]
            yield request.reply(*outputs, wanted=1)
        """,
        media_type=LIST,
    )
    policy = workspace.policy("{filter: whole, stages: [output]}")
    [done] = workspace.run("x", generator="two", policy=policy)
    assert (done.status, done.outputs) == ("blocked", ())
    assert "red" not in str((done.verdicts, done.failure))
    [recorded] = workspace.recorded()
    assert titles(recorded.outputs[0]) == ["red"]
    assert [reason.message for reason in recorded.verdicts[0].reasons] == ['["red"]']


@pytest.mark.parametrize("wanted", ["0", "-1", "True", "2.0", "'2'"])
def test_an_invalid_wanted_number_fails_the_generation(workspace: Workspace, wanted: str) -> None:
    add_lists(workspace.plugin_folder, wanted=wanted)
    done = run(workspace, "{filter: colour, stages: [item]}")
    assert (done.status, done.failure.code) == ("failed", "generator")
    assert "wanted" in done.failure.message


def test_a_wanted_number_of_an_output_without_items_fails(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "text", "for request in requests: yield request.reply(Text('a'), wanted=1)"
    )
    [done] = workspace.run("x")
    assert (done.status, done.failure.code) == ("failed", "generator")  # type: ignore[union-attr]
    assert "text/plain" in done.failure.message  # type: ignore[union-attr]


def test_a_filter_that_cannot_be_used_blocks_every_item(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder)
    done = run(workspace, "{filter: gone, stages: [item]}")
    assert (done.status, done.outputs) == ("blocked", ())


def test_a_generator_cannot_set_what_the_pipeline_sets(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder)
    workspace.plugin_folder.generator(
        "sly",
        f"for r in requests: yield Output({LIST!r}, b'[]', None, (0,), b'x', 3)",
        media_type=LIST,
    )
    [done] = workspace.run("x", generator="sly")
    assert done.outputs == (Output(LIST, b"[]"),)


def test_evaluators_get_the_selection(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder)
    workspace.plugin_folder.evaluator(
        "size",
        "return {'value': len(generation.outputs[0].data)}",
        attributes=f"default = True\nmedia_types = ({LIST!r},)",
    )
    done = run(workspace, "{filter: colour, stages: [item]}")
    assert done.scores[0].value == len(done.outputs[0].data)


def test_evaluators_get_no_quotations_of_blocked_items(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder)
    workspace.plugin_folder.evaluator(
        "quotes",
        "return {'value': len(generation.verdicts[0].reasons[0].message)}",
        attributes=f"default = True\nmedia_types = ({LIST!r},)",
    )
    done = run(workspace, "{filter: colour, stages: [item]}")
    assert [score.value for score in done.scores] == [0]
    [recorded] = workspace.recorded()
    assert recorded.verdicts[0].reasons[0].message.startswith("it is red")


def test_the_trace_of_a_list_is_returned_only_with_all_its_candidates(
    workspace: Workspace,
) -> None:
    add_lists(workspace.plugin_folder)
    workspace.plugin_folder.generator(
        "traced",
        f"""
        for request in requests:
            trace = muniment.Trace((1,), (-0.5,), (0.5,))
            yield request.reply(Output({LIST!r}, request.prompt.encode()), trace=trace)
        """,
        media_type=LIST,
    )
    workspace.plugin_folder.evaluator(
        "traces",
        "return {'value': float(generation.trace is not None)}",
        attributes=f"default = True\nmedia_types = ({LIST!r},)",
    )
    policy = workspace.policy("{filter: colour, stages: [item]}")
    for prompt, is_whole in (('["red", "blue"]', False), ('["blue"]', True)):
        [done] = workspace.run(prompt, generator="traced", policy=policy)
        recorded = workspace.session.generation(done.id)
        assert recorded.trace is not None
        assert [score.value for score in done.scores] == [float(is_whole)]
        for returned in (done, workspace.session.selection(recorded)):
            assert (returned.trace is not None) == is_whole


def test_a_replay_compares_the_candidates_and_runs_no_filter(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder, wanted="2")
    done = run(workspace, "{filter: colour, stages: [item]}")
    [replayed] = workspace.session.replay([workspace.session.generation(done.id)])
    assert replayed.result == "exact"
    assert len(workspace.recorded()[0].verdicts) == 3
