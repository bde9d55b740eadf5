"""The command `muniment plugins list`, which reads metadata and records, and imports no plugin."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from muniment.cli.context import CliContext
from muniment.cli.listing import Column, emit
from muniment.cli.options import headers_option, json_option
from muniment.cli.output import on_terminal, one_line, write_note
from muniment.config import normalised
from muniment.plugins import discovery
from muniment.plugins.discovery import Plugin, PluginCommand
from muniment.plugins.providers import TEXT, install_command

if TYPE_CHECKING:
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

    NAME selects plugins, by the names that `muniment plugins show` accepts. --offers loads each
    plugin in a process of its own, and otherwise none is imported. So an enabled plugin can have
    errors, which `muniment plugins doctor` finds.

    Off a terminal the columns are: distribution, version, name, module, enabled or disabled, the
    commands that the plugin adds, and its policies. With --offers they are: distribution, version,
    name, enabled or disabled, and all that it offers. Plugins that are recorded but missing, and an
    interrupted change, are reported on standard error.
    """
    columns: list[Column[Any]]
    state: Column[Any] = ("state", lambda plugin: "enabled" if plugin["enabled"] else "disabled")
    columns = [("distribution", "distribution"), ("version", "version"), ("name", "name")]
    if offers:
        columns += [state, ("offers", _offers)]
    else:
        columns += [("module", "module"), state, ("commands", "commands"), ("policies", "policies")]
    install = install_command(TEXT.distribution, context.config.disabled())
    emit(
        _plugins(context, names, offers=offers, as_json=as_json),
        columns,
        as_json,
        empty=f"no plugin is installed; `{install}` installs one for text",
        cut="commands",
        drop=("module", "name", "version", "policies", "commands"),
        show=_show_offers if offers else None,
    )
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

    state = "" if plugin["enabled"] else "  disabled"
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


def _plugins(
    context: CliContext, names: Sequence[str], *, offers: bool, as_json: bool
) -> list[dict[str, Any]]:
    """Return the installed plugins, or those with these names, in the shape `plugin`.

    The signers are read only with `as_json`, because the code must be hashed to know them. The
    plugins are loaded only for `offers`, and for a name that is in no metadata.
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
    if names:
        from muniment.cli.plugins import find_plugins
        from muniment.plugins.state import distributions

        selected = find_plugins(context, distributions(), names)
        entries = [entry for entry in entries if entry[0] in selected]
    registered: Mapping[str, list[dict[str, str]]] = {}
    if offers:
        from muniment.cli.plugins import loaded_objects

        keys = list(dict.fromkeys(key for key, _, _ in entries))
        registered = loaded_objects(
            context, keys, lambda reason: write_note(f"Warning: {one_line(reason)}")
        )
    policies = discovery.policy_names()
    rows = [
        {
            "distribution": plugin.distribution,
            "version": plugin.version,
            "name": name,
            "module": plugin.module,
            "commands": [command.words for command in added.get(key, ())],
            "policies": policies.get(key, []),
            "offers": registered.get(key),
            "enabled": key not in disabled,
            **_origin(plugin, records.get(key) if as_json else None),
        }
        for key, plugin, name in entries
    ]
    return sorted(rows, key=itemgetter("distribution", "name"))


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
