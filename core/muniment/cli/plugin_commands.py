"""Find the commands that plugins add to a group of the command line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import click

from muniment.cli.context import HOME_KEY, CliContext
from muniment.cli.help_language import translated
from muniment.cli.translation import translate
from muniment.config import normalised
from muniment.errors import ConfigError, MunimentError, PluginError, UsageError
from muniment.language import gettext
from muniment.plugins import discovery
from muniment.plugins.discovery import PluginCommand

_LONGEST = 70  # characters of a summary in the help


def find_command(ctx: click.Context, name: str) -> click.Command | None:
    """Import and return the command that a plugin adds to the group of a context.

    Returns None when no plugin adds it. Raises UsageError when the plugin is disabled or two
    plugins add the command, and PluginError when the command cannot be imported.
    """
    commands = [command for command in _added_to(_group(ctx)) if command.word == name]
    if not commands:
        return None
    disabled = _disabled(ctx)
    enabled = [command for command in commands if normalised(command.distribution) not in disabled]
    if not enabled:
        distribution = commands[0].distribution
        raise UsageError(
            f"command {commands[0].words!r} belongs to the plugin {distribution}, which is "
            f"disabled; run `muniment plugins enable {distribution}`"
        )
    if len(enabled) > 1:
        raise UsageError(ambiguous(enabled))
    command = _load(enabled[0], disabled)
    ctx.meta["muniment.plugin_command"] = enabled[0]
    return translated(command, enabled[0].distribution)


def ambiguous(commands: Sequence[PluginCommand]) -> str:
    """Return the sentence that several plugins add one command."""
    names = [command.distribution for command in commands]
    return (
        f"command {commands[0].words!r} is added by {' and by '.join(names)}; disable one of them "
        "with `muniment plugins disable NAME`, or uninstall it"
    )


def help_rows(ctx: click.Context, own: Collection[str]) -> list[tuple[str, str]]:
    """Return name and help of the commands that plugins add to the group of a context.

    Skips the names of the group's own commands.

    At the top level the help is the first sentence of the distribution's summary, and nothing is
    imported. In a group below it, the commands are imported for their help.
    """
    rows = []
    for name, commands in sorted(enabled_commands(ctx).items()):
        if name in own:
            continue
        if len(commands) > 1:
            rows.append((name, f"({ambiguous(commands)})"))
        elif ctx.parent is None:
            distribution = commands[0].distribution
            summary = translate(commands[0].summary, distribution)
            rows.append((name, _first_sentence(summary)))
        else:
            try:
                command = _load(commands[0], _disabled(ctx, tolerant=True))
                command = translated(command, commands[0].distribution)
            except PluginError as error:
                _warn(error)
                rows.append((name, gettext("(cannot be imported)")))
                continue
            if not command.hidden:
                rows.append((name, command.get_short_help_str(200)))
    if all(text.isascii() and text.isprintable() for _, text in rows):
        return rows  # most are, and `--help` imports little
    from muniment.escapes import escaped

    return [(name, escaped(text)) for name, text in rows]


def _first_sentence(summary: str) -> str:
    """Return the first sentence of a summary, shortened to one line of help."""
    sentence = re.split(r"(?<=\.) |(?<=。)", summary, maxsplit=1)[0].strip()
    if len(sentence) > _LONGEST:
        sentence = sentence[:_LONGEST].rpartition(" ")[0].rstrip(",:;") or sentence[:_LONGEST]
        return f"{sentence}…"
    return sentence if not sentence or sentence[-1] in ".。" else f"{sentence}."


def check_commands(
    distribution: str, disabled: Collection[str], core: Mapping[str, bool]
) -> str | None:
    """Return why the commands of a plugin cannot be used, from metadata, or None.

    `distribution` and `disabled` are normalised names. `core` has the paths of the core's commands.
    Its values are true for groups that plugins can add to.
    """
    commands = discovery.installed_commands()
    own = [command for command in commands if normalised(command.distribution) == distribution]
    others = {
        command.name: command.distribution
        for command in commands
        if normalised(command.distribution) not in {distribution, *disabled}
        and _is_allowed(command)
    }
    for command in own:
        if not discovery.COMMAND_NAME.fullmatch(command.name):
            return f"{command.name!r} is not the name of a command: use a-z, 0-9, '-' and dots"
        if command.name in core:
            return f"`muniment {command.words}` is a command of Muniment itself"
        if not _is_allowed(command):
            owner = discovery.RESERVED_COMMANDS[command.name]
            return f"`muniment {command.words}` is a command of {owner}"
        if other := others.get(command.name):
            return f"{other} adds the command `muniment {command.words}`, too"
        group = command.group
        if group and not core.get(group) and group not in {*others, *(one.name for one in own)}:
            return f"`muniment {command.words}` is in no group that plugins can add commands to"
    return None


def _load(command: PluginCommand, disabled: Collection[str]) -> click.Command:
    """Import a command and, when it is a group, the commands that plugins add to it."""
    from muniment.plugins.commands import load_command

    loaded = load_command(command)
    if isinstance(loaded, click.Group):
        for name, nested in _by_name(_added_to(command.name), disabled).items():
            if name in loaded.commands:
                continue
            try:
                if len(nested) > 1:
                    raise UsageError(ambiguous(nested))
                loaded.add_command(_load(nested[0], disabled), name)
            except MunimentError as error:
                loaded.add_command(_UnusableCommand(name, nested[0].distribution, error), name)
    return loaded


class _UnusableCommand(click.Command):
    """A command in a group of a plugin that cannot be used. Calling it raises the reason."""

    def __init__(self, name: str, distribution: str, error: MunimentError) -> None:
        super().__init__(name, short_help=f"({distribution}: cannot be used)")
        self.error = error

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Raise the reason, unless a shell completes the line."""
        if kwargs.get("resilient_parsing"):
            return super().make_context(*args, **kwargs)
        raise self.error


def enabled_commands(ctx: click.Context) -> Mapping[str, list[PluginCommand]]:
    """Return the commands that enabled plugins add to the group of a context, by name."""
    commands = _added_to(_group(ctx))
    return _by_name(commands, _disabled(ctx, tolerant=True)) if commands else {}


def first_party_names(ctx: click.Context) -> list[str]:
    """Return the names of the commands that first-party plugins add to the group of a context."""
    from muniment.plugins.providers import COMMANDS

    group = _group(ctx)
    paths = (path.rpartition(".") for path in COMMANDS)
    return [name for parent, _, name in paths if parent == group]


def missing_plugin(ctx: click.Context, name: str) -> str:
    """Return how to get the first-party plugin that adds a command to the group of a context.

    Returns an empty text if no such plugin adds it, or if the plugin is installed.
    """
    from muniment.plugins.providers import COMMANDS, install_command

    path = ".".join(filter(None, (_group(ctx), name)))
    owner = COMMANDS.get(path)
    installed = itertools.chain(discovery.installed_plugins(), discovery.installed_commands())
    if owner is None or owner in {normalised(plugin.distribution) for plugin in installed}:
        return ""
    command = install_command(owner, _disabled(ctx, tolerant=True))
    return f"`muniment {path.replace('.', ' ')}` needs the plugin {owner}; run `{command}`"


def _group(ctx: click.Context) -> str:
    """Return the path of the group of a context, empty for the root."""
    return ".".join(ctx.command_path.removeprefix(ctx.find_root().command_path).split())


def _added_to(group: str) -> list[PluginCommand]:
    return [
        command
        for command in discovery.installed_commands()
        if command.group == group and _is_allowed(command)
    ]


def _is_allowed(command: PluginCommand) -> bool:
    """Return whether the path of a command is not reserved for another distribution."""
    owner = discovery.RESERVED_COMMANDS.get(command.name)
    return owner is None or normalised(command.distribution) == owner


def _by_name(
    commands: Sequence[PluginCommand], disabled: Collection[str]
) -> Mapping[str, list[PluginCommand]]:
    """Return the commands of enabled plugins by name."""
    found: dict[str, list[PluginCommand]] = {}
    for command in commands:
        if normalised(command.distribution) not in disabled:
            found.setdefault(command.word, []).append(command)
    return found


def _disabled(ctx: click.Context, *, tolerant: bool = False) -> set[str]:
    """Return the normalised names of disabled plugins.

    `tolerant` reads a malformed configuration as an empty one, for `--help`.
    """
    home = ctx.find_root().params.get("home") or ctx.meta.get(HOME_KEY)
    try:
        return CliContext(home).config.disabled()
    except ConfigError:
        if tolerant:
            return set()
        raise


def _warn(error: PluginError) -> None:
    from muniment.cli.output import one_line, write_note

    write_note(f"Warning: {one_line(str(error))}")
