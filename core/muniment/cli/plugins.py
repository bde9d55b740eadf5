"""`muniment plugins`: what is installed, from metadata; no plugin is imported."""

from __future__ import annotations

import click

from muniment.cli.options import json_option
from muniment.cli.output import data_json, message, table


@click.group
def plugins() -> None:
    """List the installed plugins."""


@plugins.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the installed plugins.

    Off a terminal the columns are: distribution, version, name, module.
    """
    from muniment.plugins import installed_plugins

    found = sorted(installed_plugins(), key=lambda plugin: (plugin.distribution, plugin.name))
    if as_json:
        for plugin in found:
            data_json(
                {
                    "distribution": plugin.distribution,
                    "version": plugin.version,
                    "name": plugin.name,
                    "module": plugin.module,
                }
            )
        return
    rows = [(item.distribution, item.version, item.name, item.module) for item in found]
    table(("distribution", "version", "name", "module"), rows)
    if not found:
        message("no plugin is installed; `pip install muniment-text` brings one for text")
