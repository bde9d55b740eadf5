"""Functions that the core's commands for plugins share with those of muniment-installer."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import muniment
from muniment.cli import plugin_commands
from muniment.cli.lazy import command_paths
from muniment.cli.output import short_digest, write_data, write_json, write_note
from muniment.plugins.discovery import INSTALLER, installed_commands
from muniment.plugins.smoke_test import SmokeTestResult, smoke_test
from muniment.plugins.state import InstallEvent, distributions

if TYPE_CHECKING:
    from muniment.ledger.entries import PluginAct

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
    core = command_paths(root, [command.name for command in installed_commands()])
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
    if INSTALLER in distributions():
        return "`muniment plugins restore` installs the missing plugins"
    return f"`{install_command()}`, then `muniment plugins restore`, installs the missing plugins"
