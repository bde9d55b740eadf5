"""The command group `muniment config`."""

from __future__ import annotations

import click

from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.lazy import LazyGroup
from muniment.cli.options import json_option
from muniment.cli.output import emit, write_data, write_json, write_note
from muniment.config import SETTINGS, normalised


@click.group(cls=LazyGroup)
def config() -> None:
    """Read and change settings.

    `muniment config list --known` lists all known settings.
    """


@config.command
@click.argument("key")
@json_option
@click.pass_obj
def get(context: CliContext, key: str, as_json: bool) -> int:
    """Print the value of a setting.

    The exit code is 1 if it is not set.
    """
    value = context.config.get(key)
    if as_json:
        write_json({"key": key, "value": value})
    elif value is None:
        write_note(f"{key} is not set")
    else:
        write_data(value)
    return exit_codes.FAILED if value is None else exit_codes.DONE


@config.command("set")
@click.argument("key")
@click.argument("value")
@click.pass_obj
def set_(context: CliContext, key: str, value: str) -> None:
    """Change or remove a setting.

    An empty VALUE removes it.
    """
    context.config.set(key, value or None)
    if key.startswith("plugin.") and value:
        from muniment.plugins.discovery import installed_plugins

        name = key.removeprefix("plugin.").rpartition(".")[0]
        known = {normalised(plugin.distribution) for plugin in installed_plugins()}
        if normalised(name) not in known:
            write_note(
                f"no installed plugin is named {name}, so this has no effect yet; run "
                "`muniment plugins list` to see the names"
            )


@config.command("list")
@click.option("--known", is_flag=True, help="List all known settings and their meaning.")
@json_option
@click.pass_obj
def list_(context: CliContext, known: bool, as_json: bool) -> None:
    """List the settings that have a value."""
    values, name = (SETTINGS, "meaning") if known else (context.config.items(), "value")
    records = [{"key": key, name: value} for key, value in values.items()]
    emit(records, [("key", "key"), (name, name)], as_json, empty="no setting has a value")
