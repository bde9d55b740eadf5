"""`muniment plugins`: what is installed, and installing more."""

from __future__ import annotations

import click

from muniment.cli.lazy import LazyGroup

COMMANDS = {
    "list": ("muniment.cli.plugins_read:list_", "List the installed plugins."),
    "show": ("muniment.cli.plugins_read:show", "Show what is known of an installed plugin."),
    "install": (
        "muniment.cli.plugins_install:install",
        "Install plugins beside Muniment, and try each; what does not work is taken out again.",
    ),
    "upgrade": (
        "muniment.cli.plugins_install:upgrade",
        "Install newer versions of plugins; what does not work makes way for what did.",
    ),
    "uninstall": ("muniment.cli.plugins_install:uninstall", "Take a plugin out."),
    "enable": ("muniment.cli.plugins_install:enable", "Use a plugin again that was disabled."),
    "disable": (
        "muniment.cli.plugins_install:disable",
        "Leave a plugin out, as if it were not installed.",
    ),
    "doctor": (
        "muniment.cli.plugins_doctor:doctor",
        "Try every installed plugin, each in a process of its own, and mend what was cut short.",
    ),
    "freeze": (
        "muniment.cli.plugins_bundle:freeze",
        "Print the installed plugins and what they need, pinned by version and hash.",
    ),
    "restore": (
        "muniment.cli.plugins_install:restore",
        "Install what a lock pins, or what was installed here and is gone.",
    ),
    "bundle": (
        "muniment.cli.plugins_bundle:bundle",
        "Write plugins and all they need into one file, to install where there is no network.",
    ),
    "new": (
        "muniment.cli.plugins_new:new",
        "Write the files of a new plugin, which works and passes its tests.",
    ),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def plugins() -> None:
    """List, install and look after plugins."""
