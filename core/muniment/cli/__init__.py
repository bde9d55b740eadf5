"""Entry point of the command line.

Commands print data on stdout and messages on stderr, and return the exit codes of
docs/reference/exit-codes.md. A module has the commands of one subject. It is imported when one of
them is used.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
from collections.abc import Iterator, Sequence

from muniment.cli import exit_codes
from muniment.cli.signals import interrupt_at_signals
from muniment.errors import PromptError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (docs/reference/exit-codes.md).

    `arguments` defaults to those of the process. An exception becomes one line on stderr. If
    `MUNIMENT_TRACEBACK` is set, an unexpected one is raised instead.
    """
    ends: list[int] = []
    if arguments is None:
        interrupt_at_signals(ends)
        # The garbage collection at exit took half a second of processor time with torch.
        atexit.register(gc.freeze)
    try:
        try:
            code = _run(sys.argv[1:] if arguments is None else list(arguments))
            sys.stdout.flush()
        except BaseException as error:
            from muniment.cli.error_handler import report

            code = report(error)
            _discard_unwritable()
    except BrokenPipeError:
        from muniment.cli.error_handler import detach_stdout

        detach_stdout()
        code = exit_codes.FAILED
    if code != exit_codes.INTERRUPTED:
        return code
    code = 128 + ends[0] if ends else code
    if arguments is None:
        # While the interpreter ends, a C++ thread of an interrupted library can abort the process
        # ("terminate called without an active exception", 4 of 28 times with torch).
        sys.stderr.flush()
        os._exit(code)
    return code


def _discard_unwritable() -> None:
    """Flush stdout after an error. Discard the rest if its disk is full, as was reported."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:
        from muniment.cli.error_handler import detach_stdout

        detach_stdout()


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Disable the garbage collector in the block, and exempt the imported objects from it.

    Collections during the imports took a tenth of the time of `audit list`.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if before:
            gc.enable()


def _run(arguments: list[str]) -> int:
    with importing():
        from muniment.cli.help_language import translated
        from muniment.cli.root import root

    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the parent process
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115 - open until exit
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # no crash in an ASCII locale
    for number, argument in enumerate(arguments, 1):
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise PromptError(
                f"argument {number} is not valid UTF-8; use UTF-8, or pass the prompt on "
                "standard input (-)"
            )
    # On Windows click would expand wildcards, but a prompt must stay unchanged.
    code = translated(root).main(
        arguments, prog_name="muniment", standalone_mode=False, windows_expand_args=False
    )
    return code if isinstance(code, int) else exit_codes.DONE
