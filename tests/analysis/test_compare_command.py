"""`muniment analyze compare`: pairs, intervals, the gate, and runs without a basis."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from muniment import Cell, Generation, GenerationSpec, Levels, Query, Score, Session
from muniment.ids import new_id
from muniment.testing import CommandContract, CommandResult, run_command
from muniment_analysis.commands import analyze
from muniment_analysis.commands.compare import compare
from muniment_analysis.comparison.comparing import compare_runs
from muniment_analysis.comparison.differences import differences_of
from muniment_analysis.comparison.pairing import Cell as Place
from muniment_analysis.comparison.scores import read_scores
from muniment_analysis.errors import MixedVersionsError
from support.commands import Processes
from support.plugins import PluginFolder
from support.workspace import Workspace

# The score is the first number of the output, and a prompt of numbers is its own output.
ECHO = """
for request in requests:
    if "fail" in request.prompt:
        yield request.fail("it was asked to")
    else:
        text = request.parameters.text or request.prompt
        yield request.reply(Text(text))
"""
SCORE = """
text = generation.text.split()[0]
return {} if text == "none" else {"value": float(text)}
"""


@pytest.fixture
def echo(home: Path, plugin_folder: PluginFolder) -> Iterator[Workspace]:
    plugin_folder.generator("echo", ECHO, parameters="text: str = param('', help='Text')")
    plugin_folder.evaluator("number", SCORE)
    workspace = Workspace(home, plugin_folder)
    yield workspace
    workspace.close()


def batch(workspace: Workspace, outputs: Sequence[tuple[str, str]]) -> str:
    """Generate a batch of prompts with their outputs, and return the id of the run."""
    run = new_id()
    lines = [
        json.dumps({"prompt": prompt, "parameters": {"text": text}}).encode()
        for prompt, text in outputs
    ]
    spec = GenerationSpec(generator="echo")
    list(workspace.session.batch(lines, defaults=spec, run_id=run))
    return run


def design(items: Sequence[str], settings: str = "{text: ['0', '1']}", paraphrases: int = 1) -> str:
    """Return a design whose paraphrases are those of the items with a number."""
    listed = "\n".join(
        f"- {{id: {item}, paraphrases: {[f'{item} {number}' for number in range(paraphrases)]}}}"
        for item in items
    )
    head = f"version: 1\ngenerator: echo\nitems:\n{listed}\nsettings: {settings}\n"
    return f"{head}replicates: 2\nseed: 1\n"


def experiment(
    workspace: Workspace,
    items: Sequence[str],
    value: Callable[[str, int, int], object],
    *,
    settings: Sequence[str] = ("0", "1"),
    order: Sequence[int] = (),
) -> str:
    """Record an experiment whose outputs are values of item, setting and replicate."""
    run = new_id()
    text = design(items, f"{{text: {list(settings)}}}")
    workspace.session.record_experiment(run, text, Levels(len(items), 1, len(settings), 2))
    specs = [
        GenerationSpec(
            f"{item} 0",
            generator="echo",
            parameters={"text": str(value(item, int(settings[setting]), replicate))},
            cell=Cell(number, 0, setting, replicate),
        )
        for number, item in enumerate(items)
        for setting in range(len(settings))
        for replicate in range(2)
    ]
    random.Random(1).shuffle(specs)
    list(workspace.session.run(specs, run_id=run))
    return run


def call(workspace: Workspace, *arguments: str) -> CommandResult:
    return run_command(analyze, "compare", *arguments, session=workspace.session)


def the_score(result: CommandResult) -> Any:
    (record,) = result.json
    (score,) = record["scores"]
    return score


def refused(result: CommandResult) -> str:
    assert (result.code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    return result.stderr


def test_runs_without_a_store_are_a_usage_error_and_no_failed_gate(tmp_path: Path) -> None:
    with Session(tmp_path) as session:
        message = refused(run_command(analyze, "compare", "last", "last", session=session))
    assert "no store" in message
    assert list(tmp_path.iterdir()) == []


class TestCompare(CommandContract):
    command = compare
    arguments: ClassVar = ("a.csv", "b.csv", "--item", "item", "--value", "y")

    @pytest.fixture
    def session(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.chdir(tmp_path)
        write(tmp_path / "a.csv", [[i, i] for i in range(20)])
        write(tmp_path / "b.csv", [[i, i * i] for i in range(20)])
        return object()


# ---- pairs -------------------------------------------------------------------------------------


def test_prompts_are_paired_by_text_and_not_by_position(echo: Workspace) -> None:
    prompts = [f"prompt {number}" for number in range(20)]
    first = batch(echo, [(prompt, str(number)) for number, prompt in enumerate(prompts)])
    second = [(prompt, str(number + 0.5 + number % 2)) for number, prompt in enumerate(prompts)]
    result = call(echo, first, batch(echo, second[::-1]), "--json")
    assert result.code == 0
    (record,) = result.json
    assert record["paired_by"] == "prompt"
    (score,) = record["scores"]
    assert score["score"] == "number.value"
    assert score["difference"]["value"] == pytest.approx(1)
    assert score["difference"]["n"] == 20
    # Paired by position, differences would be from −19 to 19, and 0 inside the interval.
    assert 0.7 < score["difference"]["low"] < score["difference"]["high"] < 1.3
    assert score["finding"] == "difference"


def test_outputs_of_an_item_are_averaged_before_items_are_resampled(echo: Workspace) -> None:
    draw = np.random.default_rng(3)
    effects = draw.normal(0.1, 1, 20)
    first, second = [], []
    for number, effect in enumerate(effects):
        for _ in range(10):  # the same prompt on ten lines
            first.append((f"prompt {number}", "0"))
            second.append((f"prompt {number}", str(effect + draw.normal(0, 0.01))))
    difference = the_score(call(echo, batch(echo, first), batch(echo, second), "--json"))[
        "difference"
    ]
    width = difference["high"] - difference["low"]
    clustered = 2 * 2.09 * effects.std(ddof=1) / 20**0.5
    assert difference["n"] == 20
    assert width == pytest.approx(clustered, rel=0.15)
    assert width > 2.5 * clustered / 10**0.5  # that of 200 independent rows


def test_lines_pair_runs_whose_prompts_all_changed(echo: Workspace) -> None:
    first = batch(echo, [(f"old {n}", str(n)) for n in range(12)])
    second = batch(echo, [(f"new {n}", str(n + n % 3)) for n in range(12)])
    (record,) = call(echo, first, second, "--json").json
    assert record["paired_by"] == "line"
    assert record["scores"][0]["difference"]["value"] == pytest.approx(1)


def test_experiments_are_paired_by_the_ids_of_items_and_values_of_settings(
    echo: Workspace,
) -> None:
    items = [f"item{number:02}" for number in range(12)]

    def value(item: str, setting: int, replicate: int) -> float:
        return 10 * int(item[4:]) + 100 * setting + replicate

    def better(item: str, setting: int, replicate: int) -> float:
        return value(item, setting, replicate) + 1 + int(item[4:]) % 2

    first = experiment(echo, items, value)
    second = experiment(echo, items[::-1], better, settings=("1", "0"))
    (record,) = call(echo, first, second, "--json").json
    assert record["paired_by"] == "item"
    assert record["scores"][0]["difference"]["value"] == pytest.approx(1.5)
    assert record["scores"][0]["difference"]["high"] < 2
    # Only the setting that both designs have is compared.
    third = experiment(echo, items, better, settings=("1", "2"))
    assert the_score(call(echo, first, third, "--json"))["difference"]["value"] == pytest.approx(
        1.5
    )


def test_unpaired_items_are_counted_and_named(echo: Workspace) -> None:
    first = batch(echo, [(f"prompt {n}", str(n)) for n in range(20)])
    second = batch(echo, [(f"prompt {n}", str(n + n % 2)) for n in range(1, 21)])
    result = call(echo, first, second, "--json")
    score = the_score(result)
    assert score["difference"]["n"] == 19
    by_reason = {one["reason"]: one["item"] for one in score["left_out"]}
    assert "'prompt 0'" in by_reason["not in B"]
    assert "'prompt 20'" in by_reason["not in A"]
    assert "prompt 20" in result.stderr
    assert result.stderr.count("not in B") == 1
    assert any("2 of 21" in warning for warning in score["warnings"])
    compared = compare_runs(echo.session, (first, second))
    ((name, one),) = compared.differences.items()
    both = replace(compared, differences={name: one, "other": one})
    warnings = list(both.all_warnings())
    assert len(warnings) == len(list(compared.all_warnings())) == 2
    assert all(warning.startswith(f"{name}, other: ") for warning in warnings)
    few = batch(echo, [(f"prompt {n}", str(n)) for n in range(12)])
    assert "--allow-incomplete" in refused(call(echo, first, few))
    assert call(echo, first, few, "--allow-incomplete").code == 0


def scored(version: str = "1", **changes: Any) -> Generation:
    """Return a completed generation of line 1 with a score."""
    fields: dict[str, Any] = {
        "id": new_id(),
        "run_id": new_id(),
        "actor": "tester",
        "status": "completed",
        "generator": "echo",
        "prompt": "p",
        "seed": 1,
        "started_at": datetime.now(UTC),
        "line": 1,
        "scores": (Score("number", version, "value", 1.0),),
    }
    return Generation(**(fields | changes))


def test_interrupted_line_that_was_resumed_is_no_missing_output() -> None:
    stopped = scored(status="interrupted", scores=())
    resumed = read_scores([scored(), stopped], lambda one: Place(str(one.line)))
    assert (resumed.outputs, resumed.missing("number.value")) == (1, 0)
    alone = read_scores([stopped], lambda one: Place(str(one.line)))
    assert (alone.outputs, alone.missing("number.value")) == (1, 1)
    assert alone.problems == {"interrupted": 1}


def test_another_version_of_the_evaluator_gets_a_warning() -> None:
    tables = [
        read_scores([scored(version, line=n) for n in range(20)], lambda one: Place(str(one.line)))
        for version in ("1", "2")
    ]
    ((one,), errors) = differences_of(*tables, ["number.value"])
    assert not errors
    assert any("another version" in warning for warning in one.warnings)


def test_versions_of_the_evaluator_within_a_run_are_not_mixed() -> None:
    tables = [
        read_scores(
            [scored("2" if n in later else "1", line=n) for n in range(20)],
            lambda one: Place(str(one.line)),
        )
        for later in ((), range(15, 20))
    ]
    differences, [error] = differences_of(*tables, ["number.value"])
    assert not differences
    assert isinstance(error, MixedVersionsError)
    assert (error.score, error.counts) == ("number.value", {"1": 15, "2": 5})
    assert "second run" in str(error)


def test_a_score_that_was_added_again_replaces_the_recorded_one() -> None:
    again = scored("1", added_scores=(Score("number", "2", "value", 5.0),))
    table = read_scores([again], lambda one: Place("item"))
    assert table.means("number.value", [Place("item")]) == {Place("item")[1:]: 5.0}
    assert table.sources["number.value"] == {"2": 1}


# ---- findings ----------------------------------------------------------------------------------


def test_sentences_tell_noise_from_a_difference_too_small_to_matter(echo: Workspace) -> None:
    prompts = [f"prompt {n}" for n in range(20)]
    first = batch(echo, [(prompt, str(n)) for n, prompt in enumerate(prompts)])
    noisy = batch(echo, [(prompt, str(n + (-1) ** n)) for n, prompt in enumerate(prompts)])
    small = batch(echo, [(prompt, str(n + 0.1 + n / 1000)) for n, prompt in enumerate(prompts)])

    def finding(*arguments: str) -> str:
        result = call(echo, *arguments, "--json")
        return str(the_score(result)["finding"])

    assert finding(first, noisy) == "noise"
    assert finding(first, noisy, "--effect", "3") == "negligible"
    assert finding(first, noisy, "--effect", "0.1") == "unclear"
    assert finding(first, small) == "difference"
    assert finding(first, small, "--effect", "0.5") == "negligible"
    assert "only noise" in call(echo, first, noisy).stderr
    assert "items instead of 20" in call(echo, first, noisy, "--effect", "0.1").stderr
    assert "may be less or more than 0.109" in call(echo, first, small, "--effect", "0.109").stderr
    assert "is more than 0.05" in call(echo, first, small, "--effect", "0.05").stderr
    assert "is more than 0.05" in call(echo, small, first, "--effect", "0.05").stderr


def test_equal_pass_rates_have_an_interval_with_a_width(tmp_path: Path) -> None:
    a = write(tmp_path / "a.csv", [[n, n % 2] for n in range(20)])
    score = the_score(tables(a, a_copy(a), "--json"))
    assert score["difference"]["value"] == 0
    assert score["difference"]["high"] == pytest.approx(1 - 0.025 ** (1 / 20))
    shifted = write(tmp_path / "b.csv", [[n, n % 2 + 0.1] for n in range(20)])
    assert the_score(tables(a, shifted, "--json"))["warnings"]


# ---- the gate ----------------------------------------------------------------------------------


def test_gate_prints_fail_and_exits_with_1(echo: Workspace) -> None:
    first = batch(echo, [(f"p{n}", str(n)) for n in range(20)])
    worse = batch(echo, [(f"p{n}", str(n - 0.01 * n)) for n in range(20)])
    failed = call(echo, first, worse, "--fail-on", "value<-0.02")
    assert failed.code == 1
    assert "FAIL value<-0.02: the difference is -0.095" in failed.stderr
    passed = call(echo, first, worse, "--fail-on", "number.value<-0.2")
    assert passed.code == 0
    assert "PASS" in passed.stderr
    assert "FAIL" not in passed.stderr
    both = call(echo, first, worse, "--fail-on", "value>1", "--fail-on", "value:low<-0.1", "--json")
    assert both.code == 1
    (record,) = both.json
    assert [result["passed"] for result in record["gate"]] == [True, False]


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("y<-0.02", 0),  # -0.02 exactly, apart from rounding
        ("y<=-0.02", 1),
        ("y:high<0", 1),
        ("y:high<-0.02", 0),
        ("y:low<-0.021", 1),
        ("y>0", 0),
        ("y >= -0.5", 1),
    ],
)
def test_gate_compares_the_value_or_a_bound(tmp_path: Path, condition: str, code: int) -> None:
    a = write(tmp_path / "a.csv", [[n, 0.9] for n in range(20)])
    b = write(tmp_path / "b.csv", [[n, 0.88 + (-1) ** n / 100] for n in range(20)])
    assert tables(a, b, "--fail-on", condition).code == code


@pytest.mark.parametrize(
    "condition", ["value", "value<", "value<nan", "value<inf", "<1", "value=1", "value<a"]
)
def test_malformed_condition_is_refused(echo: Workspace, condition: str) -> None:
    assert "--fail-on" in refused(call(echo, "last", "last", "--fail-on", condition))


@pytest.mark.parametrize(("condition", "operator"), [("y=<0", "<="), ("y:low => 0", ">=")])
def test_reversed_operator_is_refused_with_the_right_one(
    tmp_path: Path, condition: str, operator: str
) -> None:
    assert operator in refused(tables(tmp_path / "a", tmp_path / "b", "--fail-on", condition))


def test_gate_fails_loudly_on_missing_values_and_unknown_scores(echo: Workspace) -> None:
    first = batch(echo, [(f"p{n}", "1") for n in range(30)])
    lost = [(f"p{n}", "2") for n in range(29)]
    for second in (lost, [*lost, ("p29", "none")], [*lost, ("p29", "none"), ("p1", "none")]):
        run = batch(echo, second)
        result = call(echo, first, run, "--fail-on", "value<0")
        assert result.code == 1
        assert "FAIL value<0: items without a pair: 1" in result.stderr
        assert call(echo, first, run, "--fail-on", "value<0", "--allow-incomplete").code == 0
    assert "no score named 'quality'" in refused(
        call(echo, first, run, "--fail-on", "quality<0", "--fail-on", "value<0")
    )


def test_run_in_which_every_item_failed_is_an_error(echo: Workspace) -> None:
    first = batch(echo, [(f"fail {n}", "1") for n in range(20)])
    second = batch(echo, [(f"fail {n}", "") for n in range(20)])
    good = batch(echo, [(f"p{n}", "1") for n in range(20)])
    for runs in ((first, second), (good, second), (second, good)):
        result = call(echo, *runs, "--fail-on", "value<-1")
        assert refused(result)
    assert "20 failed" in refused(call(echo, first, second))


def test_runs_without_items_in_common_are_an_error(echo: Workspace) -> None:
    first = batch(echo, [(f"p{n}", "1") for n in range(20)])
    list(echo.session.run([GenerationSpec(f"{n}", generator="echo") for n in range(20)]))
    assert "in common" in refused(call(echo, first, "last", "--fail-on", "value<-1"))
    assert refused(call(echo, first, new_id()))
    assert refused(call(echo, first, first))
    assert "10 are needed" in refused(call(echo, batch(echo, [("p1", "1")]), first))


def test_empty_experiment_is_an_error(echo: Workspace) -> None:
    run = new_id()
    echo.session.record_experiment(run, design(["a"]), Levels(1, 1, 2, 2))
    other = batch(echo, [(f"p{n}", "1") for n in range(20)])
    assert refused(call(echo, run, other, "--fail-on", "value<0"))


def test_erased_generations_are_left_out(echo: Workspace) -> None:
    first = batch(echo, [(f"p{n}", str(n)) for n in range(20)])
    second = batch(echo, [(f"p{n}", str(n + n % 2)) for n in range(20)])
    newest = next(iter(echo.session.generations()))
    echo.session.erase(Query(ids=[newest.id]))
    score = the_score(call(echo, first, second, "--json"))
    assert score["difference"]["n"] == 19
    assert score["missing"] == {"a": 0, "b": 1}
    assert score["left_out"][0]["reason"] == "not in B"


# ---- files -------------------------------------------------------------------------------------


def test_files_have_the_numbers_and_no_markup_of_prompts(echo: Workspace, tmp_path: Path) -> None:
    first = batch(echo, [(f"p{n}", str(n)) for n in range(20)])
    second = batch(
        echo, [*((f"p{n}", str(n + n % 3)) for n in range(20)), ("<script>alert(1)</script>", "1")]
    )
    names = ("r.html", "r.csv", "r.json")
    outputs = [text for name in names for text in ("-o", str(tmp_path / name))]
    result = call(echo, first, second, "--fail-on", "value>0.5", "--effect", "2", *outputs)
    assert result.code == 1
    page, table, record = ((tmp_path / name).read_text(encoding="utf-8-sig") for name in names)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<svg" in page
    assert "FAIL" in page
    (row,) = csv.DictReader(table.splitlines())
    score = json.loads(record)["scores"][0]
    assert float(row["difference"]) == score["difference"]["value"]
    assert (row["finding"], row["left_out"]) == (score["finding"], "1")
    assert refused(call(echo, first, second, "-o", str(tmp_path / "r.pdf")))
    assert refused(call(echo, first, second, *outputs[:2]))


# ---- tables and the program --------------------------------------------------------------------


def write(path: Path, rows: Sequence[Sequence[object]], header: Sequence[str] = ()) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header or ("item", "y"), *rows])
    return path


def a_copy(path: Path) -> Path:
    copied = path.with_name(f"copy-of-{path.name}")
    copied.write_bytes(path.read_bytes())
    return copied


def tables(first: Path, second: Path, *more: str) -> CommandResult:
    arguments = (str(first), str(second), "--item", "item", "--value", "y", *more)
    return run_command(analyze, "compare", *arguments, session=object())


def test_tables_are_paired_by_item_and_factors(tmp_path: Path) -> None:
    header = ("item", "temperature", "y")
    rows = [[n, t, n + 10 * t] for n in range(10) for t in (0, 1)]
    a = write(tmp_path / "a.csv", rows, header)
    b = write(tmp_path / "b.csv", [[n, t, y + 1 + n % 2] for n, t, y in rows[::-1] if t], header)
    result = tables(a, b, "--factor", "temperature", "--json")
    assert the_score(result)["difference"]["value"] == pytest.approx(1.5)
    other = the_score(tables(a, b, "--json"))
    assert other["difference"]["value"] == pytest.approx(6.5)  # over both temperatures of A


@pytest.mark.parametrize("bad", ["nan", "inf", "", "x"])
def test_table_with_a_value_that_is_no_number_is_refused(tmp_path: Path, bad: str) -> None:
    a = write(tmp_path / "a.csv", [[n, n] for n in range(20)])
    b = write(tmp_path / "b.csv", [*([n, n] for n in range(19)), [19, bad]])
    assert "line 21" in refused(tables(a, b, "--fail-on", "y<-1"))


def test_tables_without_items_in_common_and_half_named_columns_are_refused(tmp_path: Path) -> None:
    a = write(tmp_path / "a.csv", [[n, n] for n in range(20)])
    b = write(tmp_path / "b.csv", [[f"x{n}", n] for n in range(20)])
    assert "in common" in refused(tables(a, b))
    result = run_command(analyze, "compare", str(a), str(b), "--item", "item", session=object())
    assert "--value" in refused(result)


@pytest.mark.parametrize("runs", [("a.csv", "b.csv"), ("last", "b.csv"), ("./a", "last")])
def test_files_without_columns_are_refused_before_the_store_is_opened(
    runs: tuple[str, str],
) -> None:
    message = refused(run_command(analyze, "compare", *runs, session=object()))
    assert "--item" in message
    assert "--value" in message


def test_one_table_in_place_of_two_is_refused(tmp_path: Path) -> None:
    a = write(tmp_path / "a.csv", [[n, n] for n in range(20)])
    assert str(a) in refused(tables(a, a))
    link = tmp_path / "link.csv"
    link.symlink_to(a)
    assert str(a) in refused(tables(a, link))


def test_program_exits_with_1_when_the_gate_fails(tmp_path: Path) -> None:
    a = write(tmp_path / "a.csv", [[n, n] for n in range(20)])
    b = write(tmp_path / "b.csv", [[n, n - 1] for n in range(20)])
    muniment = Processes(tmp_path, tmp_path / "home")
    arguments = ("analyze", "compare", a, b, "--item", "item", "--value", "y")
    result = muniment(*arguments, "--fail-on", "y<-0.5")
    assert result.code == 1
    assert "FAIL y<-0.5" in result.err
    assert muniment(*arguments, "--fail-on", "y<-5").code == 0
