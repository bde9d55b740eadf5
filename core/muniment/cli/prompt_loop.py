"""The prompts and commands that `muniment shell` reads, and the answers that it shows."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import TypeAlias

import muniment
from muniment.cli import exit_codes
from muniment.cli.answers import Answers
from muniment.cli.help_language import help_formatter
from muniment.cli.options import parameters_given
from muniment.cli.output import on_terminal, one_line, write_data, write_note, write_prompt
from muniment.cli.progress import waiting
from muniment.cli.signals import Terminated, forget, sparing_imports
from muniment.cli.values import parameter_text
from muniment.errors import (
    MunimentError,
    PromptError,
    StoreError,
    UsageError,
    similar_names,
)
from muniment.generation.seeds import parse_seed
from muniment.language import gettext
from muniment.plugins.objects import RegisteredObject
from muniment.types.generations import Generation
from muniment.types.replies import Chunk

_COMMANDS = ("set", "seed", "system", "again", "help", "quit", "exit")

# Lines that are meant as commands, and what to do instead.
_HINTS = {
    **dict.fromkeys(
        ("exit", "quit", ":q", "exit()", "quit()", "退出", "结束"),
        "use /quit or Ctrl-D to end the shell",
    ),
    **dict.fromkeys(("help", "?", "？", "帮助"), "use /help to list the commands"),
}

Answering: TypeAlias = Generator[Generation | Chunk, None, None]


class PromptLoop:
    """A sequence of prompts and commands, whose prompts form one run."""

    def __init__(
        self,
        session: muniment.Session,
        registered: RegisteredObject,
        spec: muniment.GenerationSpec,
        run: str,
        answers: Answers,
    ) -> None:
        self._session, self._registered, self._spec, self._run = session, registered, spec, run
        self._terminal = sys.stdin.isatty()
        self._edits = False  # whether readline reads the prompts
        self._answers = answers
        self._last = ""  # id of the last generation
        self._code = exit_codes.DONE
        self._ended = False
        self._arrived: Callable[[], None] = lambda: None  # ends the spinner

    def run(self, generate: Callable[[Iterator[muniment.GenerationSpec]], Answering]) -> int:
        """Read and answer prompts until the end of the input, and return the exit code.

        `generate` is `Session.run` with its other arguments. It is called again after an answer
        that ended with an exception.
        """
        if self._terminal:
            with contextlib.suppress(ImportError):  # Windows has no readline
                import readline  # noqa: F401 - `input` uses it to edit a line

                self._edits = on_terminal()
            hint = gettext("/help lists the commands, Ctrl-D ends the shell")
            write_note(f"run {self._run}  {hint}")
        with sparing_imports() if self._terminal else contextlib.nullcontext():
            self._answer_all(generate)
        if self._terminal:  # the user has seen each status, and the shell itself succeeded
            return exit_codes.DONE
        return exit_codes.worst((self._code, self._answers.code))

    def _answer_all(
        self, generate: Callable[[Iterator[muniment.GenerationSpec]], Answering]
    ) -> None:
        while not self._ended:
            with contextlib.closing(self._specs()) as specs:
                answers = generate(specs)
                try:
                    with contextlib.closing(answers):
                        self._show(answers)
                except Terminated:
                    raise
                except KeyboardInterrupt:
                    if not self._terminal:
                        raise
                    self._report_interruption()
                except MunimentError as error:
                    if not (self._terminal or isinstance(error, UsageError)):
                        raise
                    self._report(error)

    def _show(self, answers: Answering) -> None:
        for item in answers:
            self._arrived()
            self._answers.show(item)
            if isinstance(item, Generation):
                self._last = item.id

    def _specs(self) -> Generator[muniment.GenerationSpec]:
        """Yield a spec for each prompt, and follow the commands between them."""
        while (line := self._read()) is not None:
            try:
                spec = self._spec_of(line)
            except MunimentError as error:
                self._report(error)
                continue
            if spec is not None:
                forget()  # a Ctrl-C at the prompt
                with waiting("preparing") as self._arrived, _unedited(self._edits):
                    yield spec
            if self._ended:
                return
        self._ended = True

    def _read(self) -> str | None:
        """Return the next line that is not empty, or None at the end of the input."""
        while True:
            try:
                line = self._read_line()
            except Terminated:
                raise
            except KeyboardInterrupt:
                if not self._terminal:
                    raise
                write_note("")
                continue
            except PromptError as error:
                self._report(error)
                continue
            if line is None or line.strip():
                return line

    def _read_line(self) -> str | None:
        prompt = f"{self._registered.name}> "
        if self._terminal and on_terminal():
            try:
                return input(prompt)
            except EOFError:
                write_data()
                return None
        if self._terminal:  # and the output goes to a file
            write_prompt(prompt)
        raw = sys.stdin.buffer.readline()
        try:
            return raw.removeprefix(b"\xef\xbb\xbf").decode().rstrip("\r\n") if raw else None
        except UnicodeDecodeError:
            raise PromptError("a line of standard input is not valid UTF-8") from None

    def _spec_of(self, line: str) -> muniment.GenerationSpec | None:
        """Return the spec of a prompt, or None after a command that needs no generation."""
        if self._terminal and (remedy := _HINTS.get(line.rstrip())):
            raise UsageError(f"{line.rstrip()} is no prompt; {remedy}, or write a space before it")
        if line.startswith("//") or not line.startswith("/"):
            return replace(self._spec, prompt=line.removeprefix("/"))
        command, _, rest = line[1:].partition(" ")
        match command, rest.strip():
            case "set", "":
                self._list_parameters()
            case "set", text:
                self._set(text)
            case "seed", "random":
                self._spec = replace(self._spec, seed=None)
            case "seed", text:
                self._spec = replace(self._spec, seed=parse_seed(text))
            case "system", text:
                self._spec = replace(self._spec, system=text or None)
                if text and self._terminal:
                    write_note(gettext("/system alone removes the system prompt."))
            case "again", "":
                return self._again()
            case (("quit" | "exit"), ""):
                self._ended = True
            case "help", "":
                write_note(_help())
            case _:
                similar = [f"/{name}" for name in similar_names(command, _COMMANDS)]
                meant = f" (did you mean {' or '.join(similar)}?)" if similar else ""
                raise UsageError(
                    f"the shell has no command {one_line(line):.80}{meant}; /help lists the "
                    "commands, and a prompt that begins with / is written with //"
                )
        return None

    def _set(self, text: str) -> None:
        name, _, value = text.replace("=", " ", 1).partition(" ")
        pairs = ((name.strip("-").replace("-", "_"), value.strip()),)
        given = parameters_given(pairs, self._registered.parameters.fields())
        parameters = {**self._spec.parameters, **given}
        self._registered.parameters(**parameters)  # raises ParameterError
        self._spec = replace(self._spec, parameters=parameters)

    def _list_parameters(self) -> None:
        parameters = dict(self._registered.parameters(**self._spec.parameters))
        width = max(map(len, parameters), default=0)
        for name, value in parameters.items():
            text = "" if value is None else one_line(parameter_text(value))
            write_data(f"{name:<{width}}  {text}".rstrip())

    def _again(self) -> muniment.GenerationSpec:
        if not self._last:
            raise UsageError("no request can be repeated yet; enter a prompt first")
        spec = self._spec
        changes = {"system": spec.system, "seed": spec.seed, "tags": spec.tags}
        return self._session.like(
            self._last,
            parameters=spec.parameters,
            **{name: value for name, value in changes.items() if value},
        )

    def _report(self, error: MunimentError) -> None:
        self._arrived()
        self._answers.break_line()
        self._code = exit_codes.worst((self._code, exit_codes.of_error(error)))
        write_note(f"Error: {one_line(str(error))}")

    def _report_interruption(self) -> None:
        """Print the status of the interrupted generation, unless nothing was recorded of it."""
        self._arrived()
        self._answers.break_line()
        recorded: list[Generation] = []
        with contextlib.suppress(StoreError):  # nothing was recorded at all
            query = muniment.Query(run=self._run, limit=1)
            recorded = list(self._session.store.generations(query))
        if recorded and recorded[0].id != self._last:
            self._last = recorded[0].id
            self._answers.write_status(recorded[0])
        else:
            write_note("interrupted")


@contextlib.contextmanager
def _unedited(reads_keys: bool) -> Iterator[None]:
    """Keep the keys that are typed during the block, Ctrl-D among them, for readline.

    Otherwise the terminal collects whole lines meanwhile, and readline gets no Ctrl-D.
    """
    if not reads_keys:
        yield
        return
    import termios  # missing on Windows, as readline is

    before = termios.tcgetattr(sys.stdin)
    keys = [*before]
    keys[3] &= ~termios.ICANON
    termios.tcsetattr(sys.stdin, termios.TCSANOW, keys)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal was closed
            termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


def _help() -> str:
    formatter = help_formatter()
    formatter.write_dl(
        [
            (
                "/set NAME VALUE",
                gettext("Set a parameter of the following prompts. /set alone lists them."),
            ),
            (
                "/seed N",
                gettext("Use a seed for the following prompts. /seed random draws one for each."),
            ),
            ("/system TEXT", gettext("Use a system prompt. /system alone removes it.")),
            (
                "/again",
                gettext("Repeat the last request with its seed and the current settings."),
            ),
            ("/help", gettext("List the commands.")),
            ("/quit", gettext("End the shell, as Ctrl-D does.")),
            ("Ctrl-C", gettext("Interrupt the generation in progress.")),
            ("//TEXT", gettext("A prompt that begins with one /.")),
        ]
    )
    return formatter.getvalue().rstrip("\n")
