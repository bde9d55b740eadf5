"""The command `muniment plugins list`, which loads the enabled plugins in another process."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from muniment.cli.context import CliContext
from muniment.cli.listing import Column, emit
from muniment.cli.options import headers_option, json_option
from muniment.cli.output import write_note
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
    help="List what the plugins register too.",
)
@headers_option
@json_option
@click.pass_obj
def list_(context: CliContext, names: tuple[str, ...], offers: bool, as_json: bool) -> None:
    """List the installed plugins.

    NAME selects plugins, by the names that `muniment plugins show` accepts. The enabled plugins are
    loaded in a process apart. One that cannot be used is broken, and the reason is printed on
    standard error.

    Off a terminal the columns are: distribution, version, name, module, the state (enabled,
    disabled or broken), the commands that the plugin adds, and its policies. With --offers they
    are: distribution, version, name, the state, and all that it offers. Plugins that are recorded
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
    results = _results(context, names)
    rows = _plugins(context, results, as_json=as_json)
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


def _results(context: CliContext, names: Sequence[str]) -> dict[str, SmokeTestResult | None]:
    """Return the results of loading the installed plugins, by normalised name, or those named.

    The result of a disabled plugin is None.
    """
    from muniment.cli.plugins import find_plugins, load_plugins
    from muniment.plugins.state import distributions

    installed = [*discovery.installed_plugins(), *discovery.installed_commands()]
    keys = dict.fromkeys(normalised(plugin.distribution) for plugin in installed)
    loaded = load_plugins(context, keys)
    selected = find_plugins(context, distributions(), names) if names else keys
    return {key: loaded.get(key) for key in selected}


def _plugins(
    context: CliContext, results: Mapping[str, SmokeTestResult | None], *, as_json: bool
) -> list[dict[str, Any]]:
    """Return the plugins that have results, in the shape `plugin`.

    The signers are read only with `as_json`, because the code must be hashed to know them.
    """
    from muniment.cli.plugins import state_of

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
        if key not in results:
            continue
        result = results[key]
        rows.append(
            {
                "distribution": plugin.distribution,
                "version": plugin.version,
                "name": name,
                "module": plugin.module,
                "commands": [command.words for command in added.get(key, ())],
                "policies": policies.get(key, []),
                "offers": None if result is None else result.objects,
                "enabled": result is not None,
                "state": state_of(result),
                "message": "" if result is None else result.message,
                **_origin(plugin, records.get(key) if as_json else None),
            }
        )
    return sorted(rows, key=itemgetter("distribution", "name"))


def _warn(rows: Sequence[Mapping[str, Any]], results: Mapping[str, SmokeTestResult | None]) -> None:
    """Print the reasons why plugins are broken."""
    from muniment.cli.plugins import warn_if_broken

    broken = dict.fromkeys(row["distribution"] for row in rows if row["state"] == "broken")
    for name in broken:
        if (result := results[normalised(name)]) is not None:
            warn_if_broken(name, result)
    if broken:
        write_note(f"`muniment plugins doctor {' '.join(broken)}` prints the traceback")


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
