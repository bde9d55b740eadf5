"""Batch files: a bad line spoils nothing but itself, and a batch that was cut short goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

import muniment
from muniment import Generation, GenerationSpec
from muniment.generation import batch
from support.workspace import Workspace


def read(*lines: bytes | str, defaults: GenerationSpec | None = None) -> list[GenerationSpec]:
    return list(
        batch.read_specs(
            [line.encode() if isinstance(line, str) else line for line in lines], defaults
        )
    )


# ---- reading ------------------------------------------------------------------------------------


def test_a_line_says_all_that_a_request_can_say() -> None:
    line = {
        "prompt": "最近我国",
        "system": "",
        "generator": "echo",
        "model": "tiny",
        "seed": "18446744073709551615",
        "parameters": {"times": 3},
        "tags": ["a", "乙"],
    }
    assert read(json.dumps(line, ensure_ascii=False)) == [
        GenerationSpec(
            "最近我国",
            generator="echo",
            model="tiny",
            system="",
            seed="18446744073709551615",
            parameters={"times": 3},
            tags=("a", "乙"),
            line=1,
        )
    ]


def test_lines_are_counted_with_the_blank_ones_from_one() -> None:
    specs = read(
        b'\xef\xbb\xbf{"prompt": "bom"}\r\n',
        b"\n",
        b'  {"prompt": "spaces"}  \n',
        b"\t\r\n",
        '{"prompt": "中文"}'.encode(),
    )
    assert [(spec.line, spec.prompt, spec.invalid) for spec in specs] == [
        (1, "bom", None),
        (3, "spaces", None),
        (5, "中文", None),
    ]


def test_an_invalid_line_keeps_the_generator_that_it_names() -> None:
    specs = read(
        b'{"prompt": "a", "generator": "echo", "seed": true}',
        b'{"prompt": 3, "generator": "echo"}',
        b'{"prompt": 3, "generator": 3}',
        b'["echo"]',
        b"{",
        b'{"prompt": 3, "generator": ""}',
    )
    assert all(spec.invalid for spec in specs)
    default = GenerationSpec().generator
    expected = ["echo", "echo", default, default, default, default]
    assert [spec.generator for spec in specs] == expected


def test_an_empty_generator_in_a_line_is_not_the_default(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    line = b'{"prompt": "a", "generator": ""}'
    defaults = GenerationSpec(generator="echo")
    (item,) = workspace.session.batch([line], defaults=defaults)
    assert item.status == "failed"
    assert item.failure is not None
    assert "generator" in item.failure.message
    assert list(workspace.session.batch([line], defaults=defaults, resume="last")) == []


def test_an_empty_file_has_no_lines() -> None:
    assert read() == read(b"") == read(b"\xef\xbb\xbf\n") == []


def test_what_a_line_leaves_away_comes_from_the_defaults() -> None:
    defaults = GenerationSpec(
        "", generator="g", model="m", parameters={"a": 1, "b": 2}, tags=("all",), system="not taken"
    )
    full, bare = read(
        '{"prompt": "x", "generator": "h", "model": "n", "parameters": {"b": 3}, "tags": ["own"]}',
        '{"prompt": "y", "generator": null, "model": null, "system": null, "seed": null}',
        defaults=defaults,
    )
    assert (full.generator, full.model, full.tags) == ("h", "n", ("all", "own"))
    assert full.parameters == {"a": 1, "b": 3}
    assert (bare.generator, bare.model, bare.tags) == ("g", "m", ("all",))
    assert (bare.system, bare.seed) == (None, None)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not valid JSON (Expecting property name"),
        ("nonsense", "not valid JSON (Expecting value"),
        ('{"prompt": "a"} {"prompt": "b"}', "not valid JSON (Extra data"),
        ("[" * 100_000, "not valid JSON ("),
        ('{"prompt": "x", "seed": ' + "9" * 5000 + "}", "not valid JSON ("),
        (b'{"prompt": "\xff"}', "not valid UTF-8 (at byte 13)"),
        (b"\xff\xfe{\x00", "not valid UTF-8 (at byte 1)"),
        ("[]", "expected `object`, got `array`"),
        ('"prompt"', "expected `object`, got `str`"),
        ("5", "expected `object`, got `int`"),
        ("null", "expected `object`, got `null`"),
        ('{"prompt": null}', "prompt: expected `str`, got `null`; add a text"),
        ('{"prompt": 5}', "prompt: expected `str`, got `int`; add a text"),
        (
            '{"prompt": "x", "promt": "y"}',
            "object contains unknown field `promt` (did you mean prompt?)",
        ),
        ('{"prompt": "x", "\\ud800": 1}', "not valid JSON ("),
        ('{"prompt": "x", "system": 5}', "system: expected `str | null`, got `int`; use a text"),
        ('{"prompt": "x", "generator": []}', "generator: expected `str | null`, got `array`"),
        ('{"prompt": "x", "model": {}}', "model: expected `str | null`, got `object`"),
        ('{"prompt": "x", "seed": 1.5}', "seed: expected `int | str | null`, got `float`; use a"),
        ('{"prompt": "x", "seed": [1]}', "seed: expected `int | str | null`, got `array`; use a"),
        ('{"prompt": "x", "parameters": null}', "parameters: expected `object`, got `null`"),
        ('{"prompt": "x", "parameters": ["a"]}', "parameters: expected `object`, got `array`"),
        ('{"prompt": "x", "tags": "a"}', "tags: expected `array`, got `str`; use a list of"),
        ('{"prompt": "x", "tags": [1]}', "tags[0]: expected `str`, got `int`; use a list of"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_bad_line_says_its_number_and_what_is_wrong(line: str | bytes, complaint: str) -> None:
    before, bad, after = read('{"prompt": "a"}', line, '{"prompt": "b"}')
    assert (before.invalid, after.invalid) == (None, None)
    assert bad.line == 2
    assert str(bad.invalid).startswith(f"line 2: {complaint}")
    str(bad.invalid).encode()
    bad.prompt.encode()


@given(st.lists(st.binary(max_size=40)))
def test_no_bytes_make_reading_fail(lines: list[bytes]) -> None:
    # The first line alone decides the encoding of the file.
    for spec in batch.read_specs([b"\n", *lines]):
        assert spec.invalid is not None
        spec.prompt.encode()


# ---- running ------------------------------------------------------------------------------------

ECHO = "for r in requests: yield r.reply(Text(f'{r.prompt} {r.seed}'))"


def lines(*prompts: str) -> list[bytes]:
    return [json.dumps({"prompt": prompt}).encode() + b"\n" for prompt in prompts]


def test_results_come_in_the_files_order_and_bad_lines_are_failed_records(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator("echo", ECHO, parameters="times: int = param(1, ge=1)")
    done = list(
        workspace.session.batch(
            [
                b'{"prompt": "a", "seed": 1}',
                b"nonsense\0",
                b'{"prompt": "b", "seed": -1}',
                b'{"prompt": "c", "seed": true}',
                b'{"prompt": "d", "parameters": {"times": 0}}',
                b'{"prompt": "e", "parameters": {"self": 0}}',
                b'{"prompt": "f", "generator": "\\ud800"}',
                b'{"prompt": "g\\ud800", "tags": ["\\ud800"], "system": "\\u0000"}',
                b'{"prompt": "\\u0000"}',
                b'{"prompt": "h", "model": "m"}',
                b'{"prompt": "i", "tags": ["good", ""]}',
                b'{"prompt": "j", "tags": ["a\\nb"]}',
                b'{"prompt": "k", "generator": "a\\nb"}',
                b'{"prompt": "l", "seed": "2"}',
            ]
        )
    )
    assert [item.line for item in done] == list(range(1, 15))
    assert [item.status for item in done] == ["completed", *["failed"] * 12, "completed"]
    assert [item.text for item in (done[0], done[-1])] == ["a 1", "l 2"]
    complaints = [item.failure.message for item in done if item.failure is not None]
    for complaint, expected in zip(
        complaints,
        [
            "line 2: not valid JSON",
            "seed -1 is not",
            "got `bool`; use a whole number",
            "times must be",
            "no parameter named 'self'",
            "no generator named '\\ud800'",
            "the prompt is not valid UTF-8",
            "the prompt contains a NUL character",
            "generator echo does not use a model",
            "the tag is empty",
            r"the tag contains the control character '\n'",
            r"no generator named 'a\nb'",
        ],
        strict=True,
    ):
        assert expected in complaint
    assert {item.failure.code for item in done if item.failure is not None} == {"invalid"}
    assert [done[10].tags, done[11].tags] == [("good", "(empty)"), ("a\\nb",)]
    assert done[12].generator == "a\\nb"
    assert len({item.run_id for item in done}) == 1
    assert sorted(workspace.recorded(), key=lambda item: item.line or 0) == done
    workspace.check()


def test_a_run_that_is_whole_asks_nothing_again(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    file = [*lines("a", "b"), b"bad"]
    first = list(workspace.session.batch(file))
    assert list(workspace.session.batch(file, resume=first[0].run_id)) == []
    assert len(workspace.recorded()) == 3


def test_new_lines_at_the_end_are_asked_when_a_run_is_resumed(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    first = list(workspace.session.batch(lines("a")))
    more = list(workspace.session.batch(lines("a", "b"), resume=first[0].run_id[-6:]))
    assert [(item.line, item.prompt) for item in more] == [(2, "b")]
    assert more[0].run_id == first[0].run_id


def test_a_resumed_batch_has_the_recorded_policy_unless_one_is_given(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    team = workspace.home / "team.yaml"
    team.write_text("policy: team\nversion: 2\nfilters: []\n", encoding="utf-8")
    [first] = workspace.session.batch(lines("a"), policy=team)
    team.unlink()
    [second] = workspace.session.batch(lines("a", "b"), resume="last")
    [third] = workspace.session.batch(lines("a", "b", "c"), resume="last", policy="none")
    assert [item.policy for item in (first, second, third)] == ["team@2", "team@2", "none@1"]
    [other] = workspace.session.batch(lines("a"))
    assert other.policy != "team@2"


def interrupted(workspace: Workspace, file: list[bytes], tmp_path: Path) -> list[Generation]:
    """Run a batch that is interrupted at `c` the first time; return what was recorded."""
    workspace.plugin_folder.generator(
        "flaky",
        f"""
        import pathlib
        again = pathlib.Path({str(tmp_path / "again")!r})
        for r in requests:
            if r.prompt == "c" and not again.exists():
                again.touch()
                raise KeyboardInterrupt
            if r.prompt == "fails":
                yield r.fail("no")
            yield r.reply(Text(f"{{r.prompt}} {{r.seed}}"))
        """,
    )
    workspace.plugin_folder.filter(
        "some", "return content.block('x') if content.text == 'blocks' else content.allow()"
    )
    with pytest.raises(KeyboardInterrupt):
        list(workspace.session.batch(file, policy=workspace.policy("{filter: some}"), batch_size=5))
    return workspace.recorded()


def test_resuming_asks_what_was_interrupted_with_its_seed_and_nothing_that_was_answered(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = [*lines("a", "blocks", "fails"), b"bad", *lines("c", "d", "e", "f")]
    before = interrupted(workspace, file, tmp_path)
    assert {item.line: item.status for item in before} == {
        1: "completed",
        2: "blocked",
        3: "failed",
        4: "failed",
        5: "interrupted",
    }
    seeds = {item.line: item.seed for item in before}
    done = list(workspace.session.batch(file, resume="last"))
    assert [(item.line, item.status) for item in done] == [
        (5, "completed"),
        (6, "completed"),
        (7, "completed"),
        (8, "completed"),
    ]
    assert done[0].text == f"c {seeds[5]}"
    assert {item.run_id for item in (*before, *done)} == {before[0].run_id}
    assert done[0].id not in {item.id for item in before}
    assert list(workspace.session.batch(file, resume="last")) == []
    workspace.check()


@pytest.mark.parametrize(
    "changed",
    [
        b'{"prompt": "other"}',
        b"bad",
        b'{"prompt": "a "}',
        b'{"prompt": "a", "system": "be brief"}',
        b'{"prompt": "a", "seed": 5}',
        b'{"prompt": "a", "tags": ["new"]}',
        b'{"prompt": "a", "model": "tiny"}',
        b'{"prompt": "a", "generator": "other"}',
        b'{"prompt": "a", "generator": "image"}',
        b'{"prompt": "a", "parameters": {"times": 2}}',
        b'{"prompt": "a", "parameters": {"words": ["b"]}}',
        b'{"prompt": "a", "parameters": {"time": 1}}',
    ],
)
def test_a_changed_file_is_refused(workspace: Workspace, changed: bytes) -> None:
    workspace.plugin_folder.generator(
        "echo", ECHO, parameters="times: int = param(1)\nwords: list[str] = param(['a'])"
    )
    list(workspace.session.batch(lines("a", "b")))
    with pytest.raises(muniment.UsageError, match="line 1 differs from the recorded line of run"):
        list(workspace.session.batch([changed, *lines("b", "c")], resume="last"))
    assert len(workspace.recorded()) == 2


def test_a_generator_that_became_empty_is_refused(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("facts", ECHO, media_type="application/json")
    before, after = ([b'{"prompt": "a", "generator": "%s"}' % name] for name in (b"facts", b""))
    list(workspace.session.batch(before))
    with pytest.raises(muniment.UsageError, match="line 1 differs from the recorded line of run"):
        list(workspace.session.batch(after, resume="last"))


def test_a_line_is_recognised_however_it_writes_its_parameters(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "echo",
        ECHO,
        parameters="""
        times: int = param(1)
        heat: float = param(0.5)
        words: list[str] = param([])
        """,
    )
    file = [
        b'{"prompt": "a", "parameters": {"times": "2", "heat": 1, "words": ["b", "c"]}}',
        b'{"prompt": "b", "generator": "echo", "parameters": {"words": ["b"]}, "tags": ["x"]}',
        b'{"prompt": "c", "generator": "text"}',
    ]
    defaults = GenerationSpec("", tags=("all",), parameters={"heat": "0.25"})
    first = list(workspace.session.batch(file, defaults=defaults))
    assert [item.status for item in first] == ["completed"] * 3
    assert list(workspace.session.batch(file, defaults=defaults, resume="last")) == []
    changed = GenerationSpec("", tags=("all",), parameters={"heat": "0.5"})
    with pytest.raises(muniment.UsageError, match=r"line 2 .* in its parameter heat"):
        list(workspace.session.batch(file, defaults=changed, resume="last"))


BAD = [
    b'{"prompt": "a", "seed": -1}',
    b'{"prompt": "b", "seed": "007", "parameters": {"times": 0}}',
    b'{"prompt": "c", "seed": "1e3"}',
    (
        b'{"prompt": "d", "generator": "gone", "model": "m\\ud800", "parameters": '
        b'{"n": 1, "f": 0.5, "t": "\\ud800", "l": ["a"], "o": {"x": [1]}, "no": null, "nan": NaN}}'
    ),
]


def test_lines_that_could_not_be_resolved_are_recognised_when_resuming(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator("echo", ECHO, parameters="times: int = param(1, ge=1)")
    done = list(workspace.session.batch(BAD))
    assert [item.status for item in done] == ["failed"] * 4
    assert list(workspace.session.batch(BAD, resume="last")) == []
    for number, change in ((1, b'{"prompt": "b", "seed": 8'), (3, BAD[3].replace(b"0.5", b"0.6"))):
        file = [*BAD[:number], change, *BAD[number + 1 :]]
        if number == 1:
            file[1] += b', "parameters": {"times": 0}}'
        with pytest.raises(muniment.UsageError, match=f"line {number + 1} differs"):
            list(workspace.session.batch(file, resume="last"))


def test_a_line_that_could_not_be_resolved_keeps_what_it_asked_for_and_no_made_up_seed(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator("echo", ECHO, parameters="times: int = param(1, ge=1)")
    done = list(workspace.session.batch(BAD))
    assert workspace.recorded() == done
    assert 0 not in {item.seed for item in done}
    assert done[1].seed == 7
    assert dict(done[1].parameters) == {"times": 0}
    assert done[3].model == muniment.Model("m\\ud800", "", "")
    assert dict(done[3].parameters) == {
        "n": 1,
        "f": 0.5,
        "t": "\\ud800",
        "l": ("a",),
        "o": '{"x": [1]}',
        "no": None,
        "nan": "NaN",
    }
    workspace.check()


def test_a_run_without_lines_cannot_be_resumed(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.session.generate("a")
    with pytest.raises(muniment.UsageError, match=r"run .* is not a batch"):
        list(workspace.session.batch(lines("a"), resume="last"))


def test_a_prompt_that_cannot_be_encoded_is_recognised_when_resuming(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    file = [b'{"prompt": "\\ud800"}', b"\xff", b"\0"]
    assert [item.status for item in workspace.session.batch(file)] == ["failed"] * 3
    assert list(workspace.session.batch(file, resume="last")) == []


def test_a_run_that_is_under_way_is_refused(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "asks",
        """
        from muniment import Session, UsageError
        from muniment.plugins.registry import Plugins
        if requests[0].prompt == "outer":
            with Session(HOME, plugins=Plugins([])) as session:
                try:
                    list(session.batch([b'{"prompt": "outer"}'], resume="last"))
                except UsageError as error:
                    answer = str(error)
        yield requests[0].reply(Text(answer))
        """.replace("HOME", repr(str(workspace.home))),
    )
    (done,) = workspace.session.batch(lines("outer"))
    assert "is still running; wait until it ends" in done.text
    assert len(workspace.recorded()) == 1


def test_an_unknown_run_cannot_be_resumed(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    list(workspace.session.batch(lines("a")))
    with pytest.raises(muniment.UsageError, match="no run named 'ZZZZZZ'"):
        list(workspace.session.batch(lines("a"), resume="ZZZZZZ"))


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": -1}])
def test_a_batch_size_below_one_is_refused(workspace: Workspace, options: dict[str, int]) -> None:
    with pytest.raises(muniment.UsageError, match="must be at least 1"):
        list(workspace.session.batch(lines("a"), **options))
    with pytest.raises(muniment.UsageError, match="must be at least 1"):
        list(workspace.session.run([GenerationSpec("a")], samples_each=0))


def test_a_killed_batch_resumes_and_records_nothing_twice(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "slow",
        """
        import time
        for r in requests:
            time.sleep(0.01)
            yield r.reply(Text(f"{r.prompt} {r.seed}"))
        """,
    )
    file = workspace.home / "file.jsonl"
    file.write_bytes(b"".join(lines(*(f"line {number}" for number in range(1, 41)))))
    program = (
        "import sys\n"
        "from muniment import GenerationSpec, Session\n"
        "defaults = GenerationSpec('', generator='slow')\n"
        "with Session(sys.argv[1]) as session, open(sys.argv[2], 'rb') as file:\n"
        "    for item in session.batch(file, batch_size=4, defaults=defaults):\n"
        "        print(item.id, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(workspace.home), str(file)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(workspace.plugin_folder.folder)},
    ) as process:
        assert process.stdout is not None
        returned = [process.stdout.readline().decode().strip() for _ in range(10)]
        process.kill()
    before = {item.id: item for item in workspace.recorded()}
    assert all(before[identifier].status == "completed" for identifier in returned)
    with file.open("rb") as again:
        done = list(workspace.session.batch(again, resume="last", batch_size=4))
    completed = [item for item in workspace.recorded() if item.status == "completed"]
    assert sorted(item.line or 0 for item in completed) == list(range(1, 41))
    assert {item.run_id for item in completed} == {before[returned[0]].run_id}
    again_asked = [item for item in before.values() if item.status == "interrupted"]
    assert len(again_asked) <= 4, "at most one model batch is computed again"
    seeds = {item.line: item.seed for item in again_asked}
    assert {item.line: item.seed for item in done if item.line in seeds} == seeds
    workspace.check()
