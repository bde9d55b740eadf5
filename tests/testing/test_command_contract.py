"""Every check of the suite for commands passes a good command and fails one that breaks it."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import click
import pytest

import muniment.testing
from muniment import command
from muniment.store.errors import NoStoreError
from muniment.testing import CommandContract
from support.plugins import PluginFolder

HELP = "it_and_its_options_have_help"
PRINTED = "its_help_is_printed_on_standard_output"
UNKNOWN = "an_unknown_option_is_an_error_of_one_line"
IMPORT = "its_import_is_light_and_quiet"
JSON = "it_offers_json"
DATA = "it_prints_only_data_on_standard_output"
KIND = "it_is_a_command"


@click.command
@command.generation_filters(limit=5)
@command.headers_option
@command.json_option
@command.pass_session
def words(session: Any, query: muniment.Query, as_json: bool) -> None:
    """Count words."""
    with command.progress("counting") as bar:
        records = [
            {"id": one.id, "words": len(one.text.split())} for one in session.generations(query)
        ]
        bar.note("counted")
    command.emit(records, [("id", "id"), ("words", "words")], as_json, empty="no words")


class Recorded:
    """A session with two generations."""

    def __init__(self) -> None:
        self.query: muniment.Query | None = None

    def generations(self, query: muniment.Query) -> list[muniment.Generation]:
        self.query = query
        return [muniment.testing.generation("to be"), muniment.testing.generation("not")]


@click.group
def group() -> None:
    """Group commands."""


group.add_command(words)


@click.command
def without_help() -> None:
    pass


@click.command
@click.option("--number")
@command.json_option
def without_option_help(number: str, as_json: bool) -> None:
    """Print nothing."""


@click.group
def with_a_bad_one() -> None:
    """Group commands."""


with_a_bad_one.add_command(without_help)


class Loud(click.Command):
    """Prints its help on standard error, and a traceback for a mistake."""

    def get_help(self, ctx: click.Context) -> str:
        click.echo("help", err=True)
        return ""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--no-such-option" in args:
            raise ArithmeticError("two\nlines")
        return super().parse_args(ctx, args)


@click.command(cls=Loud)
@command.json_option
def loud(as_json: bool) -> None:
    """Print too much."""
    click.echo("counting")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("rest", nargs=-1)
def quiet(rest: tuple[str, ...]) -> None:
    """Take anything."""


@click.command
@command.json_option
def buggy(as_json: bool) -> None:
    """Fail."""
    raise SystemExit(2)


@click.command
@command.json_option
def empty(as_json: bool) -> None:
    """Print no record."""
    command.emit([], [("id", "id")], as_json)


@click.command
@command.json_option
def missing(as_json: bool) -> None:
    """Read a store that does not exist."""
    raise NoStoreError("sqlite:///none.db", "none.db")


def check(subject: object, point: str, tmp_path: Path, session: Any = None, **more: Any) -> None:
    suite = type("TestIt", (CommandContract,), {"command": subject, **more})()
    method = getattr(suite, f"test_{point}")
    fixtures = {"session": session, "tmp_path": tmp_path}
    method(**{name: fixtures[name] for name in inspect.signature(method).parameters})


def points() -> list[str]:
    return [name.removeprefix("test_") for name in dir(CommandContract) if name.startswith("test_")]


@pytest.mark.parametrize("point", points())
def test_a_good_command_passes_every_check(point: str, tmp_path: Path) -> None:
    check(words, point, tmp_path, Recorded())


def test_a_reading_command_needs_no_session_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []

    @click.command
    @command.generation_filters()
    @command.json_option
    @command.pass_session
    def texts(session: muniment.Session, query: muniment.Query, as_json: bool) -> None:
        """List texts."""
        listed.extend(item.text for item in session.generations(query))
        command.emit([{"text": text} for text in listed], [("text", "text")], as_json)

    monkeypatch.setenv("MUNIMENT_STORE", f"sqlite:///{tmp_path}/other.db")
    check(texts, DATA, tmp_path)
    assert len(listed) == 2
    assert not (tmp_path / "other.db").exists()


CASES: list[tuple[object, str, str]] = [
    (print, KIND, "is not a click.Command; decorate the function with @click.command"),
    (without_help, HELP, "command without-help has no help; write a docstring"),
    (with_a_bad_one, HELP, "command with-a-bad-one without-help has no help"),
    (without_option_help, HELP, "option --number of without-option-help has no help"),
    (loud, PRINTED, "'help.n' on standard error"),
    (
        loud,
        UNKNOWN,
        r"--no-such-option raises ArithmeticError: two \(.*\.py:\d+\); raise a muniment",
    ),
    (quiet, UNKNOWN, "ended with exit code 0 and 0 lines on standard error"),
    (without_help, JSON, "has no option --json; use muniment.command.json_option"),
    (loud, DATA, "prints 'counting', which is not a JSON object"),
    (buggy, DATA, "ended with exit code 2"),
    (empty, DATA, "--json printed no record; set the suite's `arguments` and `session`"),
    (missing, DATA, "ended with exit code 2: .*nothing is recorded yet"),
]


@pytest.mark.parametrize(("subject", "point", "complaint"), CASES)
def test_a_command_that_breaks_a_point_fails_in_one_sentence(
    subject: object, point: str, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(pytest.fail.Exception, match=complaint) as caught:
        check(subject, point, tmp_path)
    assert "\n" not in str(caught.value)
    assert caught.value.pytrace is False


@pytest.mark.parametrize(
    ("subject", "point", "more"),
    [
        (without_help, JSON, {"reads": False}),
        (without_help, DATA, {"reads": False}),
        (group, JSON, {}),
        (group, DATA, {}),
    ],
)
def test_a_check_that_does_not_apply_is_skipped(
    subject: object, point: str, more: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(pytest.skip.Exception):
        check(subject, point, tmp_path, **more)


def test_a_suite_without_a_command_says_so() -> None:
    with pytest.raises(pytest.fail.Exception, match="add `command = your_command`"):
        CommandContract().test_it_is_a_command()


MODULE = """
    {0}
    import click
    @click.command
    def made():
        '''Do nothing.'''
"""


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("print('hello')", "printed 'hello.n'; print nothing while"),
        ("import numpy", "imports numpy; import it inside the function that needs it"),
        ("sum(range(30_000_000))", "of processor time, and may take 0.1 s"),
        ("import sys\n    if 'pytest' not in sys.modules: import gone", "No module named 'gone'"),
    ],
)
def test_an_import_that_is_not_light_and_quiet_fails(
    plugin_folder: PluginFolder, tmp_path: Path, line: str, complaint: str
) -> None:
    plugin = plugin_folder.add(MODULE.format(line))
    made = importlib.import_module(plugin.module).made
    with pytest.raises(pytest.fail.Exception, match=complaint):
        check(made, IMPORT, tmp_path, import_seconds=0.1)


def test_every_check_can_fail() -> None:
    assert {point for _, point, _ in CASES} | {IMPORT} == set(points())


def test_run_command_runs_as_the_command_line_does(tmp_path: Path) -> None:
    session = Recorded()
    result = muniment.testing.run_command(words, "--actor", "王", "-n", "3", session=session)
    assert (result.code, result.stderr) == (0, "counted\n")
    assert [line.split("\t")[1] for line in result.stdout.splitlines()] == ["2", "1"]
    assert session.query == muniment.Query(actor="王", limit=3)
    as_json = muniment.testing.run_command(words, "--json", session=session)
    assert [record["words"] for record in as_json.json] == [2, 1]
    missing = muniment.testing.run_command(words, "--status", "odd", session=session)
    assert (missing.code, len(missing.stderr.splitlines())) == (2, 1)
    on_a_home = muniment.testing.run_command(words, home=tmp_path)
    assert isinstance(on_a_home, muniment.testing.CommandResult)
    assert on_a_home.code == 2


def test_run_command_accepts_the_short_option_for_help() -> None:
    result = muniment.testing.run_command(words, "-h")
    assert (result.code, "-h, --help" in result.stdout) == (0, True)
