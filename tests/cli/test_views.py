"""Tables, lists and `audit show` as people see them, on wide and narrow terminals."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from rich.cells import cell_len

from muniment import testing
from muniment.cli.audit_list import print_generations
from muniment.cli.audit_show import _fact_fields
from muniment.cli.table import print_table
from muniment.cli.verdicts import decision_text
from muniment.cli.wrapping import parts, shortened, wrapped
from muniment.store.search import engine
from muniment.types.generations import Generation
from muniment.types.models import Model
from muniment.types.verdicts import Reason, Verdict
from support.commands import Here, Result

DIGEST = f"file-sha256:{'0' * 64}"
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture
def recorded(muniment: Here, policy_file: Path) -> Here:
    """Five generations: three that pass, one flagged, one blocked."""
    for prompt in (
        "one two",
        "three 四五六七八九十一二三四五六七八九十",
        "keeper of the lighthouse",
    ):
        muniment("generate", "echo", prompt, "--tag", "a-tag", "--tag", "another-tag")
    muniment("generate", "echo", "darn keeper", "--actor", "Ada", "--policy", policy_file)
    muniment("generate", "echo", "a bomb", "--policy", policy_file)
    return muniment


def ids(muniment: Here) -> list[str]:
    return [value["id"] for value in muniment("audit", "list", "--json").json("generation")]


LISTS = [
    ("audit", "list"),
    ("audit", "tail"),
    ("audit", "search", "keeper"),
    ("audit", "runs"),
    ("review", "queue"),
    ("audit", "show", "last"),
    ("audit", "show", "last", "--full"),
]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_id_and_no_line_is_broken_on_a_terminal(
    recorded: Here, muniment: Here, width: int
) -> None:
    ends = {identifier[-8:] for identifier in ids(muniment)}
    for command in LISTS:
        result = recorded.on_terminal(*command, width=width)
        long = re.compile("sha256|=|; use|use --full|stopped")
        lines = [line for line in result.lines if not long.search(line)]
        assert all(cell_len(line) <= width for line in lines), result.out
        if command[1] in ("list", "tail", "queue"):
            found = {line.rpartition("…")[2].strip() for line in result.lines if "…" in line}
            assert found >= ends if command[1] != "queue" else found & ends


def test_a_narrow_list_leaves_columns_out_and_names_them(recorded: Here) -> None:
    wide = recorded.on_terminal("audit", "list", width=110).lines
    assert wide[0].split() == ["started", "status", "model", "actor", "tags", "prompt", "id"]
    narrow = recorded.on_terminal("audit", "list", width=60).lines
    assert narrow[0].split()[0] == "started"
    assert narrow[0].split()[-2:] == ["prompt", "id"]
    assert "do not fit: tags, " in narrow[-1]
    least = recorded.on_terminal("audit", "list", width=40).lines
    assert [least[0].split(), least[1].split()] == [["started", "status", "id"], ["prompt"]]
    assert least[3] == "  a bomb"  # each prompt is below its row
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d  blocked  ", least[2])
    assert "3 columns do not fit: tags, actor, model" in " ".join(least[-3:])


@pytest.mark.parametrize("width", [40, 50, 60, 110])
def test_a_narrow_queue_keeps_the_time(recorded: Here, width: int) -> None:
    result = recorded.on_terminal("review", "queue", width=width)
    assert result.lines[0].split()[0] == "started"
    assert len(re.findall(r"\d{4}-\d\d-\d\d +\d\d:\d\d", result.out)) == 2
    assert "not fit" not in result.out


def plain_terminal(patch: pytest.MonkeyPatch) -> None:
    """Let standard output be a terminal without colours."""
    patch.setattr("sys.stdout.isatty", lambda: True)
    patch.setenv("TERM", "dumb")
    patch.setenv("NO_COLOR", "1")


@pytest.fixture
def narrow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[list[str], str]]:
    """Return a function that prints a table at a width, and returns its lines and its notes."""

    def printed(width: int, *arguments: Any, **options: Any) -> tuple[list[str], str]:
        plain_terminal(monkeypatch)
        monkeypatch.setenv("COLUMNS", str(width))
        print_table(*arguments, **options)
        output = capsys.readouterr()
        return output.out.splitlines(), output.err

    return printed


@pytest.mark.parametrize("width", [34, 40, 62])
def test_a_narrow_table_with_a_long_name_stays_a_table(
    narrow: Callable[..., tuple[list[str], str]], width: int
) -> None:
    rows = [[MODEL, 1, "a reason of several words"], [MODEL, 2, "好的原因好的原因好的原因"]]
    lines, notes = narrow(width, ["model", "number", "reason"], rows)
    assert lines[0].split() == ["model", "number", "reason"]
    assert all(cell_len(line) <= width for line in lines)
    assert "".join(line[: lines[0].index("number")].strip() for line in lines[1:]) == 2 * MODEL
    assert notes == ""


def test_a_narrow_table_of_numbers_never_divides_a_number(
    narrow: Callable[..., tuple[list[str], str]],
) -> None:
    headers = ["group", "controllability", "missing outputs", "when", "note"]
    when = datetime(2026, 5, 3, 12, 30, 15, tzinfo=UTC)
    rows = [["muniment-recommendation", 123456, 1.25, when, ""], ["day", 7, 10.5, when, ""]]
    lines, _ = narrow(44, headers, rows)
    assert all(cell_len(line) <= 44 for line in lines)
    assert sum("123456" in line for line in lines) == 1
    assert sum("12:30" in line or "2026-05-03" in line for line in lines) == 4
    assert not any("12:30:15" in line for line in lines)  # seconds are left out first
    assert [line.split() for line in lines[:2]] == [  # an empty column is left out
        ["controllab", "missing"],
        ["group", "ility", "outputs", "when"],
    ]


def test_a_word_is_folded_after_a_hyphen_near_the_end_of_a_line(
    narrow: Callable[..., tuple[list[str], str]],
) -> None:
    lines, _ = narrow(22, ["plugin", "state"], [["muniment-recommendation", "ok"]])
    assert [line[:15].strip() for line in lines[1:]] == ["muniment-", "recommendation"]


def test_a_table_of_too_many_columns_becomes_blocks(
    narrow: Callable[..., tuple[list[str], str]],
) -> None:
    headers = [f"column{number}" for number in range(6)]
    rows = [[MODEL, *"abcde"], [MODEL, *"abcde"]]
    lines, notes = narrow(40, headers, rows)
    assert lines == [line for line in lines if cell_len(line) <= 40]
    assert lines.count("") == 1
    assert sum(MODEL in line for line in lines) == 2
    lines, notes = narrow(40, headers, rows, drop=headers[1:])
    assert lines[0].split()[0] == "column0"
    assert "do not fit: column1" in notes
    lines, notes = narrow(
        30, ["model", "number", "reason"], [[MODEL, 1, "one two"]], "reason", ["model"]
    )
    assert lines[0].split()[:2] == ["number", "reason"]
    assert "1 column does not fit: model" in notes


def test_a_long_word_is_folded_in_its_column(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_terminal(monkeypatch)
    identifier = "01M8M43MPXJAEJRGC0AJ8H7XFP"
    rows = [["first", "one", identifier], ["digest", DIGEST, identifier]]
    monkeypatch.setenv("COLUMNS", "80")
    print_table(["name", "value", "id"], rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "value", "id"]
    assert max(map(cell_len, lines)) <= 80
    assert sum(identifier in line for line in lines) == 2
    place = lines[0].index("value")
    folded = [line[place : lines[0].index("id")].strip() for line in lines[2:]]
    assert "".join(folded) == DIGEST
    monkeypatch.setenv("COLUMNS", "90")
    print_table(["name", "value", "id"], rows, drop=["id"])  # a column is left out before that
    printed = capsys.readouterr()
    assert "does not fit: id" in printed.err
    assert DIGEST in printed.out
    monkeypatch.setenv("COLUMNS", "50")
    print_table(["name", "value", "id"], rows)
    lines = capsys.readouterr().out.splitlines()
    assert sum(identifier in line for line in lines) == 2  # an id is not folded
    monkeypatch.setenv("COLUMNS", "40")
    print_table(["name", "value", "id"], rows)
    assert capsys.readouterr().out.splitlines()[0].split() == ["name", "first"]


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("a 01M8M43MPXJAEJRGC0AJ8H7XFP b", 10, ["a", "01M8M43MPXJAEJRGC0AJ8H7XFP", "b"]),
        ("红心最近，成功", 8, ["红心最", "近，成功"]),
        ("红心（最近）", 6, ["红心", "（最", "近）"]),  # none ends with an opening bracket
        ("红心（two）", 6, ["红心", "（two）"]),
        ("one，two。", 6, ["one，", "two。"]),  # none begins with a comma
        ("红心.yaml 最", 8, ["红", "心.yaml", "最"]),
        ("don’t“红”心", 5, ["don’t", "“红”", "心"]),
        ("词 '红心' 出", 6, ["词 '红", "心' 出"]),  # a straight quote stays at its character
        ('"红心"。最', 5, ['"红', '心"。', "最"]),
        ("'红'、'心。'", 5, ["'红'、", "'心。'"]),
        ("한국어", 4, ["한국", "어"]),
        ("  indented\n\nx", 20, ["  indented", "", "x"]),
        (f"a {'0' * 75} b", 40, ["a", "0" * 40, "0" * 35 + " b"]),
        (f"{'0' * 75} b", 75, ["0" * 75, "b"]),
        ("x😀" * 16, 1, ["x", "😀"] * 16),
    ],
)
def test_wrapped_breaks_lines_between_words(text: str, width: int, lines: list[str]) -> None:
    assert wrapped(text, width) == lines


@given(st.text(" abé红，。.（(“”’)）한", max_size=10))
def test_parts_divide_a_line_where_it_may_end(line: str) -> None:
    found = parts(line)
    assert "".join(found) == line
    for before, part in itertools.pairwise(found):
        assert before.startswith(" ") or part[0] not in "，。.”)）"
        assert part.startswith(" ") or before[-1] not in "（(“"


@pytest.mark.parametrize("text", ["(", "（", "。", ".", "红", "a", "红.", "(红"])
def test_wrapped_takes_linear_time(text: str) -> None:
    start = time.process_time()
    wrapped(text * 20_000, 80)
    assert time.process_time() - start < 5


def test_shortened_counts_cells() -> None:
    assert shortened("红心最近", 8) == "红心最近"
    assert shortened("红心最近", 7) == "红心最…"
    assert shortened("红心最近", 6) == "红心…"


def test_headers_are_printed_in_a_pipe_only_on_request(muniment: Here) -> None:
    muniment("generate", "echo", "one", "--policy", "none")
    for command in (("audit", "list"), ("audit", "search", "one"), ("audit", "runs")):
        plain, headed = muniment(*command), muniment(*command, "--headers")
        assert headed.rows[1:] == plain.rows
        assert len(headed.rows[0]) == len(plain.rows[0])
    assert muniment("audit", "list", "--headers").rows[0][:3] == ["id", "started", "status"]
    assert muniment("audit", "list", "--headers", "--tag", "none").rows == [
        muniment("audit", "list", "--headers").rows[0]
    ]
    both = muniment("audit", "list", "--headers", "--json")
    assert (both.code, both.out) == (2, "")


def test_a_list_that_was_cut_tells_the_number_of_all(recorded: Here, muniment: Here) -> None:
    for command, note in (
        (("audit", "list", "-n", "2"), "2 of 5"),
        (("audit", "list", "--tag", "a-tag", "-n", "2"), "2 of 3"),
        (("audit", "search", "keeper", "-n", "1"), "1 of 2"),
        (("audit", "search", "keeper", "--tag", "a-tag", "-n", "1"), None),
        (("audit", "search", '"keeper of"', "-n", "1"), None),
        (("audit", "runs", "-n", "4"), "4 of 5"),
        (("review", "queue", "-n", "1"), "1 of 2"),
        (("audit", "tail", "-n", "4"), "1 earlier generation"),
        (("audit", "list", "-n", "5"), None),
    ):
        last = recorded.on_terminal(*command).lines[-1]
        assert (note in last) if note else " of " not in last.split(";")[0].split("  ")[0], command
        assert " of 5" not in muniment(*command).err


def test_a_search_that_was_cut_reads_one_hit_more_than_it_prints(
    muniment: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        muniment("generate", "echo", f"keeper of {number}", "--policy", "none")
    read: list[object] = []
    original = engine.snippets
    monkeypatch.setattr(engine, "snippets", lambda *texts: read.append(1) or original(*texts))
    cut = muniment.on_terminal("audit", "search", '"keeper of"', "-n", "2")
    assert "stopped at the limit of 2" in cut.lines[-1]
    assert len(read) == 3
    whole = muniment.on_terminal("audit", "search", '"keeper of"', "-n", "6")
    assert "limit" not in whole.lines[-1]
    assert len(read) == 9


@pytest.mark.parametrize(
    "command",
    [
        ("audit", "list", "--tag", "x"),
        ("audit", "search", "absent"),
        ("audit", "tail", "--tag", "x"),
    ],
)
def test_a_list_without_results_says_so_on_stderr(muniment: Here, command: tuple[str, ...]) -> None:
    muniment("generate", "echo", "one")
    for options in ((), ("--json",)):
        result: Result = muniment(*command, *options)
        assert (result.code, result.out) == (0, "")
        assert "no generation matches" in result.err


def test_an_erased_generation_is_marked_in_every_list(recorded: Here, muniment: Here) -> None:
    assert muniment("audit", "erase", "last", "--yes").code == 0
    for command in (("audit", "list"), ("audit", "tail"), ("audit", "lineage", "last")):
        mark = "[erased: " if command[1] == "lineage" else "[erased]"
        assert mark in recorded.on_terminal(*command, width=120).out, command
        assert "[erased: " in muniment(*command).out, command
    assert "[erased]" in muniment("audit", "show", "last").out


@pytest.mark.parametrize(
    ("model", "erased", "cell"),
    [
        (Model("gemma", DIGEST, ""), (), "gemma"),
        (Model("hub/gemma", DIGEST, ""), (), "hub/gemma"),
        (Model("/srv/models/gemma", DIGEST, ""), (), "/srv/models/gemma"),
        (None, ("request",), "dice"),
        (Model("", DIGEST, ""), ("prompt", "request"), "[erased]"),
    ],
)
def test_the_column_model_has_the_generator_only_without_a_model(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    model: Model | None,
    erased: tuple[str, ...],
    cell: str,
) -> None:
    plain_terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", "120")
    generation = testing.generation(generator="dice", model=model, erased=erased, prompt="")
    print_generations([generation], False, "", 0)
    headers, row = capsys.readouterr().out.splitlines()
    place = headers.index("model")
    assert row[place:].split()[0] == cell
    assert ("[erased]" in row[headers.index("prompt") :]) == ("prompt" in erased)


def test_show_marks_erased_names_of_a_model_and_of_people(
    recorded: Here, muniment: Here, home: Path
) -> None:
    muniment("review", "approve", "last")
    muniment("hold", "add", "--actor", "Ada", "--reason", "case 7")
    assert muniment("audit", "erase", "--actor", "小明", "--older-than", "0s", "--yes").code == 0
    for command in (("runs",), ("stats",), ("stats", "--by", "actor"), ("erase", "--status")):
        assert "[erased]" in recorded.on_terminal("audit", *command, width=120).out, command
        assert "[erased]" in muniment("audit", *command).out, command
    assert "[erased]" in recorded.on_terminal("hold", "list", width=120).out
    assert muniment("hold", "list").rows[0][2] == "[erased]"
    assert [row[7] for row in muniment("audit", "list").rows].count("[erased]") == 4
    assert ["model", "", "5"] in muniment("audit", "stats").rows  # no value, and none erased
    shown = muniment("audit", "show", "last").fields
    assert shown["actor"] == ["[erased]"]
    assert shown["review"][0].startswith("approve · [erased] · ")
    model = testing.generation(model=Model("", DIGEST, ""), erased=("request",), status="completed")
    assert dict(_fact_fields(model, full=False))["model"] == "[erased]"
    assert dict(_fact_fields(replace(model, erased=()), full=False))["model"] == ""


def test_statuses_are_coloured_unless_no_color_is_set(recorded: Here) -> None:
    red = re.compile(r"\x1b\[31m(\x1b\[1m)?block(ed)?")
    for command in (
        ("audit", "list"),
        ("audit", "tail"),
        ("audit", "search", "bomb"),
        ("audit", "show", "last"),
        ("audit", "lineage", "last"),
        ("review", "queue"),
    ):
        assert red.search(recorded.on_terminal(*command, colour=True).err), command
        assert "\x1b[3" not in recorded.on_terminal(*command).err, command


def test_show_has_the_answer_first_and_details_on_request(recorded: Here, muniment: Here) -> None:
    shown = recorded.on_terminal("audit", "show", "last")
    text = shown.out
    places = [text.index(part) for part in ("a bomb", "decision", "blocked by", "status", "seed")]
    assert places == sorted(places)
    assert "--full" in shown.lines[-1]
    assert "sha256" not in text
    assert ids(muniment)[0] in text
    full = recorded.on_terminal("audit", "show", "last", "--full")
    assert "environment" in full.out
    assert "verdict" in full.out


def test_a_cause_that_a_filter_found_several_times_is_printed_once() -> None:
    reasons = tuple(Reason("vowels", "matches 'a'", start=n) for n in (1, 3, 5))
    verdict = Verdict("block", filter="patterns", stage="prompt", action="block", reasons=reasons)
    text = decision_text(replace(_started("banana"), verdicts=(verdict,)), ())
    assert text.count("matches 'a'") == 1
    assert "(3 times)" in text


def _started(prompt: str) -> Generation:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Generation("G", "R", "someone", "started", "echo", prompt, seed=7, started_at=now)
