"""Asking before something is destroyed."""

from __future__ import annotations

import sys

import click

from muniment.cli.output import write_note


def confirm(question: str, *, yes: bool, otherwise: str) -> bool:
    """Whether someone agrees to what the question says; `--yes` answers for them.

    Raises UsageError where nobody is there to ask. `otherwise` is said when they do not.
    """
    if yes:
        write_note(question)
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question}: this cannot be undone; say --yes.")
    if click.confirm(f"{question}. Go on?", err=True):
        return True
    write_note(otherwise)
    return False
