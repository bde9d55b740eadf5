"""`muniment plugins list` and `show`: from metadata and records; no plugin is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from muniment.cli.context import CliContext
from muniment.cli.options import json_option
from muniment.cli.output import (
    moment,
    on_terminal,
    print_fields,
    shortened,
    table,
    write_json,
    write_note,
)

if TYPE_CHECKING:
    from muniment.installing.state import InstallRecord, Records
    from muniment.store.recording.events import Installation

CHANGED = "changed since it was installed"


@click.command("list")
@json_option
@click.pass_obj
def list_(context: CliContext, as_json: bool) -> None:
    """List the installed plugins.

    Off a terminal the columns are: distribution, version, name, module, and enabled or disabled.
    What was installed here and is gone, and a change that was cut short, is said on standard error.
    """
    from muniment.config import normalised
    from muniment.plugins.discovery import installed_plugins

    found = sorted(installed_plugins(), key=lambda plugin: (plugin.distribution, plugin.name))
    disabled = context.config.disabled()
    held = _look(context, {normalised(plugin.distribution) for plugin in found})
    rows = []
    for plugin in found:
        key = normalised(plugin.distribution)
        if as_json:
            origin = held.get(key)
            digest = plugin.ref().digest if origin else ""
            changed = origin is not None and origin.changed(plugin.version, digest)
            same = origin is not None and origin.version == plugin.version and not changed
            write_json(
                {
                    "distribution": plugin.distribution,
                    "version": plugin.version,
                    "name": plugin.name,
                    "module": plugin.module,
                    "enabled": key not in disabled,
                    "signer": origin.signer if origin and same else None,
                    "changed": changed,
                }
            )
        else:
            state = "disabled" if key in disabled else "enabled"
            rows.append((plugin.distribution, plugin.version, plugin.name, plugin.module, state))
    table(("distribution", "version", "name", "module", "state"), rows)
    if not found:
        write_note(
            "no plugin is installed; `muniment plugins install muniment-text` brings one for text"
        )


@click.command
@click.argument("name")
@json_option
@click.pass_obj
def show(context: CliContext, name: str, as_json: bool) -> None:
    """Show what is known of an installed plugin.

    NAME is that of its distribution. What `muniment plugins` did to it, and who asked, is read from
    the record, if there is one.
    """
    import importlib.metadata

    from muniment.config import normalised
    from muniment.errors import UnknownNameError
    from muniment.installing.installer import code_digest, signer_of
    from muniment.plugins.discovery import installed_plugins

    key = normalised(name)
    all_ = list(installed_plugins())
    plugins = [plugin for plugin in all_ if normalised(plugin.distribution) == key]
    if not plugins:
        raise UnknownNameError("plugin", name, sorted({plugin.distribution for plugin in all_}))
    first = plugins[0]
    distribution = importlib.metadata.distribution(first.distribution)
    held = _records(context).state().plugins.get(key)
    digest = code_digest(key)
    signer = signer_of(held, first.version, digest)
    changed = held is not None and held.changed(first.version, digest)
    previous = held.previous.version if held and held.previous else None
    enabled = key not in context.config.disabled()
    history = _history(context, first.distribution)
    summary = str(distribution.metadata["Summary"] or "")
    requires = list(distribution.requires or ())
    if as_json:
        write_json(
            {
                "distribution": first.distribution,
                "version": first.version,
                "summary": summary,
                "entry_points": [{"name": one.name, "module": one.module} for one in plugins],
                "requires": requires,
                "digest": digest,
                "enabled": enabled,
                "signer": signer,
                "changed": changed,
                "previous": previous,
                "history": [_as_json(done) for done in history],
            }
        )
        return
    print_fields(
        [
            ("distribution", first.distribution),
            ("version", first.version),
            ("summary", summary),
            ("offers", "\n".join(f"{one.name} = {one.module}" for one in plugins)),
            ("needs", "\n".join(requires)),
            ("digest", shortened(digest) if on_terminal() else digest),
            ("state", "enabled" if enabled else "disabled"),
            ("origin", CHANGED if changed else signed(signer)),
            ("previous", previous or ""),
            (
                "history",
                "\n".join(
                    f"{moment(done.at)}  {done.act} {done.plugin.version}  {done.actor}"
                    f"  {signed(done.signer)}"
                    for done in history
                ),
            ),
        ]
    )


def signed(signer: str | None) -> str:
    """Return in words who signed a plugin's bundle, by the fingerprint of the key."""
    if signer is None:
        return "unsigned"
    return f"signed by {shortened(signer) if on_terminal() else signer}"


def gone_plugins(context: CliContext, there: set[str]) -> str:
    """Return which plugins were installed here and are not any more; empty where none is gone.

    `there` has the normalised names of those that are.
    """
    if not (context.home / "plugins").is_dir():
        return ""
    held = _records(context).state().plugins
    gone = sorted(plugin.name for key, plugin in held.items() if key not in there)
    if not gone:
        return ""
    return (
        f"{', '.join(gone)} {'was' if len(gone) == 1 else 'were'} installed here and went with an "
        "older environment, or by other hands; `muniment plugins restore` brings back what is gone"
    )


def _records(context: CliContext) -> Records:
    import sys
    from pathlib import Path

    from muniment.installing.state import Records

    return Records(context.home, Path(sys.prefix))


def _look(context: CliContext, there: set[str]) -> dict[str, InstallRecord]:
    """Return the plugins as they were installed; say what is not as it should be."""
    if not (context.home / "plugins").is_dir():  # `records` costs more to import than all else
        return {}
    records = _records(context)
    if not records.folder.is_dir():
        return {}
    if (journal := records.cut_short()) is not None:
        write_note(
            f"Warning: {journal.what} was cut short; `muniment plugins doctor` puts that right"
        )
    plugins = records.state().plugins
    if gone := gone_plugins(context, there):
        write_note(f"Warning: {gone}, `muniment plugins uninstall NAME` forgets it")
    return plugins


def _history(context: CliContext, distribution: str) -> list[Installation]:
    from muniment.errors import StoreError

    try:
        return context.store.installations(distribution)
    except StoreError:
        return []  # nothing was ever recorded


def _as_json(done: Installation) -> dict[str, Any]:
    from muniment.cli.output import utc

    return {
        "at": utc(done.at),
        "actor": done.actor,
        "act": done.act,
        "version": done.plugin.version,
        "digest": done.plugin.digest,
        "signer": done.signer,
    }
