"""The command `muniment plugins list`, which imports no plugin into its process."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from muniment.cli.context import CliContext
from muniment.cli.listing import Column, emit
from muniment.cli.options import headers_option, json_option
from muniment.cli.output import on_terminal, write_note
from muniment.config import normalised
from muniment.plugins import discovery
from muniment.plugins.discovery import Plugin, PluginCommand
from muniment.plugins.providers import TEXT, install_command

if TYPE_CHECKING:
    from muniment.plugins.smoke_test import SmokeTestResult
    from muniment.plugins.state import InstallRecord


@click.command("list")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--offers",
    is_flag=True,
    help="Load the enabled plugins, and list what they register too.",
)
@headers_option
@json_option
@click.pass_obj
def list_(context: CliContext, names: tuple[str, ...], offers: bool, as_json: bool) -> None:
    """List the installed plugins.

    NAME selects plugins, by the names that `muniment plugins show` accepts. With --offers the
    enabled plugins are loaded in a process apart. One that cannot be used is then broken, and the
    reason is printed on standard error. Otherwise none is loaded, and an enabled plugin can have
    errors, which `muniment plugins doctor` finds.

    Off a terminal the columns are: distribution, version, name, module, enabled or disabled, the
    commands that the plugin adds, and its policies. With --offers they are: distribution, version,
    name, the state (enabled, disabled or broken), and all that it offers. Plugins that are recorded
    but missing, and an interrupted change, are reported on standard error.
    """
    columns: list[Column[Any]]
    columns = [("distribution", "distribution"), ("version", "version"), ("name", "name")]
    if offers:
        columns += [("state", "state"), ("offers", _offers)]
    else:
        columns += [("module", "module"), ("state", "state")]
        columns += [("commands", "commands"), ("policies", "policies")]
    install = install_command(TEXT.distribution, context.config.disabled())
    keys = _selected(context, names)
    results: Mapping[str, SmokeTestResult] = {}
    if offers:
        from muniment.cli.plugins import load_plugins

        results = load_plugins(context, keys)
    rows = _plugins(context, keys, results, as_json=as_json)
    emit(
        rows,
        columns,
        as_json,
        empty=f"no plugin is installed; `{install}` installs one for text",
        cut="commands",
        drop=("module", "name", "version", "policies", "commands"),
        show=_show_offers if offers else None,
    )
    _warn(rows, results)
    if on_terminal() and not (offers or as_json):
        write_note("no plugin was loaded; `muniment plugins doctor` loads each and reports errors")


def _by_kind(plugin: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of all that a plugin offers, by the kind in plural."""
    names: dict[str, list[str]] = {}
    for item in plugin["offers"] or ():
        names.setdefault(f"{item['kind'].replace('_', ' ')}s", []).append(item["name"])
    names |= {kind: plugin[kind] for kind in ("commands", "policies") if plugin[kind]}
    return names


def _offers(plugin: Mapping[str, Any]) -> str:
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in _by_kind(plugin).items())


def _show_offers(plugin: Mapping[str, Any]) -> None:
    """Print a plugin and what it offers on a terminal, a line a kind."""
    from muniment.cli.output import write_data

    state = "" if plugin["state"] == "enabled" else f"  {plugin['state']}"
    write_data(f"{plugin['distribution']} {plugin['version']}{state}")
    for kind, names in _by_kind(plugin).items():
        write_data(f"  {kind:12}{', '.join(names)}")


def gone_plugins(context: CliContext, present: Collection[str]) -> str:
    """Return a sentence that names recorded plugins that are missing, or an empty text.

    `present` has the normalised names of the installed plugins.
    """
    if not (context.home / "plugins").is_dir():
        return ""
    from muniment.cli.plugins import restore_hint
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


def _selected(context: CliContext, names: Sequence[str]) -> Collection[str]:
    """Return the normalised names of the installed plugins, or of those that `names` select.

    The plugins are loaded only for a name that is in no metadata.
    """
    if names:
        from muniment.cli.plugins import find_plugins
        from muniment.plugins.state import distributions

        return set(find_plugins(context, distributions(), names))
    installed = [*discovery.installed_plugins(), *discovery.installed_commands()]
    return {normalised(plugin.distribution) for plugin in installed}


def _plugins(
    context: CliContext,
    keys: Collection[str],
    results: Mapping[str, SmokeTestResult],
    *,
    as_json: bool,
) -> list[dict[str, Any]]:
    """Return the plugins with these normalised names, in the shape `plugin`.

    `results` are those of the plugins that were loaded. The signers are read only with `as_json`,
    because the code must be hashed to know them.
    """
    disabled = context.config.disabled()
    added: dict[str, list[PluginCommand]] = {}
    for command in discovery.installed_commands():
        added.setdefault(normalised(command.distribution), []).append(command)
    entries: list[tuple[str, Plugin, str]] = [
        (normalised(plugin.distribution), plugin, plugin.name)
        for plugin in discovery.installed_plugins()
    ]
    present = {key for key, _, _ in entries}
    # A distribution that only adds commands has no entry point with a name.
    entries += [(key, added[key][0], "") for key in added.keys() - present]
    records = _records(context, present | added.keys())
    policies = discovery.policy_names()
    rows = []
    for key, plugin, name in entries:
        if key not in keys:
            continue
        result = results.get(key)
        state = "disabled" if key in disabled else "enabled"
        rows.append(
            {
                "distribution": plugin.distribution,
                "version": plugin.version,
                "name": name,
                "module": plugin.module,
                "commands": [command.words for command in added.get(key, ())],
                "policies": policies.get(key, []),
                "offers": None if result is None else result.objects,
                "enabled": key not in disabled,
                "state": state if result is None or result.ok else "broken",
                "message": "" if result is None else result.message,
                **_origin(plugin, records.get(key) if as_json else None),
            }
        )
    return sorted(rows, key=itemgetter("distribution", "name"))


def _warn(rows: Sequence[Mapping[str, Any]], results: Mapping[str, SmokeTestResult]) -> None:
    """Print the reasons why plugins are broken, and the command that prints their tracebacks."""
    broken = {row["distribution"]: row["message"] for row in rows if row["state"] == "broken"}
    if not broken:
        return
    from muniment.cli.plugins import warn_of_broken

    for name, reason in broken.items():
        warn_of_broken(name, reason)
    if traced := [name for name in broken if results[normalised(name)].traceback]:
        write_note(f"`muniment plugins doctor {' '.join(traced)}` prints the traceback")


def _origin(plugin: Plugin, record: InstallRecord | None) -> dict[str, Any]:
    if record is None:
        return {"signer": None, "changed": False}
    from muniment.plugins.state import signer_of

    digest = plugin.ref().digest
    return {
        "signer": signer_of(record, plugin.version, digest),
        "changed": record.changed(plugin.version, digest),
    }


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
