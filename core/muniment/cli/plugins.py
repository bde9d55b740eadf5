"""The commands `muniment plugins show`, `enable`, `disable` and `doctor`.

Muniment-installer uses the other public functions of this module.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import Distribution
from typing import Any

import click

import muniment
from muniment.cli import exit_codes, plugin_commands
from muniment.cli.context import CliContext
from muniment.cli.lazy import command_paths
from muniment.cli.listing import emit, emit_one
from muniment.cli.options import headers_option, json_option
from muniment.cli.output import one_line, write_data, write_json, write_note
from muniment.cli.progress import counting, waiting
from muniment.cli.values import actor_cell, moment, short_digest
from muniment.config import normalised
from muniment.errors import PluginError, UnknownNameError, UsageError
from muniment.failures import explain
from muniment.language import gettext
from muniment.ledger.events import InstallationEntry
from muniment.ledger.fields import PluginAct
from muniment.plugins import discovery
from muniment.plugins.providers import install_command
from muniment.plugins.smoke_test import (
    SmokeTestResult,
    find_conflicts,
    load_alone,
    load_together,
)
from muniment.plugins.state import (
    InstallEvent,
    InstallRecords,
    code_digest,
    distributions,
    name_key,
    now,
    one_plugin,
    plugin_names,
    signer_of,
)

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
        also = gettext("also installed: {names}")
        if changes[0].act == "removed":
            also = gettext("also removed: {names}")
        write_note(also.format(names=", ".join(changes[0].installed_with)))


def signer_text(signer: str | None) -> str:
    """Return the signer of a plugin's bundle for people, by the fingerprint of the key."""
    if signer is None:
        return "unsigned"
    return f"signed by {short_digest(signer)}"


def record_event(session: muniment.Session, event: InstallEvent) -> None:
    """Record a change to a plugin in the ledger. Recording it again changes nothing."""
    from muniment.ledger.fields import moment
    from muniment.types.plugins import PluginRef

    plugin = PluginRef(event.distribution, event.version, event.digest)
    session.record_installation(event.act, plugin, moment(event.at), event.signer)


def check_plugins(
    names: Iterable[str], disabled: Collection[str] = ()
) -> dict[str, SmokeTestResult]:
    """Load plugins, each in a fresh process, and check them against the contract and all plugins.

    Names are normalised, and the results are by name. A name of a disabled plugin may be used
    again. Commands must not have the names of the core's own.
    """
    results = {name: load_alone(name) for name in names}
    _compare(results, disabled)
    return results


def _compare(results: Mapping[str, SmokeTestResult], disabled: Collection[str]) -> None:
    """Note as failures the names that loaded plugins cannot use."""
    find_conflicts(results, disabled)
    for result in results.values():
        _check_commands(result, disabled)


def _check_commands(result: SmokeTestResult, disabled: Collection[str]) -> None:
    """Note as a failure that a command of a plugin cannot be used."""
    if not result.commands:
        return
    from muniment.cli.root import root

    core = command_paths(root, [command.name for command in discovery.installed_commands()])
    if problem := plugin_commands.check_commands(result.distribution, disabled, core):
        result.fail(problem)


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

    NAME is the name of its distribution, of its entry point or module, or of something that it
    offers, such as a generator. An enabled plugin is loaded in a process of its own, for the names
    of what it offers. The history is what `muniment plugins` changed, and which actor did, as the
    ledger records it.
    """
    present = distributions()
    key = find_plugins(context, present, [name])[0]
    commands = discovery.installed_commands()
    modules = [
        plugin for plugin in discovery.installed_plugins() if normalised(plugin.distribution) == key
    ]
    added = [command.words for command in commands if normalised(command.distribution) == key]
    distribution = present[key]
    policies = discovery.policy_names().get(key, [])
    title, version = distribution.metadata["Name"], distribution.version
    record = InstallRecords(context.home).state().plugins.get(key)
    digest = code_digest(key)
    signer = signer_of(record, version, digest)
    changed = record is not None and record.changed(version, digest)
    history = context.history(InstallationEntry, title)
    disabled = sorted(context.config.disabled())
    enabled = key not in disabled
    result = check_plugins([key], disabled)[key] if enabled else None
    state = "broken" if result and not result.ok else "enabled" if enabled else "disabled"
    details = {
        "distribution": title,
        "version": version,
        "summary": str(distribution.metadata["Summary"] or ""),
        "entry_points": [{"name": plugin.name, "module": plugin.module} for plugin in modules],
        "commands": added,
        "policies": policies,
        "requires": list(distribution.requires or ()),
        "digest": digest,
        "offers": result.objects if result and (result.ok or result.objects) else None,
        "enabled": enabled,
        "state": state,
        "message": result.message if result else "",
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
            ("offers", lambda _: _offers(result)),
            ("modules", lambda _: "\n".join(f"{one.name} = {one.module}" for one in modules)),
            ("commands", lambda _: "\n".join(f"muniment {words}" for words in added)),
            ("policies", lambda _: "\n".join(policies)),
            ("needs", lambda _: "\n".join(distribution.requires or ())),
            ("digest", lambda _: short_digest(digest)),
            ("state", "state"),
            ("origin", lambda _: CHANGED if changed else signer_text(signer)),
            ("previous", "previous"),
            (
                "history",
                lambda _: "\n".join(
                    f"{moment(event.at)}  {event.entry.act} {event.entry.plugin.version}  "
                    f"{actor_cell(event.actor, event.altered)}  {signer_text(event.entry.signer)}"
                    for event in history
                ),
            ),
        ],
        as_json,
    )


def find_plugins(
    context: CliContext, present: Mapping[str, Distribution], names: Sequence[str]
) -> list[str]:
    """Return the normalised names of installed plugins, each of which is given by any name.

    The plugins are loaded only for names that are in no metadata. Raises UnknownNameError or
    AmbiguousNameError.
    """
    records = InstallRecords(context.home)
    known = plugin_names(present)
    keys = []
    for name in names:
        try:
            key = records.find(name, present)
        except UnknownNameError:
            registered = {
                key: known[key]
                for key, result in load_plugins(context, known).items()
                if any(name_key(name) == name_key(item["name"]) for item in result.objects)
            }
            key = one_plugin(name, registered, known.values())
        if key not in present:
            raise UsageError(f"plugin {name} is not installed any more; {restore_hint()}")
        keys.append(key)
    return keys


def load_plugins(context: CliContext, keys: Collection[str]) -> dict[str, SmokeTestResult]:
    """Load the enabled ones of these plugins, given by their normalised names, in one process.

    Returns their results by normalised name, after all checks of `check_plugins`.
    """
    disabled = context.config.disabled()
    with waiting("loading plugins"):
        results = load_together(sorted(set(keys) - disabled))
        _compare(results, disabled)
    return results


def warn_of_broken(name: str, reason: str) -> None:
    """Print the reason why the plugin of a distribution is broken."""
    subject = f"plugin {name} "
    shown = one_line(reason).removeprefix(subject)
    verb = "" if shown != one_line(reason) else "is broken: "
    write_note(f"Warning: {subject}{verb}{shown}")


def _results(
    check: Callable[[str], SmokeTestResult], keys: Sequence[str]
) -> Iterator[tuple[str, SmokeTestResult]]:
    """Yield plugins with the results of a check that runs for several plugins at a time."""
    with (
        counting("loading plugins", len(keys)) as bar,
        ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool,
    ):
        for key, result in zip(keys, pool.map(check, keys), strict=True):
            bar.advance(1)
            yield key, result


def _offers(result: SmokeTestResult | None) -> str:
    """Return what a plugin registers, a line an object, and why it cannot be used."""
    if result is None:
        return ""
    lines = [" ".join(filter(None, registered.values())) for registered in result.objects]
    if not result.ok:
        lines.append(f"(cannot be used: {result.message})")
    return "\n".join(lines)


@click.command
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@json_option
@click.pass_obj
def enable(context: CliContext, names: tuple[str, ...], as_json: bool) -> None:
    """Enable plugins that were disabled.

    An interrupted change is repaired first. The plugins are loaded, and a warning is printed for
    each that is broken. If a name is unknown, nothing is changed.
    """
    _switch(context, names, "enabled", as_json=as_json)


@click.command
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@json_option
@click.pass_obj
def disable(context: CliContext, names: tuple[str, ...], as_json: bool) -> None:
    """Disable plugins without uninstalling them.

    An interrupted change is repaired first. Their commands are disabled with them. A policy that
    names one of their filters blocks everything until the plugin is enabled again, or until another
    policy is chosen. If a name is unknown, nothing is changed.
    """
    _switch(context, names, "disabled", as_json=as_json)


def _switch(context: CliContext, names: Sequence[str], act: PluginAct, *, as_json: bool) -> None:
    """Enable or disable plugins, after the names of all were found."""
    records = InstallRecords(context.home)
    repair_last = act == "enabled" and discovery.INSTALLER in map(normalised, names)
    if not repair_last:
        _repair(context, records)
    present = distributions()
    keys = dict.fromkeys(records.find(name, present) for name in names)
    for key in keys:
        if key not in present:
            gone = records.state().plugins[key].name
            raise UsageError(f"plugin {gone} is not installed any more; {restore_hint()}")
    changed = []
    for key in keys:
        title, version = present[key].metadata["Name"], present[key].version
        if (act == "disabled") is (key in context.config.disabled()):
            write_note(f"{title} is {act} already")
            continue
        digest = code_digest(key)
        signer = signer_of(records.state().plugins.get(key), version, digest)
        context.session.ensure_store()
        context.config.set(f"plugin.{key}.enabled", "false" if act == "disabled" else None)
        record_event(context.session, InstallEvent(now(), act, title, version, digest, signer))
        print_changes([Change(act, title, version, digest, signer)], as_json, empty="")
        changed.append(key)
    if act == "enabled":
        results = check_plugins(changed, sorted(context.config.disabled()))
        for key, result in results.items():
            if not result.ok:
                warn_of_broken(present[key].metadata["Name"], result.message)
    if repair_last:
        _repair(context, records)


REPAIR_GROUP = "muniment.repair"
_SLOW = 1.0  # seconds of loading from which a warning is printed


@click.command
@click.argument("names", metavar="[NAME]...", nargs=-1)
@headers_option
@json_option
@click.pass_obj
def doctor(context: CliContext, names: tuple[str, ...], as_json: bool) -> int:
    """Load every plugin in its own process, and repair an interrupted change.

    NAME checks only that plugin. Off a terminal the columns are: distribution, version, state (ok,
    broken, disabled or gone), seconds of loading, and the reason. The traceback of a broken plugin
    follows on standard error. The exit code is 1 when an enabled plugin is broken or gone.
    """
    records = InstallRecords(context.home)
    code = _repair(context, records)
    rows = _diagnose(context, records, names)
    for row in rows:
        _warn(row)
    emit(
        rows,
        [
            ("distribution", "distribution"),
            ("version", "version"),
            ("state", "state"),
            ("seconds", lambda row: "" if row["seconds"] is None else f"{row['seconds']:.2f}"),
            ("why", "message"),
        ],
        as_json,
        empty="no plugin is installed",
        drop=("seconds", "version"),
    )
    for row in rows:
        if row["traceback"] and not as_json:
            write_note(f"\n{row['distribution']}:\n{row['traceback'].rstrip()}")
    failed = any(row["state"] in ("broken", "gone") for row in rows)
    return exit_codes.FAILED if failed else code


def _repair(context: CliContext, records: InstallRecords) -> int:
    """Let muniment-installer repair an interrupted change, and return the exit code.

    Its entry point in the group `muniment.repair` names a function that takes the session.
    """
    change = records.interrupted()
    if change is None:
        return exit_codes.DONE
    if repair := _repair_function(context.config.disabled()):
        repair(context.session)
        return exit_codes.DONE
    write_note(
        f"Warning: {change} was interrupted; run `{install_command()}` (or `muniment plugins "
        "enable muniment-installer`), then `muniment plugins doctor`"
    )
    return exit_codes.FAILED


def _repair_function(disabled: Collection[str]) -> Callable[[muniment.Session], None] | None:
    for point in importlib.metadata.entry_points(group=REPAIR_GROUP):
        if point.dist is not None and normalised(point.dist.name) not in disabled:
            try:
                function: Callable[[muniment.Session], None] = point.load()
            except (Exception, SystemExit) as error:
                name = point.dist.name
                raise PluginError(
                    name, f"the repair of {name} cannot be imported: {explain(error, point.module)}"
                ) from error
            return function
    return None


def _diagnose(
    context: CliContext, records: InstallRecords, names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Return the states of the plugins in the shape `plugin_health`."""
    present, disabled = distributions(), context.config.disabled()
    known, recorded = plugin_names(present), records.state().plugins
    gone = records.gone(present)
    keys = [records.find(name, present) for name in names] or sorted({*known, *gone})

    results = dict(_results(load_alone, [key for key in keys if key in known]))
    _compare(results, disabled)
    rows = []
    for key in keys:
        if key in known:
            result = results[key]
            name, version = known[key], present[key].version
            state = "ok" if result.ok else "broken"
        else:
            name, version, state = gone[key].name, gone[key].version, "gone"
            message = f"it is not installed any more; {restore_hint()}"
            result = SmokeTestResult(key, False, message)
        record = recorded.get(key) if result.digest else None
        rows.append(
            {
                "distribution": name,
                "version": version,
                "state": "disabled" if key in disabled else state,
                "message": result.message,
                "traceback": result.traceback,
                "seconds": result.seconds,
                "digest": result.digest,
                "changed": record is not None and record.changed(version, result.digest),
                "offers": result.objects,
                "commands": [path.replace(".", " ") for path in result.commands],
            }
        )
    return rows


def _warn(row: dict[str, Any]) -> None:
    name, seconds = row["distribution"], row["seconds"]
    if row["changed"]:
        write_note(f"Warning: {name} was {CHANGED}; uninstall and install it again")
    if seconds is not None and seconds > _SLOW:
        write_note(
            f"Warning: loading {name} takes {seconds:.1f} seconds, which delays every command that "
            "loads plugins"
        )
