"""The command groups of the core, which import their commands when called.

Plugins add commands to every such group, through `plugin_commands`. Metadata is read only for
`--help`, and for names that the group does not have itself.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Collection, Mapping
from typing import Any

import click

from muniment.cli import importing
from muniment.cli.groups import TranslatingGroup
from muniment.cli.help_language import translated
from muniment.errors import MunimentError
from muniment.language import gettext


class LazyGroup(TranslatingGroup):
    """A group that plugins can add commands to.

    Commands of its own that are imported when called are given in `lazy`, as name →
    (`"module:attribute"`, help line).
    """

    def __init__(
        self, *args: Any, lazy: Mapping[str, tuple[str, str]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy or {}

    @property
    def own_names(self) -> list[str]:
        """The names of the group's own commands, in the order of the help."""
        return [*self.lazy, *self.commands]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the group's own commands, then those that plugins add."""
        from muniment.cli import plugin_commands

        return list(
            dict.fromkeys([*self.own_names, *sorted(plugin_commands.enabled_commands(ctx))])
        )

    def names_to_suggest(self, ctx: click.Context) -> list[str]:
        """Return the names of commands that an unknown name can be meant for.

        Those of first-party plugins are among them, whether installed or not.
        """
        from muniment.cli import plugin_commands

        first_party = plugin_commands.first_party_names(ctx)
        return list(dict.fromkeys([*self.list_commands(ctx), *first_party]))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or return None when no command has that name.

        Raises UsageError or PluginError for a plugin's command that cannot be used.
        """
        if cmd_name in self.own_names:
            with importing():
                return translated(self.own_command(cmd_name))
        from muniment.cli import plugin_commands

        try:
            return plugin_commands.find_command(ctx, cmd_name)
        except MunimentError:
            if ctx.resilient_parsing:  # shell completion
                return None
            raise

    def own_command(self, name: str) -> click.Command:
        """Import and return one of the group's own commands."""
        if name not in self.lazy:
            return self.commands[name]
        module, _, attribute = self.lazy[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command to run, with the parser of `checked_parser`."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and with_checked_parser(command), rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands, without importing those in `lazy`."""
        from muniment.cli import plugin_commands

        own = [(name, gettext(line)) for name, (_, line) in self.lazy.items()]
        own += [
            (name, translated(item).get_short_help_str(200)) for name, item in self.commands.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(own)
        if added := plugin_commands.help_rows(ctx, self.own_names):
            with formatter.section(gettext("Commands of plugins")):
                formatter.write_dl(added)


def with_checked_parser(command: click.Command) -> click.Command:
    """Return a copy of a command whose parser is that of `checked_parser`.

    The commands that a group contains are copied, too, unless they are imported when called.
    """
    checked = copy.copy(command)
    checked.make_parser = lambda ctx: checked_parser(command.make_parser(ctx), ctx)  # type: ignore[method-assign]
    if isinstance(checked, click.Group) and not isinstance(checked, LazyGroup):
        checked.commands = {
            name: with_checked_parser(nested) for name, nested in checked.commands.items()
        }
    return checked


def checked_parser(parser: Any, ctx: click.Context) -> Any:
    """Let a parser show the help for `help` alone, and refuse options that are given twice.

    It raises UsageError for an option with one value. Click would use the last value, which could
    replace a filter of an erasure, or a policy.
    """
    parse = parser.parse_args

    def parse_once(args: list[str]) -> tuple[dict[str, Any], list[str], list[click.Parameter]]:
        if args == ["help"] and not ctx.resilient_parsing and means_help(ctx):
            from muniment.cli.output import write_data

            write_data(ctx.command.get_help(ctx))
            ctx.exit()
        values, rest, order = parse(args)
        for parameter in order:
            single = isinstance(parameter, click.Option) and not (
                parameter.multiple or parameter.count or parameter.is_flag
            )
            if single and order.count(parameter) > 1 and not ctx.resilient_parsing:
                raise click.UsageError(f"{parameter.opts[-1]} is given twice; remove one.", ctx)
        return values, rest, order

    parser.parse_args = parse_once
    return parser


# Arguments that name an object or a file. Other arguments can be any text, such as a prompt.
_NAMING = {
    *("FILE", "FILE_OR_NAME", "HOLD", "ID", "KEY", "LOCK", "NAME", "PLUGIN", "SELECT", "SOURCE"),
    "VALUE",
}


def means_help(ctx: click.Context) -> bool:
    """Return whether the argument `help` alone is no text that the command can use."""
    command = ctx.command
    if isinstance(command, click.Group):
        return "help" not in command.list_commands(ctx)
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    if sum(one.required for one in arguments) > 1:
        return True
    return all(
        isinstance(one.type, (click.Choice, click.Path))
        or one.make_metavar(ctx).strip("[].") in _NAMING
        for one in arguments
    )


def command_paths(group: LazyGroup, selected: Collection[str]) -> dict[str, bool]:
    """Return the paths of a group's own commands, and whether plugins can add commands to them.

    Only groups that contain one of the `selected` paths are imported.
    """
    paths = {}
    for name in group.own_names:
        paths[name] = False
        below = [path.removeprefix(f"{name}.") for path in selected if path.startswith(f"{name}.")]
        if below and isinstance(command := group.own_command(name), LazyGroup):
            paths[name] = True
            nested = command_paths(command, below)
            paths |= {f"{name}.{path}": extensible for path, extensible in nested.items()}
    return paths
