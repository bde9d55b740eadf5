"""The one path: every status, what is recorded on the way, and what the caller gets to see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import muniment
from muniment import Generation, GenerationSpec, Output, Usage
from muniment.generation.batch import read_specs
from support.workspace import Workspace

ECHO = "for request in requests: yield request.reply(Text(request.prompt, 'stop'))"
BOMB = """
    text = content.text
    if "bomb" not in text:
        return content.allow()
    start = text.index("bomb")
    return content.block(Reason("weapons", "names a weapon", start, start + 4))
"""


def test_a_generation_is_completed_and_recorded_as_it_is_returned(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "echo",
        """
        for request in requests:
            trace = Trace((5, 6), (-0.25, -1.5), (0.5, 2.0))
            yield request.reply(Text(request.prompt * 2, "stop"), usage=Usage(1, 2), trace=trace)
        """,
        parameters="times: int = param(2)\nwords: list[str] = param(['a'])\nnote: str = param('x')",
        distribution="echo-dist",
    )
    done = workspace.session.generate(
        "最近",
        system="",
        seed=2**64 - 1,
        parameters={"times": "3", "words": ["b", "词"]},
        tags=["第一", "b"],
    )
    assert done.status == "completed"
    assert done.text == "最近最近"
    assert done.outputs == (Output("text/plain", "最近最近".encode(), "stop"),)
    assert done.usage == Usage(1, 2)
    assert dict(done.parameters) == {"times": 3, "words": ("b", "词"), "note": "x"}
    assert (done.seed, done.system, done.tags) == (2**64 - 1, "", ("第一", "b"))
    assert (done.generator, done.policy, done.actor) == ("echo", "none@1", "tester")
    assert [plugin.distribution for plugin in done.plugins] == ["muniment", "echo-dist"]
    assert done.environment["python"]
    assert done.finished_at is not None
    assert done.started_at <= done.finished_at
    assert workspace.recorded() == [done]
    workspace.check()


def test_the_entry_that_it_started_is_committed_before_anything_is_generated(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator(
        "spy",
        f"""
        from muniment.store import Store
        with Store.open("sqlite:///{workspace.home}/muniment.db", create=False) as store:
            seen = [item.status + " " + item.prompt for item in store.generations()]
        for request in requests:
            yield request.reply(Text(",".join(seen)))
        """,
    )
    first, second = workspace.run("one", "two")
    assert first.text == second.text == "started two,started one"


def test_generations_come_back_in_the_order_they_were_asked_for(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("back", ECHO.replace("in requests", "in reversed(requests)"))
    assert [item.text for item in workspace.run("a", "b", "c")] == ["a", "b", "c"]
    assert [item.prompt for item in workspace.recorded()] == ["a", "b", "c"]


def test_a_seed_is_drawn_for_each_where_none_is_given(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "dice", "for r in requests: yield r.reply(Text(str(r.random().random())))"
    )
    done = workspace.run("a", "a", "a")
    assert len({item.seed for item in done}) == len({item.text for item in done}) == 3


def test_several_samples_have_derived_seeds_and_the_first_keeps_its_own(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator("dice", "for r in requests: yield r.reply(Text(str(r.seed)))")
    run = list(workspace.session.run([GenerationSpec("x", seed=7)], samples_each=3))
    assert [item.text for item in run] == ["7", "7018794234372262579", "3635539074952931342"]
    assert len({item.run_id for item in run}) == 1


def test_generators_and_batches_of_one_run_do_not_mix(workspace: Workspace) -> None:
    body = "for r in requests: yield r.reply(Text(f'{self.name} {len(requests)} {r.prompt}'))"
    workspace.plugin_folder.generator("one", body)
    workspace.plugin_folder.generator("two", body)
    specs = [
        GenerationSpec(str(number), generator="one" if number % 3 else "two") for number in range(7)
    ]
    run = list(workspace.session.run(specs, batch_size=4))
    assert [item.text for item in run] == [
        "two 2 0",
        "one 2 1",
        "one 2 2",
        "two 2 3",
        "one 2 4",
        "one 2 5",
        "two 1 6",
    ]


# ---- blocked ------------------------------------------------------------------------------------


def test_a_blocked_prompt_never_reaches_the_generator(workspace: Workspace, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    workspace.plugin_folder.generator(
        "echo",
        f"""
        with open({str(seen)!r}, "a") as file: file.writelines(r.prompt for r in requests)
        {ECHO}
        """,
    )
    workspace.plugin_folder.filter("peace", BOMB, attributes="categories = ('weapons',)")
    blocked, fine = workspace.run("a bomb", "a flower", policy=workspace.policy("{filter: peace}"))
    assert (blocked.status, fine.status) == ("blocked", "completed")
    assert seen.read_text() == "a flower"
    (verdict,) = blocked.verdicts
    assert (verdict.stage, verdict.decision, verdict.action) == ("prompt", "block", "block")
    assert verdict.categories == {"weapons": 1.0}
    assert verdict.reasons == (muniment.Reason("weapons", "names a weapon", 2, 6),)
    assert (verdict.policy_version, verdict.version, verdict.failure) == ("team@1", "1.0", None)
    assert blocked.decision == "block"
    assert blocked.outputs == ()
    assert workspace.recorded()[0].verdicts == blocked.verdicts


def test_a_blocked_output_is_kept_as_evidence_and_not_returned(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "echo",
        "for r in requests: yield r.reply(Text('a b' + 'omb'), trace=Trace((1,), (-1.0,), (1.0,)))",
    )
    workspace.plugin_folder.filter("peace", BOMB)
    (blocked,) = workspace.run("x", policy=workspace.policy("{filter: peace}"))
    assert blocked.status == "blocked"
    assert [verdict.action for verdict in blocked.verdicts] == ["allow", "block"]
    assert "bomb" not in repr(blocked)
    assert blocked.scores == ()
    (kept,) = workspace.recorded()
    assert kept.text == "a bomb"
    assert kept.trace is not None


def test_a_system_prompt_is_filtered_before_the_prompt(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.filter("peace", BOMB)
    policy = workspace.policy("{filter: peace, stages: [prompt]}")
    done = workspace.session.generate("fine", system="think of a bomb", policy=policy)
    assert done.status == "blocked"
    assert [(v.stage, v.action) for v in done.verdicts] == [
        ("system", "block"),
        ("prompt", "allow"),
    ]
    done = workspace.session.generate("fine", system="think of peace", policy=policy)
    assert (done.status, len(done.verdicts)) == ("completed", 2)


def test_filters_run_in_the_policys_order_at_the_stages_it_says(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    for name in ("b", "a", "c"):
        workspace.plugin_folder.filter(name, "return content.allow()")
    policy = workspace.policy("{filter: c}", "{filter: b, stages: [output]}", "{filter: a}")
    (done,) = workspace.run("x", policy=policy)
    assert [(v.stage, v.filter) for v in done.verdicts] == [
        ("prompt", "c"),
        ("prompt", "a"),
        ("output", "c"),
        ("output", "b"),
        ("output", "a"),
    ]
    assert all(verdict.latency_ms >= 0 for verdict in done.verdicts)


def test_observing_records_what_was_found_and_lets_it_pass(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.filter("peace", BOMB)
    (done,) = workspace.run("a bomb", policy=workspace.policy("{filter: peace, mode: observe}"))
    assert (done.status, done.text) == ("completed", "a bomb")
    assert [(v.decision, v.action) for v in done.verdicts] == [("block", "allow")] * 2
    assert done.decision == "allow"


@pytest.mark.parametrize(
    ("mode", "threshold", "taken", "observed"),
    [
        ("observe", "{block: 0.4}", "allow", "block"),
        ("observe", "{flag: 0.4}", "allow", "flag"),
        ("observe", "{flag: 0.9}", "allow", "allow"),
        ("enforce", "{flag: 0.4}", "flag", None),
    ],
)
def test_observing_records_what_thresholds_would_have_done(
    workspace: Workspace, mode: str, threshold: str, taken: str, observed: str | None
) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.filter("odd", "return content.block(odd=0.5)")
    policy = workspace.policy(f"{{filter: odd, mode: {mode}, thresholds: {{odd: {threshold}}}}}")
    (done,) = workspace.run("x", policy=policy)
    for verdict in (*done.verdicts, *workspace.recorded()[0].verdicts):
        assert (verdict.decision, verdict.action) == ("block", taken)
        assert verdict.observed_action == observed


def test_a_filter_that_failed_was_not_observed(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.filter("odd", "raise RuntimeError")
    (done,) = workspace.run("x", policy=workspace.policy("{filter: odd, mode: observe}"))
    assert (done.verdicts[0].action, done.verdicts[0].observed_action) == ("block", None)


def test_a_flag_lets_pass_and_says_so(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.filter(
        "careful", "return content.flag('odd', **{'very odd': 0.5, 'self': 0.1})"
    )
    (done,) = workspace.run("x", policy=workspace.policy("{filter: careful}"))
    assert (done.status, done.decision) == ("completed", "flag")
    assert done.verdicts[0].categories == {"odd": 1.0, "very odd": 0.5, "self": 0.1}
    assert workspace.recorded()[0].verdicts == done.verdicts


def test_a_filter_is_asked_only_about_the_media_types_it_declares(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "brush",
        "for r in requests: yield r.reply(Output('image/png', b'\\x89PNG'))",
        media_type="image/png",
    )
    workspace.plugin_folder.filter("words", BOMB)
    workspace.plugin_folder.filter(
        "pictures",
        "return content.block('ugly') if b'PNG' in content.data else content.allow()",
        attributes="media_types = ('image/png',)",
    )
    policy = workspace.policy("{filter: words}", "{filter: pictures}")
    (done,) = workspace.run("x", policy=policy, generator="image")
    assert [(v.filter, v.stage) for v in done.verdicts] == [
        ("words", "prompt"),
        ("pictures", "output"),
    ]
    assert done.status == "blocked"


@pytest.mark.parametrize(
    "media_type", ["text/markdown", "text/plain; charset=utf-8", "text/x.anything"]
)
def test_a_filter_of_texts_is_not_gone_around_by_another_kind_of_text(
    workspace: Workspace, media_type: str
) -> None:
    workspace.plugin_folder.generator(
        "sly",
        f"for r in requests: yield r.reply(Output({media_type!r}, b'a bomb'))",
        media_type=media_type,
    )
    workspace.plugin_folder.filter("peace", BOMB)
    workspace.plugin_folder.evaluator("size", "return {'value': len(generation.text)}")
    (done,) = workspace.run("x", policy=workspace.policy("{filter: peace}"))
    assert done.status == "blocked"
    (done,) = workspace.run("x")
    assert [score.value for score in done.scores] == [6.0]


@pytest.mark.parametrize(
    ("media_type", "text"),
    [
        ("application/json", '{"最近": "a bomb"}'),
        ("application/ld+json; charset=utf-8", '"a bomb"'),
        ("image/svg+xml", "<text>a bomb</text>"),
        ("application/x-anything", "a bomb"),
        ("application/octet-stream", "最近 a bomb"),
    ],
)
def test_a_filter_of_texts_is_not_gone_around_by_calling_a_text_something_else(
    workspace: Workspace, media_type: str, text: str
) -> None:
    workspace.plugin_folder.generator(
        "sly",
        f"for r in requests: yield r.reply(Output({media_type!r}, {text.encode()!r}))",
        media_type=media_type,
    )
    workspace.plugin_folder.filter("peace", BOMB)
    (done,) = workspace.run("x", policy=workspace.policy("{filter: peace}"), generator="sly")
    assert (done.status, done.verdicts[-1].stage) == ("blocked", "output")
    start = text.index("bomb")
    (reason,) = done.verdicts[-1].reasons
    assert (reason.start, reason.end) == (start, start + 4)


def test_a_filter_of_texts_is_not_gone_around_by_json_in_another_encoding(
    workspace: Workspace,
) -> None:
    data = '{"最近": "a bomb"}'.encode("gb18030")
    workspace.plugin_folder.generator(
        "sly",
        f"for r in requests: yield r.reply(Output('application/json', {data!r}))",
        media_type="application/json",
    )
    workspace.plugin_folder.filter("peace", BOMB)
    (done,) = workspace.run("x", policy=workspace.policy("{filter: peace}"), generator="sly")
    assert (done.status, done.outputs) == ("failed", ())
    assert done.failure is not None
    assert "UTF-8" in done.failure.message


def test_what_a_filter_says_of_a_blocked_output_does_not_quote_it_to_the_caller(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.filter(
        "quotes", "return content.block(Reason('odd', content.text, 0, 3))"
    )
    workspace.plugin_folder.filter("raises", "raise ValueError('cannot read: ' + content.text)")
    policy = workspace.policy(
        "{filter: quotes, stages: [output]}", "{filter: raises, stages: [output]}"
    )
    (done,) = workspace.run("SECRET", policy=policy)
    said = [str(verdict) for verdict in done.verdicts]
    assert not any("SECRET" in text for text in said)
    assert done.verdicts[0].reasons == (muniment.Reason("odd", "", 0, 3),)
    file = f"{workspace.plugin_folder.all[-1].module}/__init__.py"
    failure = str(done.verdicts[1].failure)
    assert failure.startswith(f"filter raises failed: ValueError ({file}:")
    kept = workspace.recorded()[0].verdicts
    assert kept[0].reasons[0].message == "SECRET"
    assert kept[1].failure == failure.replace(" (", ": cannot read: SECRET (")


def test_a_filter_gets_the_parameters_of_its_entry_in_the_policy(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.filter(
        "shorter",
        """
        long = len(content.text) > self.parameters.than
        return content.block("long") if long else content.allow()
        """,
        parameters="than: int = param(3, ge=1)",
    )
    policy = workspace.policy("{filter: shorter}", "{filter: shorter, parameters: {than: 9}}")
    (done,) = workspace.run("12345", policy=policy)
    assert [verdict.action for verdict in done.verdicts] == ["block", "allow"]


# ---- failed -------------------------------------------------------------------------------------


def test_a_generator_may_refuse_a_request_with_a_reason(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "choosy",
        """
        for request in requests:
            if request.system is not None:
                yield request.fail("a base model takes no system prompt")
            else:
                yield request.reply(Text("yes"))
        """,
    )
    done = workspace.session.generate("x", system="be kind")
    assert done.status == "failed"
    assert done.failure == muniment.Failure("refused", "a base model takes no system prompt")
    assert workspace.recorded() == [done]


def test_a_model_that_cannot_be_loaded_fails_what_was_asked_of_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "w.bin").write_bytes(b"1")
    workspace.plugin_folder.generator(
        "heavy",
        ECHO,
        attributes="""
        uses_model = True
        def load(self, model):
            raise muniment.ModelError(model.name, "the weights are pickled; convert them")
        """,
    )
    specs = [GenerationSpec("a", model=str(tmp_path / "w.bin"))] * 2
    for done in workspace.session.run(specs):
        assert done.status == "failed"
        assert done.failure == muniment.Failure(
            "generator", "the weights are pickled; convert them"
        )
    workspace.check()


def test_a_model_is_loaded_once_for_all_batches(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"1")
    workspace.plugin_folder.generator(
        "heavy",
        "for r in requests: yield r.reply(Text(f'{self.loads} {r.model.name}'))",
        attributes="""
        uses_model = True
        loads = 0
        def load(self, model):
            print("loading")
            self.loads += 1
        """,
    )
    path = str(tmp_path / "w.bin")
    done = list(
        workspace.session.run([GenerationSpec(str(n), model=path) for n in range(5)], batch_size=2)
    )
    assert {item.text for item in done} == {f"1 {path}"}
    assert done[0].model == muniment.Model(path, done[0].model.digest, path)
    assert workspace.recorded() == done


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (GenerationSpec("a\0b"), r"the prompt contains a NUL character \(at character 2\)"),
        (GenerationSpec("ab\ud800"), r"the prompt is not valid UTF-8 \(at character 3\)"),
        (GenerationSpec("x", system="\0"), "the system prompt contains a NUL"),
        (GenerationSpec("x", tags=("\udcff",)), "the tag is not valid UTF-8"),
        (GenerationSpec("x", seed=-1), "seed -1 is not a whole number"),
        (GenerationSpec("x", seed="1e3"), "seed 1e3 is not a whole number"),
        (GenerationSpec("x", generator="video"), "no generator named 'video'; available: echo"),
        (GenerationSpec("x", model="m"), "generator echo"),
        (GenerationSpec("x", model="\udcff"), "the model's name is not valid UTF-8"),
        (GenerationSpec("x", parameters={"volume": 1}), "no parameter named 'volume'"),
        (GenerationSpec("x", parents=("me",)), "'me' is not the whole id of a generation"),
        (GenerationSpec("x", invalid="line 3: not JSON"), "line 3: not JSON"),
    ],
)
def test_what_cannot_be_resolved_is_raised_and_nothing_of_its_batch_is_generated(
    workspace: Workspace, spec: GenerationSpec, complaint: str
) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    with pytest.raises(muniment.UsageError, match=complaint):
        list(workspace.session.run([GenerationSpec("fine"), spec]))
    assert not (workspace.home / "muniment.db").exists()


def test_parents_are_kept(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    parent = workspace.session.generate("one")
    child = workspace.session.generate("two", parents=[parent.id])
    assert workspace.session.generation(child.id).parents == (parent.id,)


def test_a_generator_whose_plugin_is_broken_is_an_error(workspace: Workspace) -> None:
    workspace.plugin_folder.add("raise RuntimeError('no luck')", distribution="unlucky")
    with pytest.raises(muniment.UsageError, match="plugin unlucky cannot be loaded: RuntimeError"):
        workspace.session.generate("x", generator="unlucky")


def test_a_generator_that_cannot_be_made_is_an_error_that_names_it(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "stillborn",
        ECHO,
        attributes="def __init__(self): raise RuntimeError('no')",
        distribution="unlucky",
    )
    with pytest.raises(muniment.MunimentError, match="'stillborn' of unlucky cannot be created"):
        workspace.session.generate("x")


# ---- the store fails ----------------------------------------------------------------------------


def test_an_outcome_that_cannot_be_recorded_is_an_error_and_not_returned(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.session.generate("before")

    def full(*_: object, **__: object) -> None:
        raise muniment.errors.StoreError("sqlite://", "the disk is full")

    monkeypatch.setattr("muniment.store.recording.generations.record_outcomes", full)
    returned: list[object] = []
    with pytest.raises(muniment.errors.StoreError, match="the disk is full"):
        returned.extend(workspace.session.run([GenerationSpec("a"), GenerationSpec("b")]))
    assert returned == []
    monkeypatch.undo()
    workspace.check()


def test_a_start_that_cannot_be_recorded_generates_nothing(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.plugin_folder.generator(
        "echo", f"open({str(tmp_path / 'ran')!r}, 'w').close()\n{ECHO}"
    )

    def full(*_: object, **__: object) -> None:
        raise muniment.errors.StoreError("sqlite://", "the disk is full")

    monkeypatch.setattr("muniment.store.recording.generations.record_started", full)
    with pytest.raises(muniment.errors.StoreError, match="the disk is full"):
        workspace.session.generate("a")
    assert not (tmp_path / "ran").exists()


def test_the_environment_a_generator_tells_is_recorded(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "echo",
        ECHO,
        attributes="def environment(self): return {'threads': 2, 'dtype': 'bf16', 'on': True}",
    )
    (done,) = workspace.run("x")
    assert {"threads": 2, "dtype": "bf16", "on": 1}.items() <= dict(done.environment).items()
    assert workspace.recorded() == [done]


@pytest.mark.parametrize(
    "body",
    [
        "raise RuntimeError",
        "return None",
        "return {'a': 1.5}",
        "return {5: 'a'}",
        "return {'x' * 256: 1}",
    ],
)
def test_an_environment_that_cannot_be_had_spoils_no_generation(
    workspace: Workspace, body: str
) -> None:
    workspace.plugin_folder.generator("echo", ECHO, attributes=f"def environment(self): {body}")
    (done,) = workspace.run("x")
    assert done.status == "completed"
    assert "environment_failed" in done.environment
    assert isinstance(done, Generation)


@pytest.mark.parametrize("value", ["-0.0", "-0", -0.0, None])
def test_a_generator_a_filter_and_the_record_see_zero_without_a_sign(
    workspace: Workspace, value: object
) -> None:
    parameters = "warmth: float = param(-0.0, le=1)"
    workspace.plugin_folder.generator(
        "zero",
        "for r in requests: yield r.reply(Text(repr(r.parameters.warmth)))",
        parameters=parameters,
    )
    workspace.plugin_folder.filter(
        "zeros", "return content.flag(repr(self.parameters.warmth))", parameters=parameters
    )
    rule = "{}" if value is None else f"{{warmth: {value}}}"
    policy = workspace.policy(f"{{filter: zeros, parameters: {rule}}}")
    line = {"prompt": "x"} if value is None else {"prompt": "x", "parameters": {"warmth": value}}
    specs = read_specs([json.dumps(line).encode()])
    (done,) = workspace.session.run(specs, policy=policy)
    assert isinstance(done, Generation)
    assert [output.text for output in done.outputs] == ["0.0"]
    assert [set(verdict.categories) for verdict in done.verdicts] == [{"0.0"}] * 2
    assert str(workspace.recorded()[0].parameters["warmth"]) in ("0", "0.0")
    (again,) = workspace.session.replay([done])
    assert again.result == "exact"
