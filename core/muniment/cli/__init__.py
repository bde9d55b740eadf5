"""The command line: data on standard output, messages on standard error, exit codes that mean it.

One module a command group, imported when one of its commands is called; see docs/reference/cli.md.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from muniment.cli import exit_codes
from muniment.cli.gc_freeze import importing


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (docs/reference/exit-codes.md).

    Takes the process's own arguments when None. Whatever goes wrong becomes one line on standard
    error; `MUNIMENT_TRACEBACK=1` lets the exception itself be seen.
    """
    try:
        try:
            code = _run(sys.argv[1:] if arguments is None else list(arguments))
        except BaseException as error:
            from muniment.cli.error_handler import report

            code = report(error)
        sys.stdout.flush()
    except BrokenPipeError:
        from muniment.cli.error_handler import detach_stdout

        detach_stdout()
        code = exit_codes.FAILED
    return code


def _run(arguments: list[str]) -> int:
    with importing():
        from muniment.cli.root import root

    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115 - as long as the process
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a locale without Chinese is no crash
    for number, argument in enumerate(arguments, 1):
        if any("\ud800" <= character <= "\udfff" for character in argument):
            from muniment.errors import PromptError

            raise PromptError(
                f"argument {number} is not valid UTF-8; pass it as UTF-8, or the prompt by "
                "standard input (-)"
            )
    # Windows expands no wildcards before a program starts, and click would: not in a prompt.
    code = root.main(
        arguments, prog_name="muniment", standalone_mode=False, windows_expand_args=False
    )
    return int(code or exit_codes.DONE)
