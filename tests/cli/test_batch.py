"""`muniment batch`: order, bad lines, resuming, the file of results, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import weakref
from pathlib import Path

import pytest

from muniment import Session
from muniment.cli.interruption import Presenter
from muniment.testing import factories
from support.commands import Here, Processes
from support.plugins import PluginFolder


def written(path: Path, *lines: object) -> Path:
    """Write lines, objects as JSON and texts as they are."""
    text = "".join(
        (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)) + "\n"
        for line in lines
    )
    path.write_text(text, encoding="utf-8")
    return path


def objects(path: Path) -> list[dict[str, object]]:
    """Read what stands on the lines of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    return written(
        tmp_path / "lines.jsonl",
        {"prompt": "one two", "seed": 3, "tags": ["first"]},
        "",
        {"prompt": "卫星", "parameters": {"times": 2}},
        {"prompt": "a picture", "generator": "dots"},
    )


def test_results_come_in_the_order_of_the_lines(muniment: Here, lines: Path) -> None:
    for size in ("1", "2", "32"):
        result = muniment("batch", lines, "--json", "--batch-size", size)
        values = result.json("generation")
        assert result.code == 0
        assert [value["line"] for value in values] == [1, 3, 4]
        assert [value["generator"] for value in values] == ["echo", "echo", "dots"]
        assert len({value["run_id"] for value in values}) == 1
    assert values[0]["seed"] == "3"
    assert values[0]["tags"] == ["first"]
    assert values[1]["parameters"]["times"] == 2


def test_without_json_texts_stand_under_headings(muniment: Here, lines: Path) -> None:
    result = muniment("batch", lines)
    third, second, first = (row[0] for row in muniment("audit", "list").rows)
    assert result.out == (
        f"--- line 1 · completed · {first} ---\none two\n"
        f"--- line 3 · completed · {second} ---\n卫星 卫星\n"
        f"--- line 4 · completed · {third} ---\nimage/png, 5 bytes\n"
    )


def test_a_flagged_line_is_named_and_counted(
    muniment: Here, tmp_path: Path, policy_file: Path
) -> None:
    file = written(tmp_path / "lines.jsonl", {"prompt": "darn"}, {"prompt": "a moon"})
    result = muniment("batch", file, "--policy", policy_file)
    assert "--- line 1 · completed, flagged · " in result.out
    assert "--- line 2 · completed · " in result.out
    assert result.err.splitlines()[-1].endswith("  2 completed; 1 flagged")


def test_the_run_is_named_at_the_start_and_at_the_end(muniment: Here, lines: Path) -> None:
    result = muniment("batch", lines)
    first, last = result.err.splitlines()
    run = first.split()[1]
    assert f"--resume {run}" in first
    assert last == f"run {run}  3 completed"
    assert muniment("audit", "runs").rows[0][0] == run


def test_defaults_hold_for_lines_that_say_nothing_else(muniment: Here, tmp_path: Path) -> None:
    file = written(
        tmp_path / "lines.jsonl",
        {"prompt": "x"},
        {"prompt": "y", "generator": "echo", "parameters": {"times": 2}, "tags": ["own"]},
    )
    result = muniment(
        "batch", file, "--generator", "text", "-p", "times=3", "--tag", "all", "--json"
    )
    first, second = result.json("generation")
    assert (first["parameters"]["times"], second["parameters"]["times"]) == (3, 2)
    assert (first["tags"], second["tags"]) == (["all"], ["all", "own"])


def test_a_bad_line_is_a_failed_record_and_the_rest_goes_on(muniment: Here, tmp_path: Path) -> None:
    good = {"prompt": "fine"}
    bad = {
        "not json": "not valid JSON",
        '["a list"]': "expected `object`, got `array`",
        '{"prompt": 7}': "prompt: expected `str`, got `int`; add a text",
        '{"prompt": "x", "promt": ""}': "unknown field `promt`",
        '{"prompt": "x", "seed": -1}': "seed -1 is not a whole number",
        '{"prompt": "x", "seed": 18446744073709551616}': "seed 18446744073709551616 is not",
        '{"prompt": "x", "parameters": {"times": 11}}': "times must be a whole number from 1 to 10",
        '{"prompt": "x", "generator": "nobody"}': "no generator named 'nobody'",
        '{"prompt": "x", "model": "none"}': "generator echo does not use a model",
        '{"prompt": "x\\u0000"}': "the prompt contains a NUL character",
        '{"prompt": "x\\ud800"}': "the prompt is not valid UTF-8",
        '{"prompt": "two", "prompt": "dup"}': "prompt is given twice",
        '{"prompt": "x", "parameters": {"times": 1, "times": 2}}': "times is given twice",
        '{"prompt": "x", "parameters": {"times": [1]}}': "times must be a whole number",
        '{"prompt": "x", "tags": "a, b"}': "tags: expected `array`, got `str`; use a list",
        '{"prompt": "x", "tags": ["%s"]}' % ("长" * 4000): "the tag has 4,000 characters",
        '{"prompt": "x", "model": "%s"}' % ("m" * 4000): "the model's name has 4,000 characters",
        '{"prompt": "x", "generator": "%s"}' % ("g" * 4000): "no generator named 'ggg",
    }
    file = written(tmp_path / "lines.jsonl", good, *bad, good)
    result = muniment("batch", file, "--json")
    values = result.json("generation")
    assert result.code == 1
    assert [value["line"] for value in values] == list(range(1, len(bad) + 3))
    assert [value["status"] for value in values] == (
        ["completed", *["failed"] * len(bad), "completed"]
    )
    for value, sentence in zip(values[1:-1], bad.values(), strict=True):
        assert value["failure"]["code"] == "invalid"
        assert sentence in value["failure"]["message"]
        assert f"line {value['line']}: Error: " in result.err
    assert muniment("audit", "verify", "--all").code == 0


def test_a_line_that_is_not_utf8_fails_alone(muniment: Here, tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"prompt": "a"}\n{"prompt": "\xff"}\n')
    result = muniment("batch", file, "--json")
    assert [value["status"] for value in result.json("generation")] == ["completed", "failed"]
    assert "line 2: Error: not valid UTF-8 (at byte 13)" in result.err


@pytest.mark.parametrize(
    ("prompts", "code", "summary"),
    [
        (["a", "b"], 0, "2 completed"),
        (["a", "bomb"], 3, "1 completed · 1 blocked"),
        (["fail", "bomb", "a"], 1, "1 completed · 1 blocked · 1 failed"),
    ],
)
def test_the_exit_code_is_the_worst(
    muniment: Here,
    tmp_path: Path,
    policy_file: Path,
    prompts: list[str],
    code: int,
    summary: str,
) -> None:
    file = written(tmp_path / "lines.jsonl", *({"prompt": prompt} for prompt in prompts))
    result = muniment("batch", file, "--policy", policy_file)
    assert result.code == code
    assert result.err.splitlines()[-1].endswith(f"  {summary}")


def test_lines_can_come_from_standard_input(muniment: Here) -> None:
    result = muniment("batch", "-", "--json", stdin=b'{"prompt": "a"}\n{"prompt": "b"}')
    assert [value["prompt"] for value in result.json("generation")] == ["a", "b"]


def test_o_writes_json_lines_to_a_new_file(muniment: Here, lines: Path, tmp_path: Path) -> None:
    target = tmp_path / "results.jsonl"
    result = muniment("batch", lines, "-o", target)
    assert (result.code, result.out) == (0, "")
    assert [json.loads(line)["line"] for line in target.read_text().splitlines()] == [1, 3, 4]
    assert muniment("batch", lines, "-o", target).code == 2
    assert muniment("batch", lines, "-o", target, "--overwrite").code == 0
    assert len(target.read_text().splitlines()) == 3


def test_without_results_the_old_file_stays(
    muniment: Here, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, empty = tmp_path / "results.jsonl", tmp_path / "empty.jsonl"
    empty.touch()
    target.write_text("old")
    assert muniment("batch", empty, "-o", target, "--overwrite").code == 0
    assert target.read_text() == "old"
    with monkeypatch.context() as patch:
        patch.setattr("muniment.cli.batch._print_result", interrupted)
        run = muniment("batch", lines, "-o", target, "--overwrite", "--batch-size", "1")
    assert run.code == 130
    assert target.read_text() == "old"
    assert muniment("batch", lines, "-o", target, "--resume", "last").code == 2
    assert muniment("batch", lines, "-o", target, "--resume", "last", "--overwrite").code == 0
    assert [value["line"] for value in objects(target)] == [1, 3, 4]
    assert list(tmp_path.glob(".muniment-*")) == []


def interrupted(*arguments: object) -> None:
    """Stand for Ctrl-C before the first result is written."""
    raise KeyboardInterrupt


class Id(str):
    """An id of which a test knows whether anything refers to it."""


def test_presenter_of_many_batches_keeps_the_ids_of_the_last_ones(home: Path) -> None:
    presenter = Presenter(Session(home), "run", lambda generation: None, batch_size=2)
    ids = [Id(number) for number in range(100)]
    for identifier in ids:
        presenter.show(factories.generation(id=identifier))
    kept = [weakref.ref(identifier) for identifier in ids]
    del ids, identifier
    assert [reference() for reference in kept if reference()] == ["96", "97", "98", "99"]


@pytest.mark.parametrize("command", [["batch"], ["generate", "echo"]])
def test_the_file_on_standard_input_is_not_replaced(
    processes: Processes, lines: Path, command: list[str]
) -> None:
    before = lines.read_bytes()
    with lines.open("rb") as stdin:
        result = subprocess.run(
            [processes.program, *command, "-", "-o", lines, "--overwrite"],
            stdin=stdin,
            capture_output=True,
            env=processes.environment,
            timeout=60,
        )
    assert result.returncode == 2
    assert b"which is also read" in result.stderr
    assert lines.read_bytes() == before


def test_o_leaves_no_empty_file_behind(muniment: Here, lines: Path, tmp_path: Path) -> None:
    target = tmp_path / "results.jsonl"
    assert muniment("batch", lines, "-o", target, "--policy", "nowhere").code == 2
    assert not target.exists()


TALKER = "for r in requests: yield r.reply(Text(r.prompt))"


def model_folders(
    plugin_folder: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *names: str
) -> None:
    """Make folders of models for the generator talker, and change to the folder that has them."""
    plugin_folder.generator(
        "talker", TALKER, attributes="uses_model = True\ndef load(self, model): pass"
    )
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "w").write_text(name)
    monkeypatch.chdir(tmp_path)


def test_a_batch_with_the_relative_path_of_a_model_is_resumed(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_folders(plugin_folder, tmp_path, monkeypatch, "m", "other")
    lines = tmp_path / "lines.jsonl"
    line = '{"prompt": "a", "generator": "talker", "model": "./m"}\n'
    lines.write_text(line + line.replace('"a"', '"b", "seed": "none"'))
    assert muniment("batch", lines).code == 1
    invalid, value = muniment("audit", "list", "--json").json("generation")
    assert (value["model"]["name"], invalid["model"]["name"]) == ("m", "m")
    for model in ("./m", "m", "m/"):
        found = muniment("audit", "list", "--model", model, "--json").json("generation")
        assert [item["id"] for item in found] == [invalid["id"], value["id"]]
    assert "no model" in muniment("audit", "list", "--model", "other").err
    assert muniment("batch", lines, "--resume", "last").code == 0
    (tmp_path / "m").rename(tmp_path / "moved")
    assert muniment("batch", lines, "--resume", "last").code == 0
    lines.write_text(lines.read_text().replace("./m", "./other"))
    refused = muniment("batch", lines, "--resume", "last")
    assert (refused.code, "model" in refused.err) == (2, True)


def test_erasing_by_the_path_of_a_model_erases_every_line_of_it(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_folders(plugin_folder, tmp_path, monkeypatch, "m")
    lines = tmp_path / "lines.jsonl"
    line = '{"prompt": "a", "generator": "talker"}\n'
    lines.write_text(line + line.replace('"a"', '"b", "seed": "none"'))
    assert muniment("batch", lines, "-m", "./m").code == 1
    assert muniment("audit", "erase", "--model", "./m", "--yes").code == 0
    erased = muniment("audit", "list", "--json").json("generation")
    assert [item["prompt"] for item in erased] == ["", ""]


def test_a_line_with_a_very_long_name_of_a_model_does_not_stop_resuming(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_folders(plugin_folder, tmp_path, monkeypatch)
    lines = tmp_path / "lines.jsonl"
    lines.write_text(json.dumps({"prompt": "a", "generator": "talker", "model": "x" * 300}))
    assert muniment("batch", lines).code == 1
    assert muniment("batch", lines, "--resume", "last").code == 0
    assert muniment("audit", "list", "--model", "./" + "x" * 300).code == 0
    assert muniment("generate", "talker", "a", "-m", "./" + "x" * 240).code == 2


def test_a_file_of_other_things_is_not_made_into_that_of_a_resumed_run(
    muniment: Here, lines: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    assert muniment("batch", lines, "-o", first).code == 0
    assert muniment("batch", lines, "-o", second).code == 0
    notes = tmp_path / "notes.txt"
    notes.write_text("remember the milk")
    for other in (first, notes, lines):
        before = other.read_bytes()
        result = muniment("batch", lines, "-o", other, "--resume", "last")
        assert result.code == 2
        reason = "which is also read" if other == lines else "contains more than results of run"
        assert str(other) in result.err
        assert reason in result.err
        assert other.read_bytes() == before
    assert muniment("batch", lines, "-o", first, "--resume", "last", "--overwrite").code == 0
    assert objects(first) == objects(second)
    second.unlink()
    assert muniment("batch", lines, "-o", second, "--resume", "last").code == 0
    assert objects(first) == objects(second)


def test_a_pipe_gets_results_and_is_not_replaced(
    muniment: Here, lines: Path, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert muniment("batch", lines, "-o", pipe, "--overwrite").code == 0
        assert os.read(reader, 1 << 20).count(b"\n") == 3
        assert muniment("batch", lines, "-o", pipe, "--resume", "last").code == 0
        assert pipe.is_fifo()
    finally:
        os.close(reader)


def test_batch_without_lines_names_no_run(muniment: Here, tmp_path: Path) -> None:
    empty = written(tmp_path / "empty.jsonl", "", "")
    result = muniment("batch", empty)
    assert (result.code, result.out) == (0, "")
    assert result.err == f"nothing to generate: {empty} has no lines\n"
    nothing = muniment("batch", "-", stdin=b"\n \n")
    assert nothing.err == "nothing to generate: standard input has no lines\n"


def test_a_run_that_is_done_has_nothing_left(muniment: Here, lines: Path) -> None:
    assert muniment("batch", lines).code == 0
    before = muniment("audit", "list", "--json").out
    result = muniment("batch", lines, "--resume", "last")
    assert (result.code, result.out) == (0, "")
    assert "nothing to generate" in result.err
    assert muniment("audit", "list", "--json").out == before


def test_resuming_with_another_file_is_refused(muniment: Here, lines: Path, tmp_path: Path) -> None:
    assert muniment("batch", lines).code == 0
    other = written(tmp_path / "other.jsonl", {"prompt": "something else"})
    result = muniment("batch", other, "--resume", "last")
    assert result.code == 2
    assert "line 1 differs from the recorded line of run" in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["nowhere.jsonl"], 2, "cannot read nowhere.jsonl: "),
        (["{file}", "--resume", "ZZZZZ"], 2, "no run named 'ZZZZZ'"),
        (["{file}", "--batch-size", "0"], 2, "0 is not in the range from 1 to 4096"),
        (["{file}", "--policy", "nowhere"], 2, "no policy named 'nowhere'"),
        (
            ["{file}", "--generator", "echo", "-p", "times=2", "-p", "times=3"],
            2,
            "-p times is given twice; remove one",
        ),
        (["{folder}"], 2, "cannot read "),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(
    muniment: Here, lines: Path, arguments: list[str], code: int, sentence: str
) -> None:
    assert muniment("generate", "echo", "x").code == 0
    filled = [part.format(file=lines, folder=lines.parent) for part in arguments]
    result = muniment("batch", *filled)
    assert result.code == code
    assert sentence in result.err.splitlines()[-1]


def test_resuming_where_nothing_is_recorded_is_a_sentence(
    muniment: Here, home: Path, lines: Path
) -> None:
    result = muniment("batch", lines, "--resume", "last")
    assert result.code == 2
    assert "nothing is recorded yet" in result.err
    assert not (home / "muniment.db").exists()


def test_what_cannot_be_meant_makes_no_store_and_leaves_the_file_of_results_as_it_was(
    muniment: Here, home: Path, lines: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results.jsonl"
    results.write_text("from another day\n")
    told = muniment("batch", lines, "--policy", "nowhere", "-o", results, "--overwrite")
    assert told.code == 2
    assert results.read_text() == "from another day\n"
    assert [path.name for path in home.iterdir()] == ["config.toml"]


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("utf-16", "UTF-16"), ("utf-16-be", "UTF-16"), ("utf-32", "UTF-32")],
)
@pytest.mark.parametrize("from_stdin", [False, True])
def test_batch_in_another_encoding_is_refused_before_anything_is_generated(
    muniment: Here,
    home: Path,
    lines: Path,
    tmp_path: Path,
    encoding: str,
    name: str,
    from_stdin: bool,
) -> None:
    data = lines.read_text(encoding="utf-8").encode(encoding)
    lines.write_bytes(data)
    results = tmp_path / "results.jsonl"
    results.write_text("from another day\n")
    file, stdin = ("-", data) if from_stdin else (lines, b"")
    refused = muniment("batch", file, "-o", results, "--overwrite", stdin=stdin)
    assert results.read_text() == "from another day\n"
    assert (refused.code, refused.out) == (2, "")
    assert f"is encoded as {name}; save it as UTF-8" in refused.err.splitlines()[-1]
    assert not (home / "muniment.db").exists()


def test_batch_repeated_parameter_of_a_list_is_a_list(muniment: Here, tmp_path: Path) -> None:
    file = written(tmp_path / "lines.jsonl", {"prompt": "a"})
    pairs = ("-p", "stop_words=x", "-p", "stop_words=y")
    (made,) = muniment("batch", file, "--generator", "echo", *pairs, "--json").json("generation")
    assert made["parameters"]["stop_words"] == ["x", "y"]
