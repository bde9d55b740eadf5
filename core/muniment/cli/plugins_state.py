"""The commands `muniment plugins show`, `enable` and `disable`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from muniment.cli.context import CliContext
from muniment.cli.options import json_option
from muniment.cli.output import emit_one, moment, short_digest
from muniment.cli.plugin_records import (
    CHANGED,
    Change,
    print_changes,
    record_event,
    restore_hint,
    signer_text,
)
from muniment.config import normalised
from muniment.errors import StoreError, UnknownNameError, UsageError
from muniment.ledger.entries import InstallationEntry
from muniment.plugins import discovery
from muniment.plugins.state import (
    InstallEvent,
    InstallRecords,
    code_digest,
    distributions,
    now,
    signer_of,
)

if TYPE_CHECKING:
    from muniment.ledger.entries import PluginAct
    from muniment.store.recording.events import RecordedEvent


@click.command
@click.argument("name")
@json_option
@click.pass_obj
def show(context: CliContext, name: str, as_json: bool) -> None:
    """Show the details and history of a plugin.

    NAME is the name of its distribution. The history is what `muniment plugins` changed, and which
    actor did, as the ledger records it.
    """
    key = normalised(name)
    plugins = list(discovery.installed_plugins())
    commands = discovery.installed_commands()
    modules = [plugin for plugin in plugins if normalised(plugin.distribution) == key]
    added = [command.words for command in commands if normalised(command.distribution) == key]
    if not modules and not added:
        names = {plugin.distribution for plugin in plugins}
        names |= {command.distribution for command in commands}
        raise UnknownNameError("plugin", name, sorted(names))
    distribution = distributions()[key]
    title, version = distribution.metadata["Name"], distribution.version
    record = InstallRecords(context.home).state().plugins.get(key)
    digest = code_digest(key)
    signer = signer_of(record, version, digest)
    changed = record is not None and record.changed(version, digest)
    history = _history(context, title)
    details = {
        "distribution": title,
        "version": version,
        "summary": str(distribution.metadata["Summary"] or ""),
        "entry_points": [{"name": plugin.name, "module": plugin.module} for plugin in modules],
        "commands": added,
        "requires": list(distribution.requires or ()),
        "digest": digest,
        "enabled": key not in context.config.disabled(),
        "signer": signer,
        "changed": changed,
        "previous": record.previous.version if record and record.previous else None,
        "history": [_as_json(event) for event in history],
    }
    emit_one(
        details,
        [
            ("distribution", "distribution"),
            ("version", "version"),
            ("summary", "summary"),
            ("offers", lambda _: "\n".join(f"{one.name} = {one.module}" for one in modules)),
            ("commands", lambda _: "\n".join(f"muniment {words}" for words in added)),
            ("needs", lambda _: "\n".join(distribution.requires or ())),
            ("digest", lambda _: short_digest(digest)),
            ("state", lambda _: "enabled" if details["enabled"] else "disabled"),
            ("origin", lambda _: CHANGED if changed else signer_text(signer)),
            ("previous", "previous"),
            ("history", lambda _: "\n".join(map(_history_line, history))),
        ],
        as_json,
    )


def _history(context: CliContext, distribution: str) -> list[RecordedEvent[InstallationEntry]]:
    try:
        return context.store.events.with_key(InstallationEntry, distribution)
    except StoreError:
        return []  # no store: nothing was recorded


def _history_line(event: RecordedEvent[InstallationEntry]) -> str:
    signer = signer_text(event.entry.signer)
    change = f"{event.entry.act} {event.entry.plugin.version}"
    return f"{moment(event.at)}  {change}  {event.actor}  {signer}"


def _as_json(event: RecordedEvent[InstallationEntry]) -> dict[str, Any]:
    return {
        "at": event.at,
        "actor": event.actor,
        "act": event.entry.act,
        "version": event.entry.plugin.version,
        "digest": event.entry.plugin.digest,
        "signer": event.entry.signer,
    }


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
