"""A command group that knows its commands by name and one line, and imports one when it is called.

`muniment --help` has to cost nothing: the lines below are what it shows, and a test holds each to
the help of the command itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from muniment.cli.gc_freeze import importing


class LazyGroup(click.Group):
    """A group whose commands are given as name → (`"module:attribute"`, one line of help)."""

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order they were given, which is that of the help."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None when there is none of that name."""
        if cmd_name not in self.lazy:
            return None
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        with importing():
            command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command to run; an unknown name is answered with those that look like it."""
        name = args[0]
        if name not in self.lazy and not name.startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(no_such("command", name, list(self.lazy)), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.lazy.items()])


def no_such(what: str, name: str, known: list[str]) -> str:
    """Return the sentence that there is no such thing, with names that look like the one given."""
    from difflib import get_close_matches

    close = get_close_matches(name, known)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return f"there is no {what} {name!r}.{hint}"
