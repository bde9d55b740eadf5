"""`muniment plugins install` and all that changes what is installed or in use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muniment.cli import exit_codes
from muniment.cli.confirm import confirm
from muniment.cli.context import CliContext
from muniment.cli.options import json_option, yes_option
from muniment.cli.output import write_data, write_json, write_note
from muniment.cli.plugins_read import signed
from muniment.cli.progress import waiting

if TYPE_CHECKING:
    from muniment.installing.installer import Change, Installer
    from muniment.installing.state import InstallEvent


@click.command
@click.argument("plugins", metavar="PLUGIN...", nargs=-1, required=True)
@click.option(
    "--key", metavar="PUB", help="Who must have signed the bundle: a public key or its file."
)
@json_option
@click.pass_obj
def install(context: CliContext, plugins: tuple[str, ...], key: str | None, as_json: bool) -> None:
    """Install plugins beside Muniment, and try each; what does not work is taken out again.

    PLUGIN is the name of a distribution (`name`, `name==1.2`), the path of a folder or wheel, or a
    bundle, from which nothing but the bundle is used. All are installed, or none. Nothing that is
    there is replaced for it: what does not go with that is refused.

    A plugin is code that may do whatever you may do: install what you trust.
    """
    from muniment.verifier import public_key

    public = None if key is None else public_key(key)
    with waiting(f"installing {', '.join(plugins)}"):
        changes = installer(context).install(plugins, key=public)
    _told(changes, as_json, "nothing is new: all of it is installed already")


@click.command
@click.argument("plugins", metavar="PLUGIN...", nargs=-1, required=True)
@json_option
@click.pass_obj
def upgrade(context: CliContext, plugins: tuple[str, ...], as_json: bool) -> None:
    """Install newer versions of plugins; what does not work makes way for what did.

    PLUGIN is the name of an installed plugin, or the path of a folder or wheel of one. The wheel of
    the version that was there is kept, and `muniment plugins install` takes it back.
    """
    with waiting(f"upgrading {', '.join(plugins)}"):
        changes = installer(context).install(plugins, upgrade=True)
    _told(changes, as_json, "there is nothing newer")


@click.command
@click.argument("name")
@yes_option
@json_option
@click.pass_obj
def uninstall(context: CliContext, name: str, yes: bool, as_json: bool) -> int:
    """Take a plugin out.

    What came along with it goes, too, unless something else needs it. What was generated stays on
    record, but cannot be replayed without the plugin.
    """
    here = installer(context)
    here.mend()
    here.find(name)
    along = "".join(f", and {other}, which nothing else needs" for other in here.along(name))
    if not confirm(f"Uninstalling {name}{along}", yes=yes, otherwise="nothing was uninstalled"):
        return exit_codes.FAILED
    with waiting(f"uninstalling {name}"):
        change = here.uninstall(name)
    _told([change], as_json, "")
    return exit_codes.DONE


@click.command
@click.argument("lock", metavar="[LOCK]", required=False)
@click.option(
    "--from",
    "folders",
    metavar="FOLDER",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with wheels to take from; may be repeated.",
)
@json_option
@click.pass_obj
def restore(
    context: CliContext, lock: str | None, folders: tuple[Path, ...], as_json: bool
) -> None:
    """Install what a lock pins, or what was installed here and is gone.

    LOCK is what `muniment plugins freeze` printed. Without one, plugins are brought back that went
    with an environment that was made anew, as by `pipx reinstall` or `uv tool upgrade`. Every wheel
    must have the hash that is pinned. What is installed besides stays.
    """
    from muniment.installing import locks

    pins = None if lock is None else locks.parse(_read(lock), lock)
    with waiting("restoring plugins"):
        changes = installer(context).restore(pins, [folder.absolute() for folder in folders])
    _told(changes, as_json, "nothing is missing")


@click.command
@click.argument("name")
@json_option
@click.pass_obj
def enable(context: CliContext, name: str, as_json: bool) -> None:
    """Use a plugin again that was disabled."""
    _switch(context, name, on=True, as_json=as_json)


@click.command
@click.argument("name")
@json_option
@click.pass_obj
def disable(context: CliContext, name: str, as_json: bool) -> None:
    """Leave a plugin out, as if it were not installed.

    A policy that names a filter of it blocks everything until the plugin is enabled again, or
    another policy is chosen.
    """
    _switch(context, name, on=False, as_json=as_json)


def installer(context: CliContext) -> Installer:
    """Return what installs plugins for this home, on record and for this actor."""
    from muniment.installing.installer import Installer
    from muniment.ledger.entries import moment
    from muniment.types import PluginRef

    def record(act: InstallEvent) -> None:
        from muniment.store.recording.events import Installation

        session = context.session
        plugin = PluginRef(act.distribution, act.version, act.digest)
        session.record_installation(
            Installation(moment(act.at), session.actor, act.act, plugin, act.signer)
        )

    return Installer(
        context.home,
        ready=lambda: context.session.ensure_store(),
        record=record,
        say=write_note,
        disabled=context.config.disabled(),
    )


def _switch(context: CliContext, name: str, *, on: bool, as_json: bool) -> None:
    from muniment.installing.installer import Change, code_digest, signer_of
    from muniment.installing.state import InstallEvent, now

    here = installer(context)
    key = here.find(name)
    act = "enabled" if on else "disabled"
    there = here.present().get(key)
    if there is None:
        raise click.UsageError(f"{name} is gone; `muniment plugins restore` brings it back.")
    title, version = there.metadata["Name"], there.version
    if on is (key not in context.config.disabled()):
        _told([], as_json, f"{title} is {act} already")
        return
    digest = code_digest(key)
    signer = signer_of(here.records.state().plugins.get(key), version, digest)
    context.session.ensure_store()
    context.config.set(f"plugin.{key}.enabled", None if on else "false")
    here.record(
        InstallEvent(now(), "enabled" if on else "disabled", title, version, digest, signer)
    )
    _told([Change("enabled" if on else "disabled", title, version, digest, signer)], as_json, "")


def _told(changes: Sequence[Change], as_json: bool, nothing: str) -> None:
    """Print what was done, or say that there was nothing to do."""
    for done in changes:
        if as_json:
            write_json(
                {
                    "act": done.act,
                    "distribution": done.distribution,
                    "version": done.version,
                    "previous": done.previous,
                    "digest": done.digest,
                    "signer": done.signer,
                    "brought": list(done.brought),
                }
            )
            continue
        was = f" (was {done.previous})" if done.previous else ""
        origin = f"  {signed(done.signer)}" if done.act in ("installed", "upgraded") else ""
        write_data(f"{done.act} {done.distribution} {done.version}{was}{origin}")
    if changes and not as_json and changes[0].brought:
        verb = "went" if changes[0].act == "removed" else "came"
        write_note(f"{verb} along: {', '.join(changes[0].brought)}")
    if not changes:
        write_note(nothing)


def _read(lock: str) -> str:
    from muniment.errors import UsageError
    from muniment.installing import bundle_format

    if bundle_format.is_bundle(Path(lock)):
        bundle_format.read(Path(lock))
        raise UsageError(f"{lock} is a bundle and no lock; `muniment plugins install` takes it")
    try:
        return Path(lock).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{lock} cannot be read: {why}") from None
