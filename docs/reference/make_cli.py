"""Write the commands' help into docs/reference/cli.md: python docs/reference/make_cli.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from muniment.cli.generate import command_of
from muniment.cli.root import root
from muniment.parameters import Parameters
from muniment.plugins.registry import Plugin, RegisteredObject

PAGE = Path(__file__).with_name("cli.md")

MARK = "<!-- what follows is written by make_cli.py -->\n"


def commands(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """Yield the context of a command and of every command below it, in the order of the help."""
    yield context
    if context.command_path == "muniment generate":
        plugin = Plugin("DISTRIBUTION", "VERSION", "", "")
        offer = RegisteredObject("generator", "GENERATOR", plugin, "x:X", "MEDIA_TYPE", Parameters)
        below = command_of("NAME", offer)
        yield click.Context(below, info_name="NAME", parent=context)
    elif isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, click.Context(below, info_name=name, parent=context))


def section(context: click.Context) -> str:
    """Return one command's section: its help as the command line prints it."""
    level = "##" if context.parent is None or context.parent.parent is None else "###"
    return f"{level} {context.command_path}\n\n```text\n{_help(context).strip()}\n```\n"


def _help(context: click.Context) -> str:
    if context.command_path == "muniment generate":  # lists what happens to be installed
        formatter = context.make_formatter()
        command = context.command
        command.format_usage(context, formatter)
        command.format_help_text(context, formatter)
        return formatter.getvalue()
    text = context.command.get_help(context)
    if context.command_path == "muniment generate NAME":
        text += "\n  … and an option for each parameter of the generator"
    return text


def page() -> str:
    """Return the whole page: what stands above the mark, then the commands."""
    head, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    context = click.Context(root, info_name="muniment", terminal_width=100, max_content_width=100)
    return head + "\n".join([mark, *(section(below) for below in commands(root, context))])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.exit(0)
