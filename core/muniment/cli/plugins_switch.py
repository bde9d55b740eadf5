"""`muniment plugins enable` and `disable`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from muniment.cli.context import CliContext
from muniment.cli.options import json_option

if TYPE_CHECKING:
    from muniment.ledger.entries import PluginAct


@click.command
@click.argument("name")
@json_option
@click.pass_obj
def enable(context: CliContext, name: str, as_json: bool) -> None:
    """Enable a plugin that was disabled."""
    _switch(context, name, "enabled", as_json=as_json)


@click.command
@click.argument("name")
@json_option
@click.pass_obj
def disable(context: CliContext, name: str, as_json: bool) -> None:
    """Disable a plugin without uninstalling it.

    Its commands are disabled with it. A policy that names one of its filters blocks everything
    until the plugin is enabled again, or until another policy is chosen.
    """
    _switch(context, name, "disabled", as_json=as_json)


def _switch(context: CliContext, name: str, act: PluginAct, *, as_json: bool) -> None:
    from muniment.cli.plugin_records import Change, print_changes, record_event, restore_hint
    from muniment.errors import UsageError
    from muniment.plugins.state import (
        InstallEvent,
        InstallRecords,
        code_digest,
        distributions,
        now,
        signer_of,
    )

    present, records = distributions(), InstallRecords(context.home)
    key = records.find(name, present)
    if key not in present:
        raise UsageError(f"plugin {name} is not installed any more; {restore_hint()}")
    title, version = present[key].metadata["Name"], present[key].version
    if (act == "disabled") is (key in context.config.disabled()):
        print_changes([], as_json, empty=f"{title} is {act} already")
        return
    digest = code_digest(key)
    signer = signer_of(records.state().plugins.get(key), version, digest)
    context.session.ensure_store()
    context.config.set(f"plugin.{key}.enabled", "false" if act == "disabled" else None)
    record_event(context.session, InstallEvent(now(), act, title, version, digest, signer))
    print_changes([Change(act, title, version, digest, signer)], as_json, empty="")
