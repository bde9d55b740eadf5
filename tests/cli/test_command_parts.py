"""`muniment.command`: the parts that commands of plugins are made of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click
import pytest

import muniment
from muniment import command
from muniment.provenance import from_json, to_json
from muniment.testing import run_command
from muniment.testing.commands import CommandResult
from support.media import DOTS
from support.plugins import PluginFolder


@dataclass(frozen=True)
class Row:
    name: str
    number: float | None
    tags: tuple[str, ...] = ()
    ready: bool = False


ROWS = [Row("一\t1", 0.5, ("a", "b"), True), Row("two", None)]
COLUMNS: list[command.Column[Row]] = [
    ("name", "name"),
    ("number", "number"),
    ("tags", "tags"),
    ("ready", "ready"),
    ("first", lambda row: row.name[0]),
]


def printed(capsys: pytest.CaptureFixture[str]) -> tuple[list[list[str]], str]:
    out, err = capsys.readouterr()
    return [line.split("\t") for line in out.splitlines()], err


class TestEmit:
    def test_values_are_tab_separated_off_a_terminal(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert command.emit(ROWS, COLUMNS, False) == 2
        rows, err = printed(capsys)
        assert rows == [["一\\t1", "0.5", "a, b", "yes", "一"], ["two", "", "", "no", "t"]]
        assert err == ""

    def test_json_is_one_object_a_line(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert command.emit(ROWS, COLUMNS, True) == 2
        lines = capfd.readouterr().out.splitlines()
        assert json.loads(lines[0]) == {
            "name": "一\t1",
            "number": 0.5,
            "tags": ["a", "b"],
            "ready": True,
        }
        assert "一" in lines[0]
        command.emit(ROWS, COLUMNS, True, to_json=lambda row: {"n": row.name})
        assert json.loads(capfd.readouterr().out.splitlines()[1]) == {"n": "two"}

    def test_a_record_is_a_mapping_a_class_or_has_its_own_json(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        generation = muniment.testing.generation("to be")
        command.emit([{"a": 1}], [("a", "a")], True)
        command.emit([generation], [("id", "id")], True)
        command.emit([muniment.Text("x")], [], True, to_json=lambda text: {"text": text.text})
        lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
        assert lines[0] == {"a": 1}
        assert lines[1] == json.loads(json.dumps(generation.to_json()))
        assert lines[2] == {"text": "x"}

    def test_json_of_a_record_has_its_values_as_they_are(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        when = datetime(2026, 1, 31, 12, tzinfo=UTC)
        values = {"at": when, "file": Path("a"), "row": ROWS[1], "more": MappingProxyType({"b": 1})}
        command.emit_one(values, [], True)
        assert json.loads(capfd.readouterr().out) == {
            "at": "2026-01-31T12:00:00.000Z",
            "file": "a",
            "row": {"name": "two", "number": None, "tags": [], "ready": False},
            "more": {"b": 1},
        }

    @pytest.mark.parametrize("as_json", [False, True])
    def test_no_records_are_a_note(self, as_json: bool, capfd: pytest.CaptureFixture[str]) -> None:
        assert command.emit([], COLUMNS, as_json, empty="nothing matches") == 0
        assert capfd.readouterr() == ("", "nothing matches\n")

    def test_records_are_printed_as_they_come(self, capfd: pytest.CaptureFixture[str]) -> None:
        def rows() -> Iterator[Row]:
            yield ROWS[1]
            assert capfd.readouterr().out.startswith("two")

        command.emit(rows(), COLUMNS, False)

    def test_times_are_utc_off_a_terminal(self, capsys: pytest.CaptureFixture[str]) -> None:
        when = datetime(2026, 1, 31, 12, tzinfo=UTC)
        command.emit([{"at": when, "more": {"b": 1}}], [("at", "at"), ("more", "more")], False)
        assert printed(capsys)[0] == [["2026-01-31T12:00:00.000Z", '{"b": 1}']]

    def test_one_record_is_a_line_for_each_value(self, capfd: pytest.CaptureFixture[str]) -> None:
        command.emit_one(ROWS[1], COLUMNS, False)
        assert capfd.readouterr().out == "name   two\nready  no\nfirst  t\n"
        command.emit_one(ROWS[1], COLUMNS, True)
        assert json.loads(capfd.readouterr().out)["name"] == "two"


@click.command
@command.headers_option
@command.json_option
def numbers(as_json: bool) -> None:
    """Print two tables."""
    for name in ("first", "second"):
        command.emit([{"n": 1}], [(name, "n")], as_json)


def test_headers_stand_above_every_table_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    numbers.main(["--headers"], standalone_mode=False)
    assert capsys.readouterr().out == "first\n1\nsecond\n1\n"
    numbers.main([], standalone_mode=False)
    assert capsys.readouterr().out == "1\n1\n"
    with pytest.raises(click.UsageError, match="--headers"):
        numbers.main(["--headers", "--json"], standalone_mode=False)


@click.command("copy")
@command.output_option
@command.overwrite_option
@command.yes_option
@command.limit_option(2)
@command.json_option
def copy(output: str, overwrite: bool, yes: bool, limit: int, as_json: bool) -> int:
    """Write a file after a question."""
    target = command.OutputFile(output, overwrite=overwrite)
    if not command.confirm("write a file", yes=yes, otherwise="nothing was written"):
        return 1
    with command.progress("writing", limit) as bar:
        assert isinstance(bar, command.Progress)
        for number in range(limit):
            bar.advance(1)
            bar.write(str(number))
    with command.progress("closing") as spinner:
        spinner.advance(1)
        spinner.write("closed")
        spinner.note("a note")
    target.write_bytes(b"content")
    if as_json:
        command.write_json({"file": output})
    else:
        command.write_data("done")
    command.write_note(f"really done, {command.pluralize(limit, 'line')}")
    return 0


def test_a_command_asks_shows_progress_and_writes_a_file(tmp_path: Path) -> None:
    target = str(tmp_path / "file")
    refused = run_command(copy, "-o", target)
    assert (refused.code, refused.stdout) == (2, "")
    assert "this will write a file; use --yes" in refused.stderr
    done = run_command(copy, "-o", target, "--yes", "-n", "3")
    assert (done.code, done.stdout) == (0, "0\n1\n2\nclosed\ndone\n")
    assert done.stderr == "Confirmed with --yes: write a file\na note\nreally done, 3 lines\n"
    assert Path(target).read_bytes() == b"content"
    again = run_command(copy, "-o", target, "--yes")
    assert (again.code, target in again.stderr) == (2, True)
    as_json = run_command(copy, "-o", target, "--yes", "--overwrite", "--json")
    assert json.loads(as_json.stdout.splitlines()[-1]) == {"file": target}


def test_the_note_on_copies_is_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    command.write_note_on_copies()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "backups" in captured.err


def test_a_command_run_without_muniment_has_a_session_of_its_own(
    home: Path, tmp_path: Path
) -> None:
    seen: list[Any] = []

    @click.command
    @command.pass_session
    def look(session: muniment.Session) -> None:
        """Look at the session."""
        seen.append(session)

    look.main([], standalone_mode=False)
    assert seen[0].home == home


def test_filters_without_a_limit_leave_the_name_to_the_command(tmp_path: Path) -> None:
    seen: list[Any] = []

    @click.command
    @command.generation_filters()
    @click.option("--limit", default=3, help="Limit.")
    def look(query: muniment.Query, limit: int) -> None:
        """Look at the query."""
        seen.append((query, limit))

    assert run_command(look, "--tag", "a", "--seed", "7", session=object()).code == 0
    assert seen == [(muniment.Query(tag="a", seed=7), 3)]
    assert run_command(look, "--seed", "x", session=object()).code == 2


def test_an_interrupted_run_names_the_command_that_shows_it(
    home: Path, plugin_folder: PluginFolder
) -> None:
    @click.command
    @command.pass_session
    def draw(session: muniment.Session) -> None:
        """Generate twice, and be interrupted."""
        spec = muniment.GenerationSpec("a", "echo")
        with command.new_run(session) as run:
            list(session.run([spec, spec], run_id=run))
            raise KeyboardInterrupt

    with muniment.Session(home, plugins=plugin_folder.plugins()) as session:
        result = run_command(draw, session=session)
        [run] = {generation.run_id for generation in session.generations()}
    assert result.code == 130
    assert f"muniment audit list --run {run}" in result.stderr


class Export(muniment.Parameters):
    """The options of files of the media type in `support.media.DOTS`."""

    scale: int = muniment.param(1, ge=1, le=9, help="size of a dot")


@click.command
@command.output_option
@command.file_options(Export)
@command.pass_session
def joined(session: muniment.Session, output: str, file_options: dict[str, Any]) -> None:
    """Write the outputs of the home to one file, twice as large as asked."""
    target = command.OutputFile(output)
    file = command.FileFormat(
        lambda: session.media, "application/x-dots", target, combine=True, **file_options
    )

    def draw(provenances: Sequence[muniment.Provenance], suffix: str, options: Any) -> bytes:
        dots = {"dots": [suffix], "from": to_json(provenances), "scale": 2 * options.scale}
        return json.dumps(dots).encode()

    outputs = [(item, item.outputs[0]) for item in session.generations()]
    target.write(file.combined(outputs, draw), (), file.written_type(outputs[0][1]))


def test_a_command_writes_one_file_of_several_outputs(
    home: Path, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    plugin_folder.add(DOTS)
    target = tmp_path / "a.json"
    with muniment.Session(home, plugins=plugin_folder.plugins()) as session:
        list(session.run([muniment.GenerationSpec("x", "dotter")], samples_each=2, policy="none"))

        def run(*arguments: str) -> CommandResult:
            return run_command(joined, "-o", *arguments, session=session)

        result = run(str(target), "--scale", "3", "--private")
        assert result.code == 0, result.stderr
        content = json.loads(target.read_bytes())
        assert (content["dots"], content["scale"]) == ([".json"], 6)
        assert [item.prompt for item in from_json(content["from"])] == ["", ""]
        for arguments, part in (
            (("b.json", "--visible-label", "en"), "--visible-label"),
            (("b.json", "--scale", "10"), "scale"),
            (("b.png",), "b.png"),
        ):
            refused = run(str(tmp_path / arguments[0]), *arguments[1:])
            assert refused.code == 2
            assert part in refused.stderr
