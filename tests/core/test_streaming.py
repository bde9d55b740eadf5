"""Pieces: shown at once only where no filter has a say on the output."""

from __future__ import annotations

import contextlib

import pytest

from muniment import Chunk, Generation, GenerationSpec, Output
from support.workspace import Workspace

WORDS = """
    for request in requests:
        if request.stream:
            for word in request.prompt.split():
                yield request.chunk(word + " ")
        yield request.reply(Text(request.prompt + " "))
"""


def streamed(
    workspace: Workspace, *prompts: str, **options: object
) -> tuple[list[str], list[Generation]]:
    """Return the pieces and the generations, after checking that pieces came first."""
    specs = [GenerationSpec(prompt) for prompt in prompts]
    items = list(workspace.session.run(specs, **{"stream": True, **options}))  # type: ignore[arg-type]
    pieces = [item for item in items if isinstance(item, Chunk)]
    done = [item for item in items if isinstance(item, Generation)]
    assert items == [*pieces, *done]
    workspace.check()
    return [piece.text for piece in pieces], done


def test_pieces_come_before_the_generation_where_no_policy_filters(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("words", WORDS)
    pieces, done = streamed(workspace, "最近 我国")
    assert pieces == ["最近 ", "我国 "]
    assert [item.text for item in done] == ["最近 我国 "]


def test_pieces_are_told_apart_by_their_request(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("words", WORDS)
    items = list(workspace.session.run([GenerationSpec("a b"), GenerationSpec("c")], stream=True))
    first, second = items[-2:]
    assert isinstance(first, Generation)
    assert isinstance(second, Generation)
    assert items[:3] == [Chunk(first.id, "a "), Chunk(first.id, "b "), Chunk(second.id, "c ")]


def test_nobody_gets_pieces_who_did_not_ask(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("words", WORDS.replace("if request.stream", "if True"))
    pieces, done = streamed(workspace, "a b", stream=False)
    assert pieces == []
    assert done[0].text == "a b "


@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_pieces_are_held_back_where_a_filter_judges_outputs(
    workspace: Workspace, mode: str
) -> None:
    workspace.plugin_folder.generator("words", WORDS.replace("if request.stream", "if True"))
    workspace.plugin_folder.filter("fine", "return content.allow()")
    policy = workspace.policy(f"{{filter: fine, mode: {mode}}}")
    pieces, done = streamed(workspace, "a b", policy=policy)
    assert pieces == []
    assert done[0].text == "a b "


def test_pieces_are_held_back_where_a_filter_of_outputs_is_missing(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("words", WORDS.replace("if request.stream", "if True"))
    policy = workspace.policy("{filter: gone, stages: [output]}")
    pieces, done = streamed(workspace, "a b", policy=policy)
    assert pieces == []
    assert (done[0].status, done[0].outputs) == ("blocked", ())


def test_pieces_come_where_filters_judge_prompts_only(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("words", WORDS)
    workspace.plugin_folder.filter("fine", "return content.allow()")
    policy = workspace.policy("{filter: fine, stages: [prompt]}")
    assert streamed(workspace, "a b", policy=policy)[0] == ["a ", "b "]


def test_pieces_come_where_filters_cannot_read_the_media_type(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("words", WORDS)
    workspace.plugin_folder.filter(
        "f", "return content.block('x')", attributes="media_types = ('image/png',)"
    )
    pieces, done = streamed(workspace, "a b", policy=workspace.policy("{filter: f}"))
    assert pieces == ["a ", "b "]
    assert done[0].status == "completed"


def test_a_blocked_prompt_streams_nothing(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("words", WORDS)
    workspace.plugin_folder.filter("never", "return content.block('no')")
    policy = workspace.policy("{filter: never, stages: [prompt]}")
    pieces, done = streamed(workspace, "a b", policy=policy)
    assert pieces == []
    assert done[0].status == "blocked"


@pytest.mark.parametrize("text", ["5", "None", "'\\ud800'"])
def test_a_piece_that_is_no_text_fails_its_request(workspace: Workspace, text: str) -> None:
    workspace.plugin_folder.generator(
        "odd", f"for request in requests: yield request.chunk({text})"
    )
    pieces, done = streamed(workspace, "a")
    assert pieces == []
    assert done[0].status == "failed"


# ---- what was shown is recorded ------------------------------------------------------------------

PARTS = """
    for request in requests:
        yield request.chunk("最近 ")
        yield request.chunk("我国")
        END
"""


def test_what_was_shown_before_ctrl_c_is_recorded(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("parts", PARTS.replace("END", "raise KeyboardInterrupt"))
    shown: list[str] = []
    items = workspace.session.run([GenerationSpec("a"), GenerationSpec("b")], stream=True)
    with pytest.raises(KeyboardInterrupt):
        shown.extend(item.text for item in items)
    first, second = workspace.recorded()
    assert (first.status, first.text) == ("interrupted", "".join(shown))
    assert first.outputs == (Output("text/plain", "最近 我国".encode(), None),)
    assert (second.status, second.outputs) == ("interrupted", ())
    workspace.check()
    (replay,) = workspace.session.replay([first])
    assert replay.result == "impossible"
    assert replay.detail == "it was interrupted: there is no whole output to compare with"


def test_what_was_shown_to_a_consumer_that_stopped_is_recorded(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "parts", PARTS.replace("END", "yield request.reply(Text('whole'))")
    )
    items = workspace.session.run([GenerationSpec("a")], stream=True)
    with contextlib.closing(items):  # type: ignore[type-var]
        next(items)
    (kept,) = workspace.recorded()
    assert (kept.status, kept.text) == ("interrupted", "最近 ")


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("raise RuntimeError", "generator"),
        ("yield request.reply()", "generator"),
        ("yield request.fail('no')", "refused"),
        ("return", "generator"),
    ],
)
def test_what_was_shown_before_a_failure_is_recorded(
    workspace: Workspace, end: str, code: str
) -> None:
    workspace.plugin_folder.generator("parts", PARTS.replace("END", end))
    workspace.plugin_folder.evaluator("size", "return {'value': 1}")
    pieces, (done,) = streamed(workspace, "a")
    assert (done.status, done.text, done.scores) == ("failed", "".join(pieces), ())
    assert done.failure is not None
    assert done.failure.code == code
    assert workspace.recorded() == [done]


@pytest.mark.parametrize("text", ["", "最近", "最近 我国!", " 最近 我国"])
def test_an_answer_that_is_not_what_was_shown_fails_and_what_was_shown_is_recorded(
    workspace: Workspace, text: str
) -> None:
    workspace.plugin_folder.generator(
        "parts", PARTS.replace("END", f"yield request.reply(Text({text!r}))")
    )
    pieces, (done,) = streamed(workspace, "a")
    if text.startswith("".join(pieces)):
        assert (done.status, done.text) == ("completed", text)
        return
    assert (done.status, done.text) == ("failed", "最近 我国")
    assert done.failure is not None
    assert done.failure.code == "generator"
    assert done.failure.message == (
        "generator parts replied with a text that does not begin with its chunks"
    )
    assert workspace.recorded() == [done]


def test_what_was_shown_before_a_raise_in_company_is_recorded_whatever_is_said_alone(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator(
        "moody",
        """
        for request in requests:
            if len(requests) == 1:
                yield request.reply(Text(request.prompt + " alone"))
                continue
            yield request.chunk(request.prompt)
            if request.prompt == "b":
                raise RuntimeError("too many")
            yield request.chunk(" in company")
        """,
    )
    _, done = streamed(workspace, "a", "b")
    assert [(item.status, item.text) for item in done] == [
        ("failed", "a in company"),
        ("completed", "b alone"),
    ]
    assert workspace.recorded() == done


def test_what_was_shown_of_an_answer_that_cannot_be_recorded_is_recorded(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.plugins.invocation._usage", lambda usage: usage)
    reply = "yield request.reply(Text('最近 我国'), usage=Usage(2**70, 1))"
    workspace.plugin_folder.generator("wild", PARTS.replace("END", reply))
    pieces, (done,) = streamed(workspace, "a")
    assert (done.status, done.text) == ("failed", "".join(pieces))
    assert workspace.recorded() == [done]


def test_only_text_is_shown_in_pieces(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "brush", PARTS.replace("END", "return"), media_type="image/png"
    )
    pieces = [
        item
        for item in workspace.session.run([GenerationSpec("a", generator="image")], stream=True)
        if isinstance(item, Chunk)
    ]
    assert pieces == []
    assert workspace.recorded()[0].outputs == ()
