"""`muniment analyze ifeval` and the evaluator `instructions`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import pytest

import muniment
from muniment.testing import CommandContract, CommandResult, run_command
from muniment_analysis.commands.ifeval import ifeval
from muniment_analysis.errors import RowError, SampleError
from muniment_analysis.ifeval.compliance import Compliance
from muniment_analysis.ifeval.data import Prompt, read_prompts, read_responses
from muniment_analysis.ifeval.instructions import read_instruction
from muniment_analysis.ifeval.summary import CheckedPrompt, summarize

COMMA = "punctuation:no_comma"
WORDS = "length_constraints:number_words"
ATLEAST = {"relation": "at least", "num_words": 3}


def row(
    key: object, prompt: object = None, ids: Any = (COMMA,), kwargs: Any = ({},)
) -> dict[str, Any]:
    return {
        "key": key,
        "prompt": f"prompt {key}" if prompt is None else prompt,
        "instruction_id_list": ids,
        "kwargs": kwargs,
    }


def reply(key: object, response: object) -> dict[str, object]:
    return {"prompt": f"prompt {key}", "response": response}


def written(path: Path, rows: Iterable[object]) -> Path:
    lines = [line if isinstance(line, str) else json.dumps(line) for line in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


class Files:
    """The two files of the command, and the command with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data.jsonl"
        self.responses = folder / "responses.jsonl"
        self.rows = folder / "rows.jsonl"
        written(self.data, [row(1, ids=[COMMA, WORDS], kwargs=[{}, ATLEAST]), row(2), row("c")])
        written(
            self.responses, [reply(1, "a, b"), reply(2, "Sure, yes:\nplain"), reply("other", "x")]
        )

    def run(self, *options: str) -> CommandResult:
        return run_command(
            ifeval, "--data", str(self.data), "--responses", str(self.responses), *options
        )


@pytest.fixture
def files(tmp_path: Path, home: Path) -> Files:
    return Files(tmp_path)


class TestContract(CommandContract):
    command = ifeval
    arguments: ClassVar = ("--data", "data.jsonl", "--responses", "responses.jsonl")

    @pytest.fixture(autouse=True)
    def folder(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        """Run the command where the files are."""
        monkeypatch.chdir(files.folder)


def test_shares_are_of_prompts_and_of_instructions(files: Files) -> None:
    result = files.run("--json", "--rows", str(files.rows))
    assert result.code == 0, result.stderr
    (report,) = result.json
    assert report["strict"] == {"prompt": 0.0, "instruction": 0.0}
    assert report["loose"] == {"prompt": 0.5, "instruction": pytest.approx(1 / 3)}
    assert (report["prompts"], report["instructions"]) == (2, 3)
    assert (report["skipped"], report["unused"]) == (1, 1)
    assert {name: kind["n"] for name, kind in report["kinds"].items()} == {WORDS: 1, COMMA: 2}
    assert [json.loads(line) for line in files.rows.read_text().splitlines()] == [
        {"key": 1, "strict": [False, False], "loose": [False, False]},
        {"key": 2, "strict": [False], "loose": [True]},
    ]


def test_a_share_of_none_has_an_interval_with_a_width(files: Files) -> None:
    (report,) = files.run("--json").json
    for mode in ("strict", "loose"):
        for level in ("prompt", "instruction"):
            low, high = report["interval"][mode][level]
            assert 0 <= low <= report[mode][level] <= high <= 1
            assert high - low > 0.3


def test_without_json_each_kind_is_a_row(files: Files) -> None:
    result = files.run()
    table = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[:3] for line in table] == [
        ["all prompts", "2", "0.000"],
        ["all instructions", "3", "0.000"],
        [WORDS, "1", "0.000"],
        [COMMA, "2", "0.000"],
    ]
    assert "skipped 1" in result.stderr
    assert "ignored 1" in result.stderr


@pytest.mark.parametrize(("prompts", "warns"), [(9, True), (10, False)])
def test_few_prompts_get_a_warning_about_wide_intervals(
    files: Files, prompts: int, warns: bool
) -> None:
    written(files.data, map(row, range(prompts)))
    written(files.responses, (reply(key, "a, b" if key % 2 else "a") for key in range(prompts)))
    for options in ((), ("--json",)):
        assert ("Warning: intervals of 9 prompts" in files.run(*options).stderr) is warns


def test_one_skipped_prompt_and_one_unused_response_are_singular(files: Files) -> None:
    stderr = files.run().stderr
    assert "skipped 1 prompt without" in stderr
    assert "ignored 1 response to" in stderr


def test_exchanged_files_are_refused_with_both_options(files: Files) -> None:
    result = run_command(ifeval, "--data", str(files.responses), "--responses", str(files.data))
    assert (result.code, result.stdout) == (2, "")
    assert "--data and --responses" in result.stderr
    with pytest.raises(RowError, match="--data and --responses"):
        read_responses(files.data)


def test_an_existing_file_of_rows_is_kept_unless_overwrite(files: Files) -> None:
    files.rows.write_text("mine")
    assert files.run("--rows", str(files.rows)).code == 2
    assert files.rows.read_text() == "mine"
    assert files.run("--rows", str(files.rows), "--overwrite").code == 0
    assert len(files.rows.read_text().splitlines()) == 2
    assert files.run("--rows", str(files.data), "--overwrite").code == 2
    assert files.data.read_text().startswith('{"key": 1')


def test_responses_to_no_prompt_are_refused(files: Files) -> None:
    written(files.responses, [reply("other", "x")])
    with pytest.raises(SampleError):
        ifeval.callback(files.data, files.responses, None, False, True)  # type: ignore[misc]
    result = files.run("--rows", str(files.rows))
    assert (result.code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert not files.rows.exists()


@pytest.mark.parametrize(
    ("rows", "line", "named"),
    [
        ([row(1), row(2, ids=["punctuation:no_commas"])], 2, "key 2: 'punctuation:no_commas'"),
        ([row(1, ids=[COMMA, None], kwargs=[{}, {}])], 1, "None"),
        ([row(1), row(2), row(1, "another")], 3, "key 1"),
        ([row(1), row(2, "prompt 1")], 2, '"prompt 1"'),
        ([row(1, ids=[], kwargs=[])], 1, "no instruction"),
        ([row(1, kwargs=[])], 1, "kwargs"),
        ([row(1, kwargs={})], 1, "kwargs"),
        ([row(1, ids=COMMA)], 1, "instruction_id_list"),
        ([row(1, kwargs=[{"num_words": 3}])], 1, "num_words"),
        ([row(1, ids=[WORDS], kwargs=[{"num_words": 3}])], 1, "relation"),
        ([row(1), row(None)], 2, "key"),
        ([row(True)], 1, "key"),
        ([row(1.5)], 1, "key"),
        ([row(1, prompt=7)], 1, "prompt"),
        (['{"key": NaN, "prompt": "a"}'], 1, "NaN"),
        (['{"key": 1, "prompt": "a"}'], 1, "instruction_id_list"),
        ([{"key": 1, "prompt": "a", "response": "b"}], 1, "add it"),
        (["", '{"key": 1'], 2, "JSON"),
        (["[1]"], 1, "object"),
        (['{"key": 1, "key": 2}'], 1, '"key"'),
        ([row(1, ids=[WORDS], kwargs=['{"num_words": 1}'])], 1, WORDS),
        (
            ['{"key": 1, "prompt": "a", "instruction_id_list": ["x\\ud800"], "kwargs": [{}]}'],
            1,
            "x",
        ),
        (["[" * 100_000], 1, "deep"),
    ],
)
def test_a_row_of_data_that_cannot_be_used_is_named(
    files: Files, rows: list[object], line: int, named: str
) -> None:
    written(files.data, rows)
    with pytest.raises(RowError, match=named) as error:
        read_prompts(files.data)
    assert error.value.line == line
    result = files.run("--json")
    assert (result.code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)


@pytest.mark.parametrize(
    ("rows", "line", "named"),
    [
        ([reply(1, "a"), reply(1, "b")], 2, "prompt 1"),
        ([reply(1, None)], 1, "response"),
        ([reply(1, 5)], 1, "response"),
        (['{"prompt": "prompt 1", "response": NaN}'], 1, "NaN"),
        ([{"prompt": "prompt 1"}], 1, "response"),
        ([{"key": 1, "response": "a"}], 1, "prompt"),
    ],
)
def test_a_response_that_cannot_be_used_is_named(
    files: Files, rows: list[object], line: int, named: str
) -> None:
    written(files.responses, rows)
    with pytest.raises(RowError, match=named) as error:
        read_responses(files.responses)
    assert error.value.line == line


@pytest.mark.parametrize("name", ["data", "responses"])
@pytest.mark.parametrize("content", [b"", b"\n \n", b'{"key": "\xff"}\n', b"\xef\xbb\xbf"])
def test_a_file_without_rows_or_in_another_encoding_is_refused(
    files: Files, name: str, content: bytes
) -> None:
    path: Path = getattr(files, name)
    path.write_bytes(content)
    result = files.run("--json")
    assert (result.code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert str(path) in result.stderr


def test_a_mark_of_byte_order_and_other_line_ends_are_read(files: Files) -> None:
    text = files.data.read_text().replace("\n", "\r\n")
    files.data.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert [prompt.key for prompt in read_prompts(files.data)] == [1, 2, "c"]


def checked(key: int, strict: Iterable[bool]) -> CheckedPrompt:
    results = tuple(strict)
    instruction = read_instruction(COMMA, {})
    return CheckedPrompt(
        Prompt(key, str(key), (instruction,) * len(results)), Compliance(results, results)
    )


def test_instructions_of_one_prompt_are_not_independent() -> None:
    together = summarize([checked(key, [key % 2 == 0] * 5) for key in range(40)]).instructions
    apart = summarize([checked(key, [key % 2 == 0]) for key in range(200)]).instructions
    assert (together.number, together.strict.n) == (200, 40)
    assert together.strict.value == apart.strict.value == 0.5
    assert together.strict.high - together.strict.low > 2 * (apart.strict.high - apart.strict.low)


def test_one_prompt_has_no_narrow_interval() -> None:
    estimate = summarize([checked(1, [True, True, False])]).instructions.strict
    assert (estimate.value, estimate.low, estimate.high) == (pytest.approx(2 / 3), 0, 1)


@pytest.mark.parametrize("followed", [False, True])
def test_equal_results_of_all_prompts_have_an_exact_interval(followed: bool) -> None:
    estimate = summarize([checked(key, [followed] * 2) for key in range(20)]).instructions.strict
    assert estimate.value == followed
    assert estimate.high - estimate.low == pytest.approx(1 - 0.025 ** (1 / 20))


def test_the_evaluator_scores_recorded_generations(session: muniment.Session) -> None:
    evaluator = (
        f'instructions(ids=["{COMMA}", "{WORDS}"], '
        r'arguments="[{}, {\"num_words\": 3, \"relation\": \"at least\"}]")'
    )
    prompt = "Sure, yes:\none two three"
    done = session.generate(prompt, generator="echo", policy="none", evaluate=[evaluator])
    scores = session.generation(done.id).scores
    assert {score.name: score.value for score in scores} == {"strict": 0.5, "loose": 1.0}


@pytest.mark.parametrize(
    "evaluator",
    [
        "instructions",
        "instructions(ids=[])",
        'instructions(ids=["punctuation:no_commas"])',
        f'instructions(ids=["{WORDS}"])',
        f'instructions(ids=["{COMMA}"], arguments="[]")',
        f'instructions(ids=["{COMMA}"], arguments="[")',
        f'instructions(ids=["{WORDS}"], arguments="[NaN]")',
    ],
)
def test_the_evaluator_refuses_an_instruction_without_a_meaning(
    session: muniment.Session, home: Path, evaluator: str
) -> None:
    with pytest.raises(muniment.ParameterError):
        session.generate("x", generator="echo", policy="none", evaluate=[evaluator])
    assert not home.exists() or not any(home.glob("*.db"))
