"""Filters fail closed: whatever goes wrong with one, nothing passes unjudged."""

from __future__ import annotations

import contextlib
import re
import sqlite3

import pytest

import muniment
from muniment.types.generations import Generation
from muniment.types.verdicts import Content
from support.workspace import Workspace

ECHO = "for request in requests: yield request.reply(Text(request.prompt))"


def blocked_by(workspace: Workspace, rule: str = "{filter: odd}") -> Generation:
    """Generate once under a policy of one rule; see that the filter's failure blocked."""
    workspace.plugin_folder.generator("echo", ECHO)
    (done,) = workspace.run("four", policy=workspace.policy(rule))
    assert done.status == "blocked"
    assert done.outputs == ()
    verdict = done.verdicts[-1]
    assert (verdict.decision, verdict.action) == ("block", "block")
    assert verdict.failure
    assert "\n" not in verdict.failure
    assert workspace.recorded()[0].verdicts == done.verdicts
    return done


@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_a_filter_that_is_not_installed_blocks(workspace: Workspace, mode: str) -> None:
    done = blocked_by(workspace, f"{{filter: gone, mode: {mode}}}")
    assert done.verdicts[0].failure == "filter gone cannot be used: no filter named 'gone'"
    assert done.verdicts[0].filter == "gone"


def test_a_filter_whose_plugin_is_broken_blocks_and_says_why(workspace: Workspace) -> None:
    workspace.plugin_folder.add("raise RuntimeError('no luck')", distribution="unlucky")
    assert "plugin unlucky cannot be loaded: RuntimeError: no luck" in str(
        blocked_by(workspace).verdicts[0].failure
    )


def test_a_filter_of_two_distributions_blocks(workspace: Workspace) -> None:
    for name in ("dist-a", "dist-b"):
        workspace.plugin_folder.filter("odd", "return content.allow()", distribution=name)
    assert "dist-a or dist-b" in str(blocked_by(workspace).verdicts[0].failure)


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (
            "{filter: odd, parameters: {than: 0}}",
            "than must be a whole number of at least 1, not 0",
        ),
        ("{filter: odd, parameters: {then: 1}}", "no parameter named 'then' (did you mean than?)"),
        ("{filter: odd, parameters: {self: 1}}", "no parameter named 'self'"),
        ("{filter: odd, parameters: {than: 2024-01-01}}", "than must be a whole number"),
    ],
)
def test_wrong_parameters_refuse_the_policy_and_nothing_is_generated(
    workspace: Workspace, rule: str, complaint: str
) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.filter("fine", "return content.allow()")
    workspace.plugin_folder.filter(
        "odd", "return content.allow()", parameters="than: int = param(3, ge=1)"
    )
    policy = workspace.policy("{filter: fine}", rule)
    with pytest.raises(muniment.PolicyError) as caught:
        workspace.session.generate("x", policy=policy)
    assert str(caught.value).startswith(f"policy {policy}: filters[1] (odd): {complaint}")
    assert not (workspace.home / "muniment.db").exists()


def test_parameters_that_a_filter_itself_refuses_refuse_the_policy(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.filter(
        "odd",
        "return content.allow()",
        attributes="""
        def __init__(self, parameters):
            raise muniment.ParameterError("terms", "terms holds an empty one")
        """,
    )
    with pytest.raises(
        muniment.PolicyError, match=r"filters\[0\] \(odd\): terms holds an empty one"
    ):
        workspace.session.generate("x", policy=workspace.policy("{filter: odd}"))


@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_a_verdict_that_comes_later_than_its_limit_blocks(workspace: Workspace, mode: str) -> None:
    workspace.plugin_folder.filter("odd", "return content.allow(odd=0.5)")
    done = blocked_by(workspace, f"{{filter: odd, mode: {mode}, time_limit: 0.000000001}}")
    failure = str(done.verdicts[0].failure)
    start = "filter odd failed: its verdict came after "
    assert re.fullmatch(start + r"\d+\.\d s, later than its limit of 1e-09 s", failure)
    assert done.verdicts[0].categories == {}


def test_a_verdict_within_its_limit_stands(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.filter("odd", "return content.allow(odd=0.5)")
    (done,) = workspace.run("x", policy=workspace.policy("{filter: odd, time_limit: 86400}"))
    assert done.status == "completed"
    assert done.verdicts[0].categories == {"odd": 0.5}


def test_a_filter_that_cannot_be_made_blocks(workspace: Workspace) -> None:
    workspace.plugin_folder.filter(
        "odd",
        "return content.allow()",
        attributes="def __init__(self, parameters): raise OSError('no list of words')",
        distribution="odd-dist",
    )
    assert "'odd' of odd-dist cannot be created: OSError: no list of words" in str(
        blocked_by(workspace).verdicts[0].failure
    )


def test_a_filter_registered_by_name_that_cannot_be_imported_blocks(workspace: Workspace) -> None:
    workspace.plugin_folder.add(
        """
        import muniment
        @muniment.hookimpl
        def muniment_filters(register):
            register("{package}.heavy:Heavy", name="odd")
        """,
        files={"heavy.py": "import no_such_module_here"},
    )
    assert "ModuleNotFoundError" in str(blocked_by(workspace).verdicts[0].failure)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("raise RuntimeError('first\\nsecond')", "RuntimeError: first"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("raise RuntimeError('\\ud800')", "RuntimeError: \\ud800"),
        ("return None", "check() returned NoneType, not a Verdict"),
        ("return True", "check() returned bool, not a Verdict"),
        ("return 'allow'", "check() returned str, not a Verdict"),
        ("return content", "check() returned Content, not a Verdict"),
        ("return Verdict('permit')", "'permit' is not one of allow"),
        ("return Verdict(None)", "None is not one of allow"),
        ("return content.allow(odd=float('nan'))", "the score nan of odd is not between 0 and 1"),
        ("return content.allow(odd=float('inf'))", "the score inf of odd"),
        ("return content.allow(odd=1.5)", "the score 1.5 of odd"),
        ("return content.allow(odd=-0.1)", "the score -0.1 of odd"),
        ("return content.allow(odd='1')", "categories must be scores by name"),
        ("return Verdict('allow', {5: 0.5})", "categories must be scores by name"),
        ("return Verdict('allow', {'\\ud800': 0.5})", "categories must be scores by name"),
        ("return Verdict('allow', None)", "AttributeError"),
        ("return Verdict('allow', [('odd', 1)])", "AttributeError"),
        ("return Verdict('allow', {}, None)", "TypeError"),
        ("return Verdict('allow', {}, ('odd',))", "reasons must be muniment.Reason"),
        ("return content.flag(5)", "AttributeError"),
        ("return content.allow(Reason('odd'))", "TypeError"),
        (
            "return Verdict('flag', {}, (Reason(5),))",
            "category and message of a reason must be text",
        ),
        ("return content.flag(Reason('a', None))", "category and message of a reason must be text"),
        ("return content.flag(Reason('a', '\\ud800'))", "of a reason must be text"),
        ("return content.flag(Reason('a', 'b', 0, 5))", "the span 0-5 lies outside the content"),
        ("return content.flag(Reason('a', 'b', 3, 2))", "the span 3-2 lies outside the content"),
        ("return content.flag(Reason('a', 'b', -1, 2))", "the span -1-2 lies outside the content"),
        ("return content.flag(Reason('a', 'b', 5))", "the span 5-None lies outside the content"),
        ("return content.flag(Reason('a', 'b', None, -1))", "the span None--1 lies outside"),
        ("return content.flag(Reason('a', 'b', 0.0, 1))", "the span 0.0-1 lies outside"),
        ("return content.flag(Reason('a', 'b', '0', 1))", "lies outside"),
    ],
)
def test_a_filter_that_raises_or_answers_nonsense_blocks(
    workspace: Workspace, body: str, complaint: str
) -> None:
    workspace.plugin_folder.filter("odd", body)
    verdict = blocked_by(workspace).verdicts[0]
    assert str(verdict.failure).startswith("filter odd failed: ")
    assert complaint in str(verdict.failure)
    assert (verdict.categories, verdict.reasons) == ({}, ())


def test_a_filter_that_fails_blocks_in_observe_mode_and_whatever_the_thresholds(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.filter("odd", "raise RuntimeError")
    blocked_by(workspace, "{filter: odd, mode: observe, thresholds: {odd: {flag: 1}}}")


def test_thresholds_of_a_category_that_the_filter_never_finds_are_refused(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.filter(
        "odd", "return content.block(odd=0.5)", attributes="categories = ('odd', 'even')"
    )
    rule = "{filter: odd, thresholds: {%s: {block: 0.9}}}"
    with pytest.raises(muniment.PolicyError, match=r"filters\[0\] .*'old'.*use odd or even"):
        workspace.run("x", policy=workspace.policy(rule % "old"))
    assert workspace.run("x", policy=workspace.policy(rule % "odd"))[0].status == "completed"


def test_thresholds_are_checked_against_the_categories_of_an_instance(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    own = "__init__ = lambda self, parameters: setattr(self, 'categories', ('own',))"
    workspace.plugin_folder.filter("odd", "return content.block(own=0.5)", attributes=own)
    rule = "{filter: odd, thresholds: {%s: {block: 0.9}}}"
    with pytest.raises(muniment.PolicyError, match=r"'odd'.*use own"):
        workspace.run("x", policy=workspace.policy(rule % "odd"))
    assert workspace.run("x", policy=workspace.policy(rule % "own"))[0].status == "completed"


def test_a_filter_that_fails_on_the_output_keeps_the_output_from_the_caller(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.filter("odd", "raise RuntimeError")
    workspace.plugin_folder.generator("echo", ECHO)
    (done,) = workspace.run("four", policy=workspace.policy("{filter: odd, stages: [output]}"))
    assert (done.status, done.outputs) == ("blocked", ())
    assert [verdict.stage for verdict in done.verdicts] == ["output"]
    assert workspace.recorded()[0].text == "four"


def test_a_filter_that_fails_keeps_the_others_from_nothing(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.filter("odd", "raise RuntimeError")
    workspace.plugin_folder.filter("fine", "return content.allow(sound=0.25)")
    (done,) = workspace.run("x", policy=workspace.policy("{filter: odd}", "{filter: fine}"))
    assert [(v.filter, v.action) for v in done.verdicts] == [("odd", "block"), ("fine", "allow")]
    assert done.verdicts[1].categories == {"sound": 0.25}


def test_a_filter_that_reports_its_own_failure_blocks(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.filter("tired", "return Verdict('allow', failure='no model')")
    (done,) = workspace.run("x", policy=workspace.policy("{filter: tired, stages: [prompt]}"))
    (verdict,) = done.verdicts
    assert (done.status, verdict.action) == ("blocked", "block")
    assert "no model" in (verdict.failure or "")


def test_a_filter_cannot_pass_off_another_name_as_its_own(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.filter(
        "sly",
        "return Verdict('allow', filter='other', version='9', stage='system', action='block',"
        " policy_version='x')",
        attributes="version = '3.1'",
    )
    (done,) = workspace.run("x", policy=workspace.policy("{filter: sly, stages: [prompt]}"))
    (verdict,) = done.verdicts
    assert (verdict.filter, verdict.version, verdict.stage) == ("sly", "3.1", "prompt")
    assert (verdict.action, verdict.policy_version, verdict.failure) == ("allow", "team@1", None)


def test_what_a_filter_prints_stays_off_standard_output(
    workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace.plugin_folder.generator("echo", "print('generating')\n" + ECHO)
    workspace.plugin_folder.filter("talks", "print('checking')\nreturn content.allow()")
    workspace.plugin_folder.evaluator("loud", "print('measuring')\nreturn {}")
    workspace.run("x", policy=workspace.policy("{filter: talks}"))
    said = capfd.readouterr()
    assert said.out == ""
    assert {"checking", "generating", "measuring"} <= set(said.err.split())


def test_spans_are_offsets_in_characters(workspace: Workspace) -> None:
    content = Content("prompt", "text/plain", "最近的卫星".encode())
    assert len(content.text) == 5
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.filter(
        "all", "return content.flag(Reason('all', '', 0, len(content.text)))"
    )
    (done,) = workspace.run("最近的卫星", policy=workspace.policy("{filter: all}"))
    assert done.status == "completed"
    assert done.verdicts[0].reasons[0].end == 5


def test_what_a_filter_or_evaluator_says_of_itself_when_made_reaches_no_entry(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.filter(
        "sly",
        "return content.flag(**{word: 0.5 for word in self.categories})",
        parameters="word: str = param('x')",
        attributes="""
        categories = ("fine",)
        def __init__(self, parameters):
            self.categories = ("fine", parameters.word)
            self.version = parameters.word
        """,
    )
    workspace.plugin_folder.evaluator(
        "sly",
        "return {'value': 1}",
        attributes="""
        default = True
        def __init__(self, parameters, models):
            self.measures = (Measure("value", "SECRET"),)
            self.version = "SECRET"
        """,
    )
    (done,) = workspace.run(
        "x", policy=workspace.policy("{filter: sly, parameters: {word: SECRET}}")
    )
    assert done.verdicts[0].categories == {"fine": 0.5, "SECRET": 0.5}
    assert workspace.recorded()[0].verdicts == done.verdicts
    assert (done.verdicts[0].version, done.scores[0].version) == ("1.0", "1.0")
    with contextlib.closing(sqlite3.connect(workspace.session.store.path)) as database:
        held = b"".join(row[0] for row in database.execute("SELECT canonical_bytes FROM entry"))
    assert b'"fine":"0.5"' in held
    assert b"SECRET" not in held


PNG = "for r in requests: yield r.reply(Output('image/png', b'\\x89PNG\\xff'))"


def picture(workspace: Workspace, stages: str, unread: str) -> Generation:
    """Generate an image under a policy whose filter reads only text."""
    workspace.plugin_folder.generator("pictures", PNG, media_type="image/png")
    workspace.plugin_folder.filter("polite", "return content.allow()")
    policy = workspace.policy(f"{{filter: polite, stages: [{stages}]}}")
    policy.write_text(policy.read_text() + unread)
    (done,) = workspace.run("a cat", generator="pictures", policy=policy)
    return done


@pytest.mark.parametrize("unread", ["", "unread: allow\n"])
def test_an_output_that_no_filter_reads_is_named_in_the_record(
    workspace: Workspace, unread: str
) -> None:
    done = picture(workspace, "prompt, output", unread)
    assert (done.status, done.unread) == ("completed", ("output: image/png",))
    assert workspace.recorded()[0].to_json()["unread"] == ("output: image/png",)


def test_an_output_that_no_filter_reads_is_blocked_if_the_policy_demands_it(
    workspace: Workspace,
) -> None:
    done = picture(workspace, "output", "unread: block\n")
    assert (done.status, done.outputs) == ("blocked", ())
    [recorded] = workspace.recorded()
    [verdict] = recorded.verdicts
    assert (verdict.filter, verdict.stage, verdict.action) == ("unread", "output", "block")
    assert "image/png" in str(verdict.failure)
    assert recorded.unread == ()
    by_filter = muniment.Query(filter="unread")
    assert [item.id for item in workspace.session.generations(by_filter)] == [done.id]
    workspace.session.erase(muniment.Query(ids=[done.id]))
    [erased] = workspace.session.generations(by_filter)
    assert [verdict.filter for verdict in erased.verdicts] == ["unread"]


def test_content_of_a_stage_without_filters_is_not_blocked_as_unread(workspace: Workspace) -> None:
    assert picture(workspace, "prompt", "unread: block\n").status == "completed"


def test_rules_that_observe_do_not_block_content_that_no_filter_reads(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator("pictures", PNG, media_type="image/png")
    workspace.plugin_folder.filter("polite", "return content.allow()")
    policy = workspace.policy("{filter: polite, mode: observe}")
    policy.write_text(policy.read_text() + "unread: block\n")
    (done,) = workspace.run("a cat", generator="pictures", policy=policy)
    assert (done.status, done.unread) == ("completed", ("output: image/png",))


def test_an_input_that_no_filter_reads_is_named_or_blocked(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "echo", ECHO, attributes="inputs = (muniment.InputSpec('init', ('image/png',)),)"
    )
    workspace.plugin_folder.filter("polite", "return content.allow()")
    image = b"\x89PNG\r\n\x1a\n\xff"
    for unread, status in (("allow", "completed"), ("block", "blocked")):
        policy = workspace.policy("{filter: polite, stages: [prompt]}")
        policy.write_text(policy.read_text() + f"unread: {unread}\n")
        spec = muniment.GenerationSpec("x", generator="echo", inputs={"init": image})
        (done,) = workspace.session.run([spec], policy=policy)
        assert isinstance(done, Generation)
        assert done.status == status
        assert done.unread == (("input init: image/png",) if unread == "allow" else ())
        blocked = [verdict.input for verdict in done.verdicts if verdict.action == "block"]
        assert blocked == (["init"] if unread == "block" else [])
