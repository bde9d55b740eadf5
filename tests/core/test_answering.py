"""Generators that keep the contract badly: what was answered stands, the rest fails alone."""

from __future__ import annotations

import re

import pytest

from muniment import Generation
from support.workspace import Workspace


def texts(done: list[Generation]) -> list[str]:
    """What came of each: its text, or the code of its failure."""
    return [item.text if item.status == "completed" else str(item.failure.code) for item in done]


def failure(done: Generation) -> str:
    assert done.status == "failed"
    assert done.outputs == ()
    assert done.failure is not None
    assert "\n" not in done.failure.message
    return done.failure.message


SAY = "yield request.reply(Text(request.prompt))"


def test_answers_are_matched_by_name_and_not_by_position(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "shuffled", f"for request in sorted(requests, key=lambda r: r.seed): {SAY}"
    )
    names = [str(number) for number in range(20)]
    assert texts(workspace.run(*names)) == names


def test_when_one_of_three_makes_it_raise_the_others_stand_and_the_rest_is_asked_alone(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator(
        "picky",
        """
        for request in requests:
            if request.prompt == "b":
                raise ValueError("not b")
            yield request.reply(Text(f"{request.prompt} of {len(requests)}"))
        """,
    )
    done = workspace.run("a", "b", "c", "d")
    assert texts(done) == ["a of 4", "generator", "c of 1", "d of 1"]
    assert failure(done[1]).startswith("generator picky failed: ValueError: not b (")
    assert workspace.recorded() == done


def test_what_raises_only_in_company_is_answered_alone(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "shy",
        f"""
        if len(requests) > 1:
            raise MemoryError("too many at once")
        for request in requests: {SAY}
        """,
    )
    assert texts(workspace.run("a", "b", "c")) == ["a", "b", "c"]


def test_what_always_raises_is_asked_once_in_company_and_once_alone(
    workspace: Workspace, tmp_path
) -> None:
    log = tmp_path / "log"
    workspace.plugin_folder.generator(
        "never",
        f"""
        with open({str(log)!r}, "a") as file: file.write(f"{{len(requests)}} ")
        raise RuntimeError("no")
        """,
    )
    assert texts(workspace.run("a", "b", "c")) == ["generator"] * 3
    assert log.read_text() == "3 1 1 1 "
    log.unlink()
    assert texts(workspace.run("a")) == ["generator"]
    assert log.read_text() == "1 "


def test_one_that_is_left_out_fails_and_is_not_given_its_neighbours_answer(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator("drops", f"for request in requests[::2]: {SAY}")
    done = workspace.run("a", "b", "c")
    assert texts(done) == ["a", "generator", "c"]
    assert failure(done[1]) == "generator drops did not answer"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("raise SystemExit(1)", "SystemExit: 1"),
        ("raise GeneratorExit", "it raised GeneratorExit"),
        ("return None", "TypeError: generate returned NoneType"),
        ("return 5", "TypeError: generate returned int"),
        ("return 'text'", "TypeError: generate returned str; yield request.reply"),
        ("return iter([None])", "TypeError: it yielded NoneType"),
        ("return ['text']", "TypeError: it yielded str"),
        ("return [Reply('unknown', (Text('x'),))]", "ValueError: it answered a request twice, or"),
        ("return [Reply([], (Text('x'),))]", "TypeError: unhashable"),
        ("return [muniment.Chunk('unknown', 'x')]", "ValueError: it answered a request twice, or"),
        ("return []", "generator odd did not answer"),
        ("raise RuntimeError('\\ud800')", "RuntimeError: \\ud800"),
        ("raise muniment.ModelError('m', 'the weights are gone')", "the weights are gone"),
    ],
)
@pytest.mark.parametrize("prompts", [["a"], ["a", "b"]], ids=["alone", "in a batch"])
def test_an_answer_that_is_none_fails_what_was_asked(
    workspace: Workspace, body: str, complaint: str, prompts: list[str]
) -> None:
    workspace.plugin_folder.generator("odd", body)
    for done in workspace.run(*prompts):
        assert complaint in failure(done)
        if "; yield request.reply" in complaint:  # no exception of the plugin's own code
            assert re.search(r" \(shelved_\d+/__init__\.py:\d+\)$", failure(done))
        assert done.failure is not None
        assert done.failure.code == "generator"


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        ("request.reply()", "a reply needs at least one output"),
        ("Reply(request.id, None)", "'NoneType' object is not iterable"),
        ("Reply(request.id, Text('x'))", "'Output' object is not iterable"),
        ("request.reply('text')", "str is not an Output of bytes; use muniment.Text("),
        ("request.reply(Output('text/plain', 'text'))", "Output is not an Output of bytes"),
        ("request.reply(Output('image/png', b''))", "it answered with image/png, not text/plain"),
        ("request.reply(Text('a'), Output('text/html', b''))", "it answered with text/html, not"),
        ("request.reply(Output('text/plain', b'\\xff'))", "its text is not UTF-8"),
        ("request.reply(Text('a', 'tired'))", "'tired' is not a finish reason"),
        ("request.reply(Text('a'), usage=Usage(-1, 2))", "usage must be from 0 to 2^53"),
        ("request.reply(Text('a'), usage=Usage(2**70, 2))", "usage must be from 0 to 2^53"),
        ("request.reply(Text('a'), usage=Usage(1.5, 2))", "float"),
        ("request.reply(Text('a'), usage=5)", "prompt_tokens"),
        ("request.reply(Text('a'), trace=Trace((1,), (), ()))", "must be equally long"),
        ("request.reply(Text('a'), trace=Trace((1,), (float('nan'),), (0,)))", "must be finite"),
        ("request.reply(Text('a'), trace=Trace((1,), (0,), (float('inf'),)))", "must be finite"),
        ("request.reply(Text('a'), trace=Trace((1.5,), (0,), (0,)))", "float"),
        ("request.reply(Text('a'), trace=Trace((1,), ('x',), (0,)))", "could not convert"),
    ],
)
def test_a_reply_that_breaks_the_contract_fails_alone_and_its_neighbours_stand(
    workspace: Workspace, reply: str, complaint: str
) -> None:
    workspace.plugin_folder.generator(
        "odd",
        f"""
        for request in requests:
            yield request.reply(Text("fine")) if request.prompt == "a" else {reply}
        """,
    )
    done = workspace.run("a", "b", "a")
    assert texts(done) == ["fine", "generator", "fine"]
    assert failure(done[1]).startswith("generator odd broke the contract: ")
    assert complaint in failure(done[1])
    assert re.search(r" \(shelved_\d+/__init__\.py:\d+\)$", failure(done[1]))


def test_the_first_of_two_answers_stands(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "twice",
        """
        for request in requests:
            yield request.reply(Text(f"first {request.prompt}"))
            yield request.reply(Text("second"))
        """,
    )
    assert texts(workspace.run("a", "b", "c")) == ["first a", "first b", "first c"]
    assert texts(workspace.run("a")) == ["first a"]


def test_what_is_raised_after_the_last_answer_spoils_nothing(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "late", f"for request in requests: {SAY}\nraise RuntimeError('late')"
    )
    assert texts(workspace.run("a", "b")) == ["a", "b"]


def test_what_is_raised_while_it_is_closed_spoils_nothing(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "messy",
        f"""
        try:
            for request in requests:
                {SAY}
                yield "nonsense"
        finally:
            raise RuntimeError("in the end")
        """,
    )
    assert texts(workspace.run("a", "b")) == ["a", "b"]


def test_a_bare_output_is_understood_for_a_single_request(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("bare", "for request in requests: yield Text(request.prompt)")
    assert texts(workspace.run("a")) == ["a"]


def test_bare_outputs_of_a_batch_are_never_matched_by_position(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "bare", "for r in reversed(requests): yield Text(f'{r.prompt} of {len(requests)}')"
    )
    assert texts(workspace.run("a", "b", "c")) == ["a of 1", "b of 1", "c of 1"]


def test_a_list_and_several_outputs_are_answers_too(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "lists", "return [r.reply(Text('a'), Text('b')) for r in requests]"
    )
    assert texts(workspace.run("x", "y")) == ["a\n\nb"] * 2


def test_numbers_of_other_kinds_in_a_trace_are_kept_as_plain_ones(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "exotic",
        """
        from fractions import Fraction
        class Wide(int): pass
        for r in requests:
            trace = Trace([Wide(7)], [Fraction(-1, 4)], [True])
            yield r.reply(Text("a"), usage=Usage(Wide(1), True), trace=trace)
        """,
    )
    (done,) = workspace.run("x")
    assert done.trace is not None
    assert (done.trace.token_ids, done.trace.logprobs) == ((7,), (-0.25,))
    assert workspace.recorded() == [done]


def test_a_refusal_that_is_no_text_is_still_one(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("odd", "for request in requests: yield request.fail(5)")
    (done,) = workspace.run("x")
    assert (done.status, failure(done)) == ("failed", "5")


def test_an_answer_that_does_not_fit_an_entry_costs_only_itself(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.plugins.invocation._usage", lambda usage: usage)
    workspace.plugin_folder.generator(
        "wild",
        """
        for request in requests:
            usage = Usage(2**70 if request.prompt == "b" else 1, 1)
            yield request.reply(Text(request.prompt), usage=usage)
        """,
    )
    done = workspace.run("a", "b", "c")
    assert texts(done) == ["a", "generator", "c"]
    assert failure(done[1]).startswith("the output of generator wild cannot be recorded: ")
    assert workspace.recorded() == done
