"""`muniment db sql`: shapes of the output, and errors."""

from __future__ import annotations

import csv
import io
import json
import signal
from pathlib import Path

import pytest

from support.commands import Here, Processes

VALUES = (
    "SELECT 9223372036854775807 AS number, 0.1 AS ratio, x'00ff' AS bytes, NULL AS missing, "
    "'多行' || char(10) || char(9) || '\"x\",' AS text, 9e999 AS infinite"
)


@pytest.fixture
def recorded(muniment: Here) -> Here:
    muniment("generate", "echo", "one")
    muniment("generate", "echo", "two")
    return muniment


def test_piped_output_has_tab_separated_columns(recorded: Here) -> None:
    result = recorded("db", "sql", VALUES)
    assert result.code == 0
    assert result.rows == [["9223372036854775807", "0.1", "00ff", "", '多行\\n\\t"x",', "inf"]]


def test_json_is_one_object_a_row(recorded: Here) -> None:
    result = recorded("db", "sql", VALUES, "--json")
    assert [json.loads(line) for line in result.lines] == [
        {
            "number": 2**63 - 1,
            "ratio": 0.1,
            "bytes": "00ff",
            "missing": None,
            "text": '多行\n\t"x",',
            "infinite": "inf",
        }
    ]


def test_csv_has_a_line_of_names(recorded: Here) -> None:
    result = recorded("db", "sql", VALUES, "--csv")
    assert list(csv.reader(io.StringIO(result.out, newline=""))) == [
        ["number", "ratio", "bytes", "missing", "text", "infinite"],
        ["9223372036854775807", "0.1", "00ff", "", '多行\n\t"x",', "inf"],
    ]


def test_a_terminal_gets_a_table(recorded: Here, processes: Processes) -> None:
    result = processes.on_terminal("db", "sql", "SELECT 1 AS one, '卫' || char(27) AS two")
    lines = result.out.splitlines()
    assert [line.split() for line in lines[-2:]] == [["one", "two"], ["1", "卫\\x1b"]]
    again = processes.on_terminal("db", "sql", "SELECT char(27) AS two", "--csv")
    assert again.err.splitlines()[-1] == "\\x1b"


def test_the_note_that_nothing_is_checked_is_one_line(recorded: Here) -> None:
    for more in ([], ["--json"], ["--csv"]):
        result = recorded("db", "sql", "SELECT 1", *more)
        assert len(result.err.splitlines()) == 1
        assert "commitments" in result.err


@pytest.mark.parametrize(
    ("statement", "more"),
    [
        ("SELECT nothing", []),
        ("DELETE FROM entry", []),
        ("SELECT 1; SELECT 2", []),
        ("", []),
        ("SELECT 1 AS a, 2 AS a", ["--json"]),
        ("SELECT 1", ["--json", "--csv"]),
    ],
)
def test_a_mistake_is_one_line_and_a_usage_error(
    recorded: Here, statement: str, more: list[str]
) -> None:
    result = recorded("db", "sql", statement, *more)
    assert (result.code, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    assert result.err.startswith("Error: ")


def test_an_argument_that_is_not_utf8_is_a_usage_error(
    recorded: Here, processes: Processes
) -> None:
    result = processes("db", "sql", b"SELECT '\xff'")
    assert result.code == 2
    assert len(result.err.splitlines()) == 1


def test_repeated_names_are_possible_except_in_json(recorded: Here) -> None:
    assert recorded("db", "sql", "SELECT 1 AS a, 2 AS a").rows == [["1", "2"]]
    assert recorded("db", "sql", "SELECT 1 AS a, 2 AS a", "--csv").lines == ["a,a", "1,2"]
    assert "'a'" in recorded("db", "sql", "SELECT 1 AS a, 2 AS a", "--json").err


def test_a_missing_store_is_not_created(muniment: Here, home: Path) -> None:
    result = muniment("db", "sql", "SELECT 1")
    assert result.code == 2
    assert not (home / "muniment.db").exists()


def test_rows_are_printed_while_they_are_read(recorded: Here, processes: Processes) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, 'row' FROM n"
    )
    for more in ([], ["--json"], ["--csv"]):
        with processes.started("db", "sql", endless, *more) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(5000)]
            assert "4999" in lines[-2 if "--csv" not in more else -1]
            process.send_signal(signal.SIGINT)
            process.stdout.close()
            assert process.wait(30) in (130, 1)


def test_ctrl_c_before_the_first_row_exits_with_130(recorded: Here, processes: Processes) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    with processes.started("db", "sql", endless) as process:
        with pytest.raises(Exception, match="timed out"):
            process.wait(3)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr is not None
        assert process.stderr.read() == "Interrupted\n"
