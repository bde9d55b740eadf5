"""The contract suite for commands, run by pytest."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import click
import pytest
from click.testing import CliRunner

from muniment.cli.context import CliContext, Interrupted
from muniment.cli.error_handler import report
from muniment.cli.root import root
from muniment.errors import MunimentError
from muniment.failures import describe
from muniment.testing.contract import broken, check_import, without_traceback
from muniment.testing.factories import generation

_REPORTED = (
    click.ClickException,
    click.Abort,
    click.exceptions.Exit,
    Interrupted,
    MunimentError,
    SystemExit,
)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The result of a command: its exit code, and its output on both streams."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> list[Any]:
        """The JSON objects on standard output, one a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]


def run_command(
    command: click.Command, *arguments: str, session: Any = None, home: str | Path | None = None
) -> CommandResult:
    """Run a command in this process as `muniment` runs it, without a terminal.

    The command receives `session`, which may be a stand-in with the methods that it calls. Without
    one, it receives a session on the folder `home`, by default that of MUNIMENT_HOME. Exceptions
    that `muniment` would report as a bug are raised.
    """
    context = CliContext(None if home is None else str(home))
    if session is not None:
        context.session = session
    name = f"muniment {command.name}"
    with CliRunner().isolation() as (stdout, stderr, _):
        try:
            value = command.main(
                list(arguments),
                prog_name=name,
                standalone_mode=False,
                obj=context,
                **root.context_settings,
            )
            code = value if isinstance(value, int) else 0
        except _REPORTED as error:
            code = report(error)
        finally:
            if session is None:
                context.close()
            sys.stdout.flush()
            sys.stderr.flush()
    return CommandResult(code, stdout.getvalue().decode(), stderr.getvalue().decode())


class CommandContract:
    """The checks of a command. Subclass it and name the command, and pytest runs them.

    `reads` is true for a command that prints records, which then has the option `--json`. The
    command is called with `arguments`, and with what the fixture `session` returns. `plugin` is the
    module that the entry point names, by default that of the command's function. `import_seconds`
    is the processor time that importing the module may take.
    """

    command: ClassVar[click.Command]
    reads: ClassVar[bool] = True
    arguments: ClassVar[Sequence[str]] = ()
    plugin: ClassVar[str] = ""
    import_seconds: ClassVar[float] = 0.5

    @pytest.fixture
    def session(self) -> Any:
        """Return the session for the command, or None for a real one with two generations."""
        return None

    @property
    def subject(self) -> click.Command:
        """The command under test."""
        found: object = getattr(type(self), "command", None)
        assert found is not None, (
            f"{type(self).__name__} names no command; add `command = your_command` to it"
        )
        assert isinstance(found, click.Command), (
            f"{found!r} is not a click.Command; decorate the function with @click.command"
        )
        return found

    @without_traceback
    def test_it_is_a_command(self) -> None:
        """Check that the object is a `click.Command`, which the entry point must name."""
        assert self.subject.name, "the command has no name"

    @without_traceback
    def test_it_and_its_options_have_help(self) -> None:
        """Check that the command, its subcommands and all their options have help."""
        for path, command in _commands(self.subject):
            assert (command.help or "").strip(), (
                f"command {path} has no help; write a docstring for its function"
            )
            for parameter in command.params:
                assert not isinstance(parameter, click.Option) or (parameter.help or "").strip(), (
                    f"option {parameter.opts[0]} of {path} has no help; add help='…'"
                )

    @without_traceback
    def test_its_help_is_printed_on_standard_output(self) -> None:
        """Check that `--help` succeeds without a session, and prints on standard output."""
        result = self._run("--help", session=object())
        assert (result.code, bool(result.stdout), result.stderr) == (0, True, ""), (
            f"--help ended with exit code {result.code}, {len(result.stdout)} characters on "
            f"standard output and {result.stderr[:80]!r} on standard error"
        )

    @without_traceback
    def test_an_unknown_option_is_an_error_of_one_line(self) -> None:
        """Check that an unknown option has exit code 2, and a sentence instead of a traceback."""
        result = self._run("--no-such-option", session=object())
        lines = result.stderr.splitlines()
        assert (result.code, len(lines), result.stdout) == (2, 1, ""), (
            f"--no-such-option ended with exit code {result.code} and {len(lines)} lines on "
            "standard error; let click report mistakes, with exit code 2 and one line"
        )

    @without_traceback
    def test_its_import_is_light_and_quiet(self) -> None:
        """Check the import of the module, which the help of a group repeats for every command."""
        function = inspect.unwrap(self.subject.callback) if self.subject.callback else None
        module = self.plugin or (function.__module__ if function else "")
        assert module, f"the suite does not know the module of {self.subject.name}; set `plugin`"
        check_import(function or type(self), module, self.import_seconds)

    @without_traceback
    def test_it_offers_json(self) -> None:
        """Check that a command which prints records has the option `--json`."""
        if not self.reads:
            pytest.skip("the suite sets `reads = False`")
        if isinstance(self.subject, click.Group):
            pytest.skip("a group prints nothing; subclass the suite for each of its commands")
        assert any("--json" in parameter.opts for parameter in self.subject.params), (
            f"{self.subject.name} has no option --json; use muniment.command.json_option and "
            "emit, or set `reads = False` for a command that prints no records"
        )

    @without_traceback
    def test_it_prints_only_data_on_standard_output(self, session: Any, tmp_path: Path) -> None:
        """Check that a record is printed, and only JSON objects on standard output, with `--json`.

        Without a record nothing would be checked. `arguments` and `session` must lead to one.
        """
        if not self.reads or isinstance(self.subject, click.Group):
            pytest.skip("only a command that prints records is called")
        home = tmp_path / "home"
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("MUNIMENT_STORE", raising=False)  # the store is that of the home folder
            if session is None:
                _record_generations(home)
            result = self._run(*self.arguments, "--json", session=session, home=home)
        assert result.code in (0, 1, 3, 4), (
            f"{self.subject.name} ended with exit code {result.code}: "
            f"{result.stderr.strip()[:200]}; set the suite's `arguments` and `session`"
        )
        assert result.stdout, (
            f"{self.subject.name} --json printed no record; set the suite's `arguments` and "
            "`session`, so that it prints one"
        )
        for line in result.stdout.splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            assert isinstance(value, dict), (
                f"{self.subject.name} --json prints {line[:80]!r}, which is not a JSON object; "
                "print messages with muniment.command.write_note"
            )

    def _run(self, *arguments: str, **options: Any) -> CommandResult:
        try:
            return run_command(self.subject, *arguments, **options)
        except Exception as error:
            broken(
                f"{self.subject.name} {' '.join(arguments)} raises {describe(error)}; raise a "
                "muniment.MunimentError for what a user can correct"
            )


def _record_generations(home: Path) -> None:
    """Record two completed generations in the store of a home folder."""
    from muniment.session.session import Session  # only for a suite that has no session of its own

    ended = [generation(text, tags=("tales",)) for text in ("once upon a time", "the end")]
    started = [replace(item, status="started", outputs=(), finished_at=None) for item in ended]
    with Session(home) as session:
        session.ensure_store()
        session.store.record_started(started, policy_document="")
        session.store.record_outcomes(ended)


def _commands(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    path = f"{path} {command.name}".strip()
    yield path, command
    if isinstance(command, click.Group):
        for nested in command.commands.values():
            yield from _commands(nested, path)
