"""`muniment analyze variance`: its output, and tables without a basis for shares."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from muniment.testing import CommandContract, CommandResult, run_command
from muniment_analysis.commands import analyze
from muniment_analysis.commands.variance import variance
from support.commands import Processes

HEADER = ("item", "paraphrase", "temperature", "seed", "y")
ARGUMENTS = ("--item", "item", "--factors", "paraphrase,temperature", "--seed", "seed")
# Components 2.5, 16, 3 and 2, computed by hand in test_variance_shares.py.
ITEM = {
    ("p1", "0.2"): (1, 3),
    ("p1", "0.7"): (5, 7),
    ("p2", "0.2"): (2, 4),
    ("p2", "0.7"): (10, 12),
}

Rows = list[list[Any]]


def table(items: Iterable[object] = range(20)) -> Rows:
    """Return the rows of items with equal effects and different means."""
    return [
        [item, *cell, seed, value + 10 * number]
        for number, item in enumerate(items)
        for cell, values in ITEM.items()
        for seed, value in enumerate(values)
    ]


def write(path: Path, rows: Iterable[Sequence[Any]], header: Sequence[str] = HEADER) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def analyse(tmp_path: Path) -> Callable[..., CommandResult]:
    """Return a function that writes rows to a file and calls the command with it."""

    def call(
        rows: Iterable[Sequence[Any]], *more: str, header: Sequence[str] = HEADER
    ) -> CommandResult:
        path = write(tmp_path / "t.csv", rows, header)
        return run(path, *more)

    return call


def run(path: Path, *more: str) -> CommandResult:
    arguments = ("variance", str(path), *ARGUMENTS, "--value", "y", *more)
    return run_command(analyze, *arguments, session=object())


def refused(result: CommandResult) -> str:
    """Return the message of a refusal: one sentence, and no number on standard output."""
    assert (result.code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    return result.stderr


class TestVariance(CommandContract):
    command = variance
    arguments: ClassVar = ("t.csv", *ARGUMENTS, "--value", "y")

    @pytest.fixture
    def session(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.chdir(tmp_path)
        write(tmp_path / "t.csv", table())
        return object()  # it needs none


def test_command_is_in_the_group() -> None:
    assert run_command(analyze, "variance", "--help", session=object()).code == 0


# ---- output ------------------------------------------------------------------------------------


def test_json_has_shares_intervals_and_unclipped_components(
    analyse: Callable[..., CommandResult],
) -> None:
    result = analyse(table(), "--json")
    assert (result.code, result.stderr) == (0, "")
    (record,) = result.json
    names = ["paraphrase", "temperature", "paraphrase:temperature", "seed"]
    components = dict(zip(names, (2.5, 16, 3, 2), strict=True))
    assert record["components"] == pytest.approx(components)
    assert record["shares"] == pytest.approx({n: c / 23.5 for n, c in components.items()})
    assert list(record["interval"]) == list(record["shares"]) == names
    assert record["interval"]["seed"] == pytest.approx([2 / 23.5, 2 / 23.5])
    assert record["controllability"] == pytest.approx(16 / 23.5)
    assert record["controllability_interval"] == pytest.approx([16 / 23.5, 16 / 23.5])
    assert record["controls"] == ["temperature"]
    assert [entry["setting"] for entry in record["seed_variance"]] == [
        {"temperature": "0.2"},
        {"temperature": "0.7"},
    ]
    assert record["seed_variance"][0] | {"setting": 0} == {
        "setting": 0, "value": 2.0, "low": 2.0, "high": 2.0, "n": 20,
    }  # fmt: skip
    assert record["items"] == 20
    assert record["levels"] == {"paraphrase": ["p1", "p2"], "temperature": ["0.2", "0.7"]}
    assert record["seeds"] == 2
    assert record["left_out"] == record["lost"] == record["warnings"] == []


def test_negative_component_stands_in_json_and_its_share_is_zero(
    analyse: Callable[..., CommandResult],
) -> None:
    rows = [
        [item, wording, setting, seed, seed * 2 + 10 * (setting == "b")]
        for item, wording, setting, seed in itertools.product(range(20), "xy", "ab", range(2))
    ]
    (record,) = analyse(rows, "--json").json
    assert record["components"]["paraphrase"] == 0.0
    assert record["components"]["paraphrase:temperature"] == -1.0
    assert record["shares"]["paraphrase:temperature"] == 0.0


def test_table_has_a_line_for_each_share_and_for_each_setting(
    analyse: Callable[..., CommandResult],
) -> None:
    result = analyse(table())
    assert result.stderr == ""
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert lines[0] == ["paraphrase", "0.106", "0.106", "0.106", "2.5"]
    assert [line[0] for line in lines] == [
        *("paraphrase", "temperature", "paraphrase:temperature", "seed"),
        *("controllability (temperature)", "", "temperature=0.2", "temperature=0.7"),
    ]


def test_terminal_gets_tables_with_headers(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", table(range(12)))
    processes = Processes(tmp_path, tmp_path / "home")
    result = processes.on_terminal("analyze", "variance", path, *ARGUMENTS, "--value", "y")
    assert result.code == 0
    for text in ("share", "variance", "seed variance", "controllability (temperature)", "12 items"):
        assert text in result.out


def test_control_option_names_the_controls(analyse: Callable[..., CommandResult]) -> None:
    (record,) = analyse(table(), "--json", "--control", "paraphrase").json
    assert record["controls"] == ["paraphrase"]
    assert record["controllability"] == pytest.approx(2.5 / 23.5)
    (both,) = analyse(table(), "--json", "--control", "paraphrase，temperature").json
    assert both["controllability"] == pytest.approx(21.5 / 23.5)


def test_wording_alone_has_no_controllability(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [row for row in table() if row[2] == "0.2"])
    arguments = ("--item", "item", "--factors", "paraphrase", "--seed", "seed", "--value", "y")
    result = run_command(analyze, "variance", str(path), *arguments, "--json", session=object())
    (record,) = result.json
    # Means 2 and 3, and a variance of 2 in each: (MS − MSE)/2 = −0.5.
    assert record["components"] == pytest.approx({"paraphrase": -0.5, "seed": 2})
    assert record["controllability"] is record["controllability_interval"] is None
    shown = run_command(analyze, "variance", str(path), *arguments, session=object())
    assert shown.stdout.splitlines()[-1].split("\t")[1:] == [""] * 4


def test_three_factors_have_seven_shares_and_that_of_the_seed(
    analyse: Callable[..., CommandResult],
) -> None:
    rows = [
        [*row[:3], length, *row[3:4], row[4] + (length == "long") * int(row[0]) % 7]
        for row in table()
        for length in ("short", "long")
    ]
    header = ("item", "paraphrase", "temperature", "length", "seed", "y")
    (record,) = analyse(rows, "--json", "--factors", "length", header=header).json
    assert len(record["shares"]) == 8
    assert record["controls"] == ["temperature", "length"]
    assert sum(record["shares"].values()) == pytest.approx(1)


# ---- names and values as they are written ------------------------------------------------------


def test_ids_007_and_7_are_two_items(analyse: Callable[..., CommandResult]) -> None:
    (record,) = analyse(table([*range(18), "007", "7.0"]), "--json").json
    assert record["items"] == 20


def test_chinese_names_and_values_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "表.csv"
    names = {"p1": "写一首诗", "p2": "作诗一首"}
    rows = [[f"题{row[0]}", names[row[1]], *row[2:]] for row in table()]
    write(path, rows, ("题目", "提示词", "温度", "种子", "分数"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    result = run_command(
        analyze, "variance", str(path), "--item", "题目", "--factors", "提示词，温度",
        "--seed", "种子", "--value", "分数", "--control", "温度", "--json", session=object(),
    )  # fmt: skip
    (record,) = result.json
    assert record["shares"]["提示词:温度"] == pytest.approx(3 / 23.5)
    assert record["levels"]["提示词"] == ["写一首诗", "作诗一首"]


def test_level_that_is_a_formula_is_a_name(analyse: Callable[..., CommandResult]) -> None:
    rows = [[row[0], "=1+1" if row[1] == "p1" else "p2", *row[2:]] for row in table()]
    (record,) = analyse(rows, "--json").json
    assert record["levels"]["paraphrase"] == ["=1+1", "p2"]


def test_wordings_may_be_other_ones_in_each_item(analyse: Callable[..., CommandResult]) -> None:
    rows = [[row[0], f"{row[1]} of {row[0]}", *row[2:]] for row in table()]
    (record,) = analyse(rows, "--json").json
    assert record["shares"]["paraphrase"] == pytest.approx(2.5 / 23.5)
    assert record["levels"]["paraphrase"] == ["1", "2"]


def test_seeds_may_be_other_ones_in_each_cell(analyse: Callable[..., CommandResult]) -> None:
    rows = [[*row[:3], number, row[4]] for number, row in enumerate(table())]
    (record,) = analyse(rows, "--json").json
    assert record["shares"]["seed"] == pytest.approx(2 / 23.5)


def test_rows_may_stand_in_any_order(analyse: Callable[..., CommandResult]) -> None:
    (record,) = analyse(sorted(table(), key=lambda row: str(row[::-1])), "--json").json
    assert record["shares"]["temperature"] == pytest.approx(16 / 23.5)


@pytest.mark.parametrize("offset", [2**53, 10**18, 10**200])
def test_large_integers_that_differ_by_little_are_not_equal(
    analyse: Callable[..., CommandResult], offset: int
) -> None:
    rows = [[*row[:4], row[4] + offset] for row in table()]
    (record,) = analyse(rows, "--json").json
    assert record["components"]["seed"] == 2.0


def test_deterministic_outputs_have_a_seed_share_of_zero(
    analyse: Callable[..., CommandResult],
) -> None:
    rows = [[*row[:4], 0.1 * len(str(row[1:3])) + (row[2] == "0.7") / 3] for row in table()]
    (record,) = analyse(rows, "--json").json
    assert record["shares"]["seed"] == 0.0
    assert record["interval"]["seed"] == [0.0, 0.0]


# ---- incomplete items --------------------------------------------------------------------------


def without(rows: Rows, *gone: tuple[Any, ...]) -> Rows:
    return [row for row in rows if tuple(row[:4]) not in gone]


def test_incomplete_items_are_left_out_whole_and_named(
    analyse: Callable[..., CommandResult],
) -> None:
    rows = without(table(), (3, "p1", "0.7", 1), (5, "p2", "0.2", 0), (5, "p2", "0.2", 1))
    result = analyse(rows, "--json")
    (record,) = result.json
    assert record["items"] == 18
    assert record["left_out"] == [
        {
            "item": item,
            "gaps": [
                {
                    "cell": {"paraphrase": wording, "temperature": setting},
                    "outputs": outputs,
                    "expected": 2,
                }
            ],
        }
        for item, wording, setting, outputs in (("3", "p1", "0.7", 1), ("5", "p2", "0.2", 0))
    ]
    assert record["lost"] == [
        {"setting": {"temperature": "0.7"}, "outputs": 1},
        {"setting": {"temperature": "0.2"}, "outputs": 2},
    ]
    assert record["components"]["temperature"] == pytest.approx(16)
    for part in ("item 3", "paraphrase=p1", "temperature=0.7", "1 of 2 outputs"):
        assert part in result.stderr
    assert record["warnings"]


def test_more_than_a_tenth_lost_needs_an_option(analyse: Callable[..., CommandResult]) -> None:
    rows = without(table(), *((item, "p1", "0.7", 1) for item in range(3)))
    message = refused(analyse(rows))
    assert "--allow-incomplete" in message
    assert "item 0, paraphrase=p1, temperature=0.7: 1 of 2 outputs" in message
    (record,) = analyse(rows, "--json", "--allow-incomplete").json
    assert record["items"] == 17


def test_one_incomplete_item_is_singular(analyse: Callable[..., CommandResult]) -> None:
    rows = without(table(), (3, "p1", "0.7", 1))
    assert "1 of 20 items is incomplete" in analyse(rows).stderr


def test_item_without_one_of_its_own_wordings_is_left_out(
    analyse: Callable[..., CommandResult],
) -> None:
    rows = [[row[0], f"{row[1]} of {row[0]}", *row[2:]] for row in table()]
    rows = [row for row in rows if row[1] != "p2 of 4"]
    (record,) = analyse(rows, "--json").json
    assert record["items"] == 19
    gaps = record["left_out"][0]["gaps"]
    assert [gap["cell"]["paraphrase"] for gap in gaps] == [None, None]


def test_stray_level_costs_its_item_only(analyse: Callable[..., CommandResult]) -> None:
    rows = table()
    rows[0][2] = "0.20"
    (record,) = analyse(rows, "--json").json
    assert record["items"] == 19
    assert [gap["outputs"] for gap in record["left_out"][0]["gaps"]] == [1, 1]


@pytest.mark.parametrize(("items", "code"), [(9, 2), (10, 0), (19, 0), (20, 0)])
def test_number_of_items_is_refused_or_warned_about(
    analyse: Callable[..., CommandResult], items: int, code: int
) -> None:
    result = analyse(table(range(items)), "--json")
    assert result.code == code
    if code:
        assert "9 items, and 10 are needed; add items" in refused(result)
    else:
        assert bool(result.json[0]["warnings"]) == bool(result.stderr) == (items < 20)


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["item", "paraphrase", "temperature", "seed", "y"])
def test_missing_column_is_named(analyse: Callable[..., CommandResult], column: str) -> None:
    header = [f"{name}s" if name == column else name for name in HEADER]
    message = refused(analyse(table(), header=header))
    assert f"'{column}'" in message
    assert f"'{column}s'" in message


@pytest.mark.parametrize("value", ["nan", "NaN", "", "text", "inf", "-inf", "1_0", "1e999", "九"])
def test_value_that_is_no_number_is_refused_with_its_line(
    analyse: Callable[..., CommandResult], value: str
) -> None:
    rows = table()
    rows[3][4] = value
    assert "line 5" in refused(analyse(rows))


def test_huge_integer_is_refused(analyse: Callable[..., CommandResult]) -> None:
    rows = table()
    rows[3][4] = "9" * 5000
    assert "line 5" in refused(analyse(rows))


def test_values_whose_squares_overflow_are_refused(analyse: Callable[..., CommandResult]) -> None:
    rows = table()
    rows[3][4] = "-1" + "0" * 299
    refused(analyse(rows))


def test_one_level_of_a_factor_is_refused(analyse: Callable[..., CommandResult]) -> None:
    message = refused(analyse([row for row in table() if row[2] == "0.2"]))
    assert "temperature" in message
    assert "'0.2'" in message


def test_one_seed_a_cell_is_refused(analyse: Callable[..., CommandResult]) -> None:
    assert "seed" in refused(analyse([row for row in table() if row[3] == 0]))


def test_constant_outputs_are_refused(analyse: Callable[..., CommandResult]) -> None:
    refused(analyse([[*row[:4], row[0]] for row in table()]))


def test_repeated_row_is_refused_with_both_lines(analyse: Callable[..., CommandResult]) -> None:
    rows = table()
    message = refused(analyse([*rows, rows[2]]))
    assert "line 4" in message
    assert f"line {len(rows) + 2}" in message


def test_rows_that_differ_in_an_unused_column_are_refused_with_its_name(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", table())
    result = run_command(
        analyze, "variance", str(path), "--item", "item", "--factors", "temperature",
        "--seed", "seed", "--value", "y", session=object(),
    )  # fmt: skip
    message = refused(result)
    assert "lines 2 and 6" in message
    assert "'paraphrase'" in message
    assert "'y'" not in message
    assert "--factors" in message


def test_settings_of_items_without_a_common_level_are_refused(
    analyse: Callable[..., CommandResult],
) -> None:
    rows = [[*row[:2], f"{row[0]}{row[2]}", *row[3:]] for row in table()]
    assert "temperature" in refused(analyse(rows))


@pytest.mark.parametrize(
    "options",
    [
        ("--control", "length"),
        ("--factors", "seed"),
        ("--factors", "paraphrase"),
        ("--factors", "a,b,c"),
        ("--factors", ""),
        ("--factors", "a,,b"),
    ],
)
def test_wrong_names_are_refused(
    analyse: Callable[..., CommandResult], options: tuple[str, ...]
) -> None:
    refused(analyse(table(), *options))


def test_column_in_two_parts_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", table())
    result = run_command(
        analyze, "variance", str(path), "--item", "item", "--factors", "item,temperature",
        "--seed", "seed", "--value", "y", session=object(),
    )  # fmt: skip
    assert "'item'" in refused(result)


def test_column_that_occurs_twice_is_refused(analyse: Callable[..., CommandResult]) -> None:
    rows = [[*row, row[4]] for row in table()]
    assert "'y'" in refused(analyse(rows, header=(*HEADER, "y")))


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"item,paraphrase,temperature,seed,y\n", "no row"),
        ("题目".encode("gb18030"), "UTF-8"),
        ("item,paraphrase".encode("utf-16"), "UTF-8"),
        (b"item,paraphrase,temperature,seed,y\n1,p1,0.2,0\n", "line 2"),
        (b"item,paraphrase,temperature,seed,y\n1,p1,0.2,0,1,9\n", "line 2"),
        (b'item,paraphrase,temperature,seed,y\n1,"p1,0.2,0,1\n', "CSV"),
        (b"item,paraphrase,temperature,seed,y\n,p1,0.2,0,1\n", "line 2"),
        (b"item;paraphrase;temperature;seed;y\n1;p1;0.2;0;1\n", "by a comma"),
        (b"item,paraphrase,temperature,seed,y\n1\n", "1 field instead"),
        (b"import csv\nimport json\n", "by a comma"),
    ],
)
def test_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    assert part in refused(run(path))


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    assert "none.csv" in refused(run(tmp_path / "none.csv"))
    assert str(tmp_path) in refused(run(tmp_path))


def test_record_of_long_texts_is_read(analyse: Callable[..., CommandResult]) -> None:
    rows = [[*row, "x\n" * 100_000] for row in table()]
    result = analyse(rows, "--json", header=(*HEADER, "output"))
    assert json.loads(result.stdout)["items"] == 20
