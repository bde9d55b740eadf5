"""The commands `muniment plugins show`, `enable` and `disable`.

Muniment-installer uses the other functions of this module, too.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

import muniment
from muniment.cli import plugin_commands
from muniment.cli.context import CliContext
from muniment.cli.lazy import command_paths
from muniment.cli.options import json_option
from muniment.cli.output import emit_one, moment, short_digest, write_data, write_json, write_note
from muniment.config import normalised
from muniment.errors import StoreError, UnknownNameError, UsageError
from muniment.ledger.entries import InstallationEntry, PluginAct
from muniment.plugins import discovery
from muniment.plugins.smoke_test import SmokeTestResult, smoke_test
from muniment.plugins.state import (
    InstallEvent,
    InstallRecords,
    code_digest,
    distributions,
    now,
    signer_of,
)

if TYPE_CHECKING:
    from muniment.store.recording.events import RecordedEvent

CHANGED = "changed since it was installed"


@dataclass(frozen=True, slots=True)
class Change:
    """A change to a plugin.

    `installed_with` are the distributions that were installed or removed with it. `previous` is the
    version that it replaced, and `signer` the fingerprint of the bundle's key.
    """

    act: PluginAct
    distribution: str
    version: str
    digest: str
    signer: str | None = None
    previous: str | None = None
    installed_with: tuple[str, ...] = ()


def print_changes(changes: Sequence[Change], as_json: bool, *, empty: str) -> None:
    """Print changes to plugins, or the note `empty` when there are none."""
    for change in changes:
        if as_json:
            write_json(change)
            continue
        previous = f" (was {change.previous})" if change.previous else ""
        new = change.act in ("installed", "upgraded")
        signer = f"  {signer_text(change.signer)}" if new else ""
        write_data(f"{change.act} {change.distribution} {change.version}{previous}{signer}")
    if not changes:
        write_note(empty)
    elif changes[0].installed_with and not as_json:
        verb = "removed" if changes[0].act == "removed" else "installed"
        write_note(f"also {verb}: {', '.join(changes[0].installed_with)}")


def signer_text(signer: str | None) -> str:
    """Return the signer of a plugin's bundle for people, by the fingerprint of the key."""
    if signer is None:
        return "unsigned"
    return f"signed by {short_digest(signer)}"


def record_event(session: muniment.Session, event: InstallEvent) -> None:
    """Record a change to a plugin in the ledger. Recording it again changes nothing."""
    from muniment.ledger.entries import moment
    from muniment.types import PluginRef

    plugin = PluginRef(event.distribution, event.version, event.digest)
    session.record_installation(event.act, plugin, moment(event.at), event.signer)


def check_plugin(distribution: str, disabled: Collection[str] = ()) -> SmokeTestResult:
    """Load a plugin in a fresh process, and check it against the contract and the other plugins.

    Names are normalised. A name of a disabled plugin may be used again. Commands must not have the
    names of the core's own.
    """
    from muniment.cli.root import root

    result = smoke_test(distribution, disabled)
    core = command_paths(root, [command.name for command in discovery.installed_commands()])
    if problem := plugin_commands.check_commands(distribution, disabled, core):
        result.fail(problem)
    return result


def install_command() -> str:
    """Return the command that installs muniment-installer into this environment."""
    prefix = Path(sys.prefix)
    if (prefix / "pipx_metadata.json").is_file():
        return "pipx inject muniment muniment-installer"
    if (prefix / "uv-receipt.toml").is_file():
        return "uv tool install muniment --with muniment-installer"
    return "pip install muniment-installer"


def restore_hint() -> str:
    """Return how to install the plugins again that are recorded and gone."""
    if discovery.INSTALLER in distributions():
        return "`muniment plugins restore` installs the missing plugins"
    return f"`{install_command()}`, then `muniment plugins restore`, installs the missing plugins"


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
        "history": [
            {
                "at": event.at,
                "actor": event.actor,
                "act": event.entry.act,
                "version": event.entry.plugin.version,
                "digest": event.entry.plugin.digest,
                "signer": event.entry.signer,
            }
            for event in history
        ],
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
