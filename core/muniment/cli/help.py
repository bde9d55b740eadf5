"""The command `muniment help`."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from muniment.cli.output import write_data


def _complete(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the commands that can follow the words of the line."""
    try:
        found = _find(ctx.find_root(), ctx.params.get("words") or ())
    except click.ClickException:
        return []
    group = found.command
    names = group.list_commands(found) if isinstance(group, click.Group) else []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@click.command("help")
@click.argument("words", metavar="[COMMAND]...", nargs=-1, shell_complete=_complete)
@click.pass_context
def help_(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of a command.

    `muniment help audit list` prints the same as `muniment audit list --help`.
    """
    found = _find(ctx.find_root(), words)
    write_data(found.command.get_help(found))


def _find(root: click.Context, words: tuple[str, ...]) -> click.Context:
    """Return the context of the command that the words name. Raise UsageError for another."""
    ctx = root
    for word in words:
        group = ctx.command
        command = group.get_command(ctx, word) if isinstance(group, click.Group) else None
        if command is None:
            raise click.exceptions.NoSuchCommand(word, ctx=ctx)
        ctx = click.Context(command, info_name=word, parent=ctx, **command.context_settings)
    return ctx
