"""Confirmation of actions that cannot be undone."""

from __future__ import annotations

import sys

import click

from muniment.cli.output import write_note


def confirm(action: str, *, yes: bool, otherwise: str) -> bool:
    """Return whether the user confirms an action, such as "this will erase 3 texts".

    `yes` confirms without a question. `otherwise` is printed when the user declines. Raises
    UsageError if stdin is not a terminal.
    """
    sentence = action[:1].upper() + action[1:]
    if yes:
        write_note(sentence)
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"{action}; use --yes to confirm, since standard input is not a terminal."
        )
    if click.confirm(f"{sentence}. Continue?", err=True):
        return True
    write_note(otherwise)
    return False
