"""`muniment plugins`: list, check and switch plugins."""

from __future__ import annotations

import click

from muniment.cli.lazy import LazyGroup
from muniment.errors import UsageError

COMMANDS = {
    "list": ("muniment.cli.plugins_list:list_", "List the installed plugins."),
    "show": ("muniment.cli.plugins_state:show", "Show the details and history of a plugin."),
    "enable": ("muniment.cli.plugins_state:enable", "Enable a plugin that was disabled."),
    "disable": (
        "muniment.cli.plugins_state:disable",
        "Disable a plugin without uninstalling it.",
    ),
    "doctor": (
        "muniment.cli.plugins_doctor:doctor",
        "Load every plugin in its own process, and repair an interrupted change.",
    ),
    "new": ("muniment.cli.plugins_new:new", "Write the files of a new plugin, with tests."),
}


class _Plugins(LazyGroup):
    """The group, with an error for the commands of muniment-installer where it is missing."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or raise UsageError for one that muniment-installer adds."""
        command = super().get_command(ctx, cmd_name)
        if command is not None or ctx.resilient_parsing:
            return command
        from muniment.plugins.discovery import INSTALLER, RESERVED_COMMANDS

        if f"plugins.{cmd_name}" in RESERVED_COMMANDS:
            from muniment.cli.plugin_records import install_command

            raise UsageError(
                f"`muniment plugins {cmd_name}` needs the plugin {INSTALLER}; run "
                f"`{install_command()}`"
            )
        return command


@click.group(cls=_Plugins, lazy=COMMANDS)
def plugins() -> None:
    """List, install and manage plugins.

    muniment-installer adds the commands that change what is installed.
    """
