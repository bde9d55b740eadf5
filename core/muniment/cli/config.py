"""`muniment config`: the settings of this home."""

from __future__ import annotations

import click

from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.options import json_option
from muniment.cli.output import table, write_data, write_json, write_note


@click.group
def config() -> None:
    """Read and change settings.

    `muniment config list --known` says what can be set.
    """


@config.command
@click.argument("key")
@json_option
@click.pass_obj
def get(context: CliContext, key: str, as_json: bool) -> int:
    """Print the value of a setting; exit code 1 when it is not set."""
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
    """Change a setting; an empty VALUE removes it."""
    context.config.set(key, value or None)
    if key.startswith("plugin.") and value:
        from muniment.config import normalised
        from muniment.plugins.discovery import installed_plugins

        name = key.removeprefix("plugin.").rpartition(".")[0]
        known = {normalised(plugin.distribution) for plugin in installed_plugins()}
        if normalised(name) not in known:
            write_note(
                f"no distribution named {name} offers a plugin here, so this changes nothing yet; "
                "`muniment plugins list` shows the names"
            )


@config.command("list")
@click.option("--known", is_flag=True, help="List what can be set, and what it means.")
@json_option
@click.pass_obj
def list_(context: CliContext, known: bool, as_json: bool) -> None:
    """List the settings that were made, or with --known all that can be."""
    from muniment.config import SETTINGS

    values = SETTINGS if known else context.config.items()
    if as_json:
        for key, value in values.items():
            write_json({"key": key, "meaning" if known else "value": value})
        return
    table(("key", "meaning" if known else "value"), list(values.items()))
