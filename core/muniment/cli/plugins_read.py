"""`muniment plugins list` and `show`: read metadata and records, and import no plugin."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from muniment.cli.context import CliContext
from muniment.cli.emit import emit, emit_one
from muniment.cli.options import json_option
from muniment.cli.output import moment, on_terminal, shortened, write_note
from muniment.times import iso

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from muniment.ledger.entries import InstallationEntry
    from muniment.plugins.discovery import Plugin, PluginCommand
    from muniment.plugins.state import InstallRecord
    from muniment.store.recording.events import RecordedEvent


@dataclass(slots=True)
class _Plugin:
    """A row of the list: an entry point, or a distribution that only adds commands."""

    distribution: str
    version: str
    name: str
    module: str
    commands: list[str]
    enabled: bool
    record: InstallRecord | None
    digest: Callable[[], str]

    def to_json(self) -> dict[str, Any]:
        """Return the row as the shape `plugin`."""
        signer, changed = None, False
        if self.record is not None:
            from muniment.plugins.state import signer_of

            digest = self.digest()
            signer = signer_of(self.record, self.version, digest)
            changed = self.record.changed(self.version, digest)
        return {
            "distribution": self.distribution,
            "version": self.version,
            "name": self.name,
            "module": self.module,
            "commands": self.commands,
            "enabled": self.enabled,
            "signer": signer,
            "changed": changed,
        }


@click.command("list")
@json_option
@click.pass_obj
def list_(context: CliContext, as_json: bool) -> None:
    """List the installed plugins.

    Off a terminal the columns are: distribution, version, name, module, enabled or disabled, and
    the commands that the plugin adds. Plugins that are recorded but missing, and an interrupted
    change, are reported on standard error.
    """
    plugins = _plugins(context)
    emit(
        plugins,
        [
            ("distribution", "distribution"),
            ("version", "version"),
            ("name", "name"),
            ("module", "module"),
            ("state", lambda plugin: "enabled" if plugin.enabled else "disabled"),
            ("commands", "commands"),
        ],
        as_json,
        empty="no plugin is installed; `pip install muniment-text` installs one for text",
        cut="commands",
    )


@click.command
@click.argument("name")
@json_option
@click.pass_obj
def show(context: CliContext, name: str, as_json: bool) -> None:
    """Show the details and history of a plugin.

    NAME is the name of its distribution. The history is what `muniment plugins` changed, and which
    actor did, as the ledger records it.
    """
    from muniment.cli.plugin_records import CHANGED, signer_text
    from muniment.config import normalised
    from muniment.errors import UnknownNameError
    from muniment.plugins import discovery
    from muniment.plugins.state import InstallRecords, code_digest, distributions, signer_of

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
            ("digest", lambda _: shortened(digest) if on_terminal() else digest),
            ("state", lambda _: "enabled" if details["enabled"] else "disabled"),
            ("origin", lambda _: CHANGED if changed else signer_text(signer)),
            ("previous", "previous"),
            ("history", lambda _: "\n".join(map(_history_line, history))),
        ],
        as_json,
    )


def gone_plugins(context: CliContext, present: Collection[str]) -> str:
    """Return a sentence that names recorded plugins that are missing, or an empty text.

    `present` has the normalised names of the installed plugins.
    """
    if not (context.home / "plugins").is_dir():
        return ""
    from muniment.cli.plugin_records import restore_hint
    from muniment.plugins.state import InstallRecords

    missing = InstallRecords(context.home).gone(dict.fromkeys(present))
    if not missing:
        return ""
    names = ", ".join(sorted(record.name for record in missing.values()))
    verb = "was" if len(missing) == 1 else "were"
    return (
        f"{names} {verb} installed here and {verb} lost with an older environment, or removed by "
        f"another tool; {restore_hint()}"
    )


def _plugins(context: CliContext) -> list[_Plugin]:
    from muniment.config import normalised
    from muniment.plugins import discovery

    disabled = context.config.disabled()
    added: dict[str, list[PluginCommand]] = {}
    for command in discovery.installed_commands():
        added.setdefault(normalised(command.distribution), []).append(command)
    plugins = sorted(discovery.installed_plugins(), key=lambda one: (one.distribution, one.name))
    records = _records(
        context, {normalised(plugin.distribution) for plugin in plugins} | set(added)
    )
    rows = []
    for plugin in plugins:
        key = normalised(plugin.distribution)
        commands = [command.words for command in added.get(key, ())]
        about = (plugin.distribution, plugin.version, plugin.name, plugin.module)
        record, digest = records.get(key), partial(_digest, plugin)
        rows.append(_Plugin(*about, commands, key not in disabled, record, digest))
    for key in set(added) - {normalised(plugin.distribution) for plugin in plugins}:
        first = added[key][0]
        commands = [command.words for command in added[key]]
        about = (first.distribution, first.version, "", first.module)
        record, digest = records.get(key), partial(_digest, first)
        rows.append(_Plugin(*about, commands, key not in disabled, record, digest))
    return sorted(rows, key=lambda row: (row.distribution, row.name))


def _digest(plugin: Plugin | PluginCommand) -> str:
    return plugin.ref().digest


def _records(context: CliContext, present: Collection[str]) -> Mapping[str, InstallRecord]:
    """Return the plugins as they were installed, after warnings about what is wrong with them."""
    if not (context.home / "plugins").is_dir():  # importing the records costs more than the rest
        return {}
    from muniment.plugins.state import InstallRecords

    records = InstallRecords(context.home)
    if not records.folder.is_dir():
        return {}
    if (change := records.interrupted()) is not None:
        write_note(f"Warning: {change} was interrupted; `muniment plugins doctor` repairs it")
    if gone := gone_plugins(context, present):
        write_note(f"Warning: {gone}, `muniment plugins uninstall NAME` removes it from the list")
    return records.state().plugins


def _history(context: CliContext, distribution: str) -> list[RecordedEvent[InstallationEntry]]:
    from muniment.errors import StoreError
    from muniment.ledger.entries import InstallationEntry

    try:
        return context.store.events.with_key(InstallationEntry, distribution)
    except StoreError:
        return []  # no store: nothing was recorded


def _history_line(event: RecordedEvent[InstallationEntry]) -> str:
    from muniment.cli.plugin_records import signer_text

    signer = signer_text(event.entry.signer)
    change = f"{event.entry.act} {event.entry.plugin.version}"
    return f"{moment(event.at)}  {change}  {event.actor}  {signer}"


def _as_json(event: RecordedEvent[InstallationEntry]) -> dict[str, Any]:
    return {
        "at": iso(event.at),
        "actor": event.actor,
        "act": event.entry.act,
        "version": event.entry.plugin.version,
        "digest": event.entry.plugin.digest,
        "signer": event.entry.signer,
    }
