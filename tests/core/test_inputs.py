"""Inputs of requests: how they are given, checked, judged, recorded and replayed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import muniment
from muniment import Generation, GenerationSpec, InputError, UsageError
from muniment.generation.inputs import media_type_of
from support.lists import LIST, TITLES, add_lists
from support.media import media_type
from support.workspace import Workspace

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(40))
WAV = b"RIFF\x00\x00\x00\x00WAVEfmt "

SPECS = """
inputs = (
    muniment.InputSpec("context", ("text/plain",), 1000, "a text", "--context-text TEXT"),
    muniment.InputSpec("init", ("image/png",), 1000),
)
"""
JOIN = """
for request in requests:
    given = sorted(request.inputs.items())
    parts = [f"{name}={item.text or len(item.data)}" for name, item in given]
    yield request.reply(Text(" ".join([*parts, request.prompt])))
"""
STAGES = """
if content.is_text and "bomb" in content.text:
    return content.block(Reason("weapons", f"at {content.stage} {content.input}"))
return content.allow()
"""


@pytest.fixture
def reader(workspace: Workspace) -> Workspace:
    """A workspace with a generator that joins its inputs, and one of images without inputs."""
    workspace.plugin_folder.generator("join", JOIN, attributes=SPECS)
    workspace.plugin_folder.generator(
        "dots",
        f"for r in requests: yield r.reply(Output('image/png', {PNG!r}), *"
        f"([Output('image/png', {PNG!r} + b'2')] if r.prompt == 'two' else []))",
        media_type="image/png",
    )
    workspace.plugin_folder.filter("words", STAGES, attributes="media_types = ('text/plain',)")
    return workspace


def made(workspace: Workspace, prompt: str = "go", **inputs: Any) -> Generation:
    """Generate with inputs, and check the store."""
    done = workspace.session.generate(prompt, generator="join", inputs=inputs)
    found = workspace.session.verify(projections=True, payloads=True, search=True)
    assert found.ok, found.problems
    return done


# ---- how inputs are given ------------------------------------------------------------------------


def test_inputs_given_as_paths_or_bytes_are_passed_and_recorded(
    reader: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), PNG):
        done = made(reader, context=b"some text", init=source)
        assert done.text == "context=some text init=48 go"
        recorded = reader.session.generation(done.id)
        assert recorded.inputs == done.inputs
        assert [(i.name, i.media_type, i.data) for i in recorded.inputs] == [
            ("context", "text/plain", b"some text"),
            ("init", "image/png", PNG),
        ]
    assert str(tmp_path) not in json.dumps(recorded.to_json())


def test_a_byte_order_mark_is_no_part_of_the_text(reader: Workspace) -> None:
    content = b"\xef\xbb\xbfsome text"
    done = made(reader, context=content)
    assert done.text == "context=some text go"
    assert reader.session.generation(done.id).inputs[0].data == content


def test_a_filter_reads_the_text_of_an_input_that_the_generator_gets() -> None:
    content = muniment.Content("input", "text/plain", b"\xef\xbb\xbfbomb", input="context")
    assert content.text == "bomb"


def test_a_request_without_inputs_gets_an_empty_mapping(reader: Workspace) -> None:
    assert made(reader).text == "go"


def test_the_media_type_follows_from_the_content(reader: Workspace, tmp_path: Path) -> None:
    (tmp_path / "picture.txt").write_bytes(PNG)
    (tmp_path / "text.png").write_text("最近")
    done = made(reader, context=tmp_path / "text.png", init=tmp_path / "picture.txt")
    assert [item.media_type for item in done.inputs] == ["text/plain", "image/png"]


@pytest.mark.parametrize(
    ("data", "declared", "expected"),
    [
        (PNG, (), "image/png"),
        (b"\xff\xd8\xff\xe0", (), "image/jpeg"),
        (WAV, ("text/plain",), "audio/wav"),
        (b"RIFF\x00\x00\x00\x00WEBP", (), "image/webp"),
        (b"RIFF", (), "text/plain"),
        (b"\xff\xfe", (), "application/octet-stream"),
        (b"a\0b", ("text/plain",), "application/octet-stream"),
        (b"a,b\n", ("text/csv",), "text/csv"),
        (b"a,b\n", ("text/csv", "text/plain"), "text/plain"),
        (b'{"a": 1}', ("application/json",), "application/json"),
        (b"{a", ("application/json",), "text/plain"),
        (b'{"a": 1}', ("text/plain",), "text/plain"),
    ],
)
def test_media_type_of_a_content(data: bytes, declared: tuple[str, ...], expected: str) -> None:
    assert media_type_of(data, declared) == expected


def test_samples_of_a_spec_share_one_input_entry_and_one_read(
    reader: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("first")
    spec = GenerationSpec("go", generator="join", inputs={"context": file})
    items = reader.session.run([spec], samples_each=3, batch_size=1)
    first = next(items)
    file.write_text("second")
    assert {item.text for item in (first, *items)} == {"context=first go"}  # type: ignore[union-attr]
    with reader.session.store.select("SELECT count(*) FROM entry WHERE kind = 'input'") as rows:
        assert [tuple(row) for row in rows.rows] == [(1,)]
    (again,) = reader.session.run([spec])
    assert again.text == "context=second go"  # type: ignore[union-attr]


# ---- outputs of recorded generations -------------------------------------------------------------


@pytest.mark.parametrize("form", ["{id}", "…{end}", "{end}", "last", "{id}:1"])
def test_a_recorded_output_is_an_input_and_makes_a_parent(reader: Workspace, form: str) -> None:
    first = reader.session.generate("x", generator="dots")
    done = made(reader, init=form.format(id=first.id, end=first.id[-6:]))
    assert done.inputs[0].data == first.outputs[0].data
    assert done.parents == (first.id,)
    assert reader.session.generation(done.id).parents == (first.id,)


def test_a_file_wins_over_an_id_of_the_same_name(
    reader: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.session.generate("x", generator="dots")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "last").write_bytes(PNG + b"file")
    done = made(reader, init="last")
    assert (done.inputs[0].data, done.parents) == (PNG + b"file", ())


def test_one_of_several_recorded_outputs_is_chosen_by_its_number(reader: Workspace) -> None:
    first = reader.session.generate("two", generator="dots")
    with pytest.raises(InputError, match=f"{first.id}:2"):
        made(reader, init=first.id)
    with pytest.raises(InputError, match="up to 2"):
        made(reader, init=f"{first.id}:3")
    assert made(reader, init=f"{first.id}:2").inputs[0].data == PNG + b"2"
    only = reader.session.generate("x", generator="dots")
    with pytest.raises(InputError, match="only 1 output; remove the number"):
        made(reader, init=f"{only.id}:2")


def test_an_output_that_cannot_be_used_is_refused_before_anything_is_recorded(
    reader: Workspace,
) -> None:
    session = reader.session
    blocked = session.generate("bomb", generator="join", policy=reader.policy("{filter: words}"))
    erased = session.generate("x", generator="dots")
    altered = session.generate("y", generator="dots")
    session.erase(muniment.Query(ids=[erased.id]))
    with session.store._database.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE payload SET content = x'00' WHERE kind = 'output' AND entry = "
            "(SELECT outcome FROM generation WHERE id = ?)",
            (altered.id,),
        )
    before = len(list(session.generations()))
    for id, word in ((blocked.id, "blocked"), (erased.id, "erased"), (altered.id, "changed")):
        with pytest.raises(InputError, match=word) as caught:
            session.generate("z", generator="join", inputs={"init": id})
        assert id in str(caught.value)
    assert len(list(session.generations())) == before


def test_an_input_from_a_list_has_only_the_items_that_its_caller_got(workspace: Workspace) -> None:
    add_lists(workspace.plugin_folder)
    workspace.plugin_folder.generator(
        "read",
        "for r in requests: yield r.reply(Text(r.inputs['list'].data.decode()))",
        attributes=f"inputs = (muniment.InputSpec('list', ({LIST!r},)),)",
    )
    policy = workspace.policy("{filter: colour, stages: [item]}")
    first = workspace.session.generate(json.dumps(TITLES), generator="rank", policy=policy)
    done = workspace.session.generate("x", generator="read", inputs={"list": first.id})
    assert done.inputs[0].data == first.outputs[0].data
    assert "red" not in done.text
    assert done.inputs[0].media_type == LIST


def test_a_plugin_recognises_the_media_type_that_it_registers(workspace: Workspace) -> None:
    workspace.plugin_folder.add(
        media_type("def matches(self, data):\n    return data.startswith(b'DOTS')")
    )
    workspace.plugin_folder.generator(
        "read",
        "for r in requests: yield r.reply(Text(r.inputs['dots'].media_type))",
        attributes="inputs = (muniment.InputSpec('dots', ('application/x-dots', 'image/png')),)",
    )
    for data, media in ((b"DOTS\xff", "application/x-dots"), (PNG, "image/png")):
        done = workspace.session.generate("x", generator="read", inputs={"dots": data})
        assert done.text == media
    with pytest.raises(InputError, match="application/octet-stream"):
        workspace.session.generate("x", generator="read", inputs={"dots": b"dots\xff"})


# ---- inputs that cannot be used ------------------------------------------------------------------


def folder(path: Path) -> object:
    path.mkdir()
    return path


def fifo(path: Path) -> object:
    os.mkfifo(path)
    return path


def unreadable(path: Path) -> object:
    path.symlink_to(path)
    return path


def large(path: Path) -> object:
    path.write_bytes(PNG * 30)
    return path


def other(path: Path) -> object:
    path.write_bytes(b"\x00\x01")
    return path


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path, "does not exist"),
    "missing below a file": (lambda path: large(path) and path / "x", "does not exist"),
    "nul": (lambda path: f"{path}\0", "does not exist"),
    "unknown home": (lambda path: "~no-such-user/x", "does not exist"),
    "unknown id": (lambda path: "01MABCDEFGHJK", "neither a file nor a recorded generation"),
    "folder": (folder, "is a folder"),
    "nothing": (lambda path: "", "is empty"),
    "fifo": (fifo, "not a regular file"),
    "device": (lambda path: "/dev/zero", "not a regular file"),
    "unreadable": (unreadable, "cannot be read"),
    "empty": (lambda path: b"", "is empty"),
    "large": (large, "at most 1,000"),
    "large bytes": (lambda path: PNG * 30, "at most 1,000"),
    "another type": (other, "application/octet-stream"),
    "a text": (lambda path: b"a text", "text/plain"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_input_is_one_sentence_and_records_nothing(
    reader: Workspace, tmp_path: Path, case: str
) -> None:
    make, words = BAD[case]
    source = make(tmp_path / "source")
    with pytest.raises(InputError, match=words) as caught:
        reader.session.generate("go", generator="join", inputs={"init": source})  # type: ignore[dict-item]
    assert caught.value.name == "init"
    assert "init" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (reader.home / "muniment.db").exists()


def test_a_missing_file_is_named_with_its_path_but_recorded_without_it(
    reader: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "sold out.txt"
    with pytest.raises(InputError) as caught:
        reader.session.generate("go", generator="join", inputs={"init": path})
    assert f"{str(path)!r} of the input 'init'" in str(caught.value)
    (failed,) = reader.session.batch([line(inputs={"init": str(path)})])
    assert failed.failure is not None
    assert "'sold out.txt' of the input 'init'" in failed.failure.message
    assert str(tmp_path) not in failed.failure.message


def test_an_unreadable_file_is_refused(reader: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(PNG)
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("root reads every file")
    with pytest.raises(InputError, match="cannot be read"):
        reader.session.generate("go", generator="join", inputs={"init": file})


def test_an_input_that_is_not_declared_names_the_declared_ones(reader: Workspace) -> None:
    with pytest.raises(InputError, match=r"'mask'; available: context, init"):
        reader.session.generate("go", generator="join", inputs={"mask": PNG})
    with pytest.raises(InputError, match="available: none"):
        reader.session.generate("go", generator="dots", inputs={"init": PNG})


@pytest.mark.parametrize("inputs", [["a"], {"a": 5}, {5: b"x"}])
def test_inputs_of_another_type_are_refused(inputs: Any) -> None:
    with pytest.raises(UsageError, match="use paths or bytes by name"):
        GenerationSpec("go", inputs=inputs)


# ---- declarations --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "declared",
    [
        "'context'",
        "(5,)",
        "(muniment.InputSpec('A', ('text/plain',)),)",
        "(muniment.InputSpec('prompt', ('text/plain',)),)",
        "(muniment.InputSpec('a', ()),)",
        "(muniment.InputSpec('a', ('text',)),)",
        "(muniment.InputSpec('a', ('text/plain',), 0),)",
        "(muniment.InputSpec('a', ('text/plain',), 2**40),)",
        "(muniment.InputSpec('a', ('text/plain',), option='--a'),)",
        "(muniment.InputSpec('a', ('text/plain',), option='--seed FILE'),)",
        "(muniment.InputSpec('a', ('text/plain',)),) * 2",
    ],
)
def test_a_generator_with_an_invalid_declaration_does_not_load(
    workspace: Workspace, declared: str
) -> None:
    workspace.plugin_folder.generator("odd", JOIN, attributes=f"inputs = {declared}")
    (broken,) = workspace.session.plugins.load()
    assert "TypeError" in broken.message


def test_a_generator_registered_by_name_declares_its_inputs_without_an_import(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.add(
        """
        import muniment

        @muniment.hookimpl
        def muniment_generators(register):
            register(
                "{package}.heavy:Heavy",
                name="heavy",
                media_type="text/plain",
                inputs=[muniment.InputSpec("context", ("text/plain",))],
            )
        """
    )
    (registered,) = workspace.session.plugins.objects("generator")
    assert [spec.name for spec in registered.inputs] == ["context"]


# ---- policies ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stages", "stage"),
    [("[prompt]", "input"), ("[input]", "input"), ("[prompt, input]", "input"), ("[output]", None)],
)
def test_rules_for_prompts_judge_inputs_too(
    reader: Workspace, stages: str, stage: str | None
) -> None:
    policy = reader.policy(f"{{filter: words, stages: {stages}}}")
    inputs = {"context": b"a bomb", "init": PNG}
    done = reader.session.generate("go", generator="join", inputs=inputs, policy=policy)
    assert done.status == "blocked"
    verdict = done.verdicts[-1]
    if stage is None:  # the output repeats the input
        assert (verdict.stage, verdict.input) == ("output", None)
    else:
        assert (verdict.stage, verdict.input) == (stage, "context")
        assert verdict.reasons[0].message == "at input context"
        assert done.to_json()["verdicts"][-1]["input"] == "context"
        assert reader.session.generation(done.id).verdicts == done.verdicts
    reader.check()


def test_a_rule_for_inputs_does_not_judge_prompts(reader: Workspace) -> None:
    policy = reader.policy("{filter: words, stages: [input]}")
    done = reader.session.generate("bomb", generator="join", policy=policy)
    assert (done.status, done.verdicts) == ("completed", ())


def test_a_text_filter_reads_no_binary_input_and_a_filter_that_is_gone_blocks_it(
    reader: Workspace,
) -> None:
    policy = reader.policy("{filter: words, stages: [input]}")
    spec = {"generator": "join", "inputs": {"init": PNG}}
    assert reader.session.generate("go", policy=policy, **spec).verdicts == ()  # type: ignore[arg-type]
    done = reader.session.generate(
        "go",
        policy=reader.policy("{filter: gone, stages: [input]}"),
        **spec,  # type: ignore[arg-type]
    )
    assert [(v.stage, v.input, v.action) for v in done.verdicts] == [("input", "init", "block")]


# ---- replay, diff, evaluators --------------------------------------------------------------------


def test_replay_uses_the_recorded_inputs(reader: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("text")
    done = made(reader, context=file)
    file.unlink()
    (result,) = reader.session.replay([done])
    assert (result.result, result.detail) == ("exact", "15 bytes")


def test_replay_of_an_altered_input_is_impossible(reader: Workspace) -> None:
    done = made(reader, context=b"text")
    with reader.session.store._database.writing() as connection:
        connection.exec_driver_sql("UPDATE payload SET content = x'41' WHERE kind = 'input'")
    (result,) = reader.session.replay([done])
    assert (result.result, result.detail) == (
        "impossible",
        "its input was changed after it was recorded",
    )


def test_diff_compares_inputs(reader: Workspace) -> None:
    a = made(reader, context=b"one text", init=PNG)
    b = made(reader, context=b"one word", init=PNG + b"x")
    c = made(reader)
    found = reader.session.diff(a.id, b.id)
    assert [text.name for text in found.texts] == ["input context", "output"]
    assert [(item.name, item.b["bytes"]) for item in found.inputs] == [("input init", 49)]
    found = reader.session.diff(a.id, c.id)
    assert [text.name for text in found.texts] == ["input context", "output"]
    assert [(item.name, item.b) for item in found.inputs] == [("input init", None)]
    assert not reader.session.diff(a.id, a.id)


def test_evaluators_see_the_inputs(reader: Workspace) -> None:
    reader.plugin_folder.evaluator(
        "sizes", "return {'value': sum(len(item.data) for item in generation.inputs)}"
    )
    assert [score.value for score in made(reader, context=b"1234").scores] == [4]


def test_search_finds_the_texts_of_inputs(reader: Workspace) -> None:
    done = made(reader, context="一个 xylophone 鸢尾".encode(), init=PNG)
    made(reader, context=b"another")
    for words in ("xylophone", "鸢尾", '"xylophone 鸢尾"'):
        for ranked in (False, True):
            (hit,) = reader.session.search(words, ranked=ranked)
            assert hit.generation.id == done.id
            assert "input" in {snippet.source for snippet in hit.snippets}
    rebuilt = reader.session.store.rebuild()
    assert rebuilt["generation_input"] == 3
    reader.check()
    assert len(list(reader.session.search("xylophone"))) == 1


# ---- batches -------------------------------------------------------------------------------------


def line(**fields: object) -> bytes:
    return json.dumps({"prompt": "go", "generator": "join", **fields}).encode()


def test_a_batch_line_names_files_relative_to_the_folder(reader: Workspace, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").write_bytes(PNG)
    first = reader.session.generate("x", generator="dots")
    lines = [
        line(inputs={"init": "a.png"}),
        line(inputs={"init": str(tmp_path / "data" / "a.png")}),
        line(inputs={"init": first.id}),
        line(inputs={"init": "b.png"}),
        line(inputs={"init": 5}),
        line(inputs={"mask": "a.png"}),
        line(),
    ]
    done = list(reader.session.batch(lines, folder=tmp_path / "data"))
    assert [item.status for item in done] == [*["completed"] * 3, *["failed"] * 3, "completed"]
    assert done[2].parents == (first.id,)
    assert done[3].failure is not None
    assert "does not exist" in done[3].failure.message
    assert done[4].failure is not None
    assert 'e.g. {"init": "a.png"}' in done[4].failure.message
    assert done[5].failure is not None
    assert "available: context, init" in done[5].failure.message
    assert all(item.failure is None or item.failure.code == "invalid" for item in done)
    assert str(tmp_path) not in done[3].failure.message
    reader.check()


def test_a_batch_line_has_a_text_as_an_input(reader: Workspace) -> None:
    lines = [
        line(inputs={"context": {"text": "一段文字"}}),
        line(inputs={"context": {"text": 5}}),
        line(inputs={"context": {"words": "x"}}),
    ]
    defaults = GenerationSpec("", generator="join")
    done = list(reader.session.batch(lines, defaults=defaults))
    assert [item.status for item in done] == ["completed", "failed", "failed"]
    assert done[0].text == "context=一段文字 go"
    again = list(reader.session.batch(lines[:1], defaults=defaults, resume=done[0].run_id))
    assert again == []


def test_defaults_of_a_batch_have_inputs_that_a_line_replaces(reader: Workspace) -> None:
    defaults = GenerationSpec("", generator="join", inputs={"context": b"default"})
    done = list(reader.session.batch([line()], defaults=defaults))
    assert done[0].text == "context=default go"


def test_a_resumed_batch_compares_the_inputs(reader: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    lines = [line(inputs={"context": "a.txt"}), line(inputs={"context": "a.txt"}, seed=2)]
    (first,) = reader.session.batch(lines[:1], folder=tmp_path)
    run = first.run_id
    assert len(list(reader.session.batch(lines, folder=tmp_path, resume=run))) == 1
    file.write_text("two")
    with pytest.raises(UsageError, match="input context"):
        list(reader.session.batch(lines, folder=tmp_path, resume=run))
    file.unlink()
    assert list(reader.session.batch(lines, folder=tmp_path, resume=run)) == []
    with pytest.raises(UsageError, match="input context"):
        list(reader.session.batch([line(), *lines[1:]], folder=tmp_path, resume=run))


def test_a_resumed_batch_compares_the_inputs_of_its_options(reader: Workspace) -> None:
    defaults = GenerationSpec(generator="join", inputs={"context": b"one", "init": PNG})
    (first,) = reader.session.batch([line()], defaults=defaults)
    run = first.run_id
    assert list(reader.session.batch([line()], defaults=defaults, resume=run)) == []
    fewer = GenerationSpec(generator="join", inputs={"context": b"one"})
    with pytest.raises(UsageError, match="input init"):
        list(reader.session.batch([line()], defaults=fewer, resume=run))


def test_an_input_that_resolve_adds_is_no_part_of_a_resumed_batch(workspace: Workspace) -> None:
    added = """
def resolve(self, request, model):
    return muniment.Resolution(inputs={} if request.inputs else {"init": b"\\x89PNG\\r\\n\\x1a\\n"})
"""
    workspace.plugin_folder.generator("join", JOIN, attributes=SPECS + added)
    (first,) = workspace.session.batch([b'{"prompt": "x"}'])
    assert [item.name for item in first.inputs] == ["init"]
    assert list(workspace.session.batch([b'{"prompt": "x"}'], resume=first.run_id)) == []
    given = GenerationSpec(inputs={"init": b"\x89PNG\r\n\x1a\n"})
    with pytest.raises(UsageError, match="input init"):
        list(workspace.session.batch([b'{"prompt": "x"}'], defaults=given, resume=first.run_id))


def test_lines_without_inputs_share_those_of_the_options(
    reader: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[int] = []
    monkeypatch.setattr(
        "muniment.store.recording.inputs.sha256",
        lambda data: hashed.append(len(data)) or hashlib.sha256(data),  # type: ignore[func-returns-value]
    )
    file = tmp_path / "a.txt"
    for text in ("one", "two"):  # read again for another batch
        hashed.clear()
        file.write_text(text)
        defaults = GenerationSpec(generator="join", inputs={"context": file})
        done = list(reader.session.batch([line()] * 3, defaults=defaults))
        assert [item.text for item in done] == [f"context={text} go"] * 3
        assert len({id(item.inputs[0].data) for item in done}) == 1
        assert hashed == [3]
    reader.check()
