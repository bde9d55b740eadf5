"""The commands `muniment plugins install`, `upgrade`, `uninstall` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from muniment import UsageError
from muniment.command import (
    Translations,
    confirm,
    json_option,
    pass_session,
    progress,
    write_note,
    yes_option,
)

if TYPE_CHECKING:
    from muniment import Session
    from muniment_installer.installer import Installer

_key_option = click.option(
    "--key", metavar="PUB", help="Public key, or its file, that must have signed the bundle."
)


@click.command
@click.argument("plugins", metavar="PLUGIN...", nargs=-1, required=True)
@_key_option
@json_option
@pass_session
def install(session: Session, plugins: tuple[str, ...], key: str | None, as_json: bool) -> None:
    """Install plugins, and roll back unless each of them loads.

    PLUGIN is the name of a distribution (`name`, `name==1.2`), the path of a folder or wheel, or a
    bundle, whose content alone is then used. All plugins are installed, or none. Installed packages
    are never changed. A plugin that conflicts, or that is installed already, is refused.

    A plugin is code that runs with all your permissions: install only what you trust.
    """
    from muniment.installation import print_changes, public_key

    public = None if key is None else public_key(key)
    with progress(f"installing {', '.join(plugins)}"):
        changes = installer(session).install(plugins, key=public)
    print_changes(changes, as_json, empty="nothing is new: all of it is installed already")


@click.command
@click.argument("plugins", metavar="PLUGIN...", nargs=-1, required=True)
@_key_option
@json_option
@pass_session
def upgrade(session: Session, plugins: tuple[str, ...], key: str | None, as_json: bool) -> None:
    """Upgrade plugins. A version that does not work is rolled back.

    PLUGIN is the name of an installed plugin, or the path of a folder, wheel or bundle of one. An
    older version than the installed one is refused: uninstall that first.
    """
    from muniment.installation import print_changes, public_key

    public = None if key is None else public_key(key)
    with progress(f"upgrading {', '.join(plugins)}"):
        changes = installer(session).install(plugins, key=public, upgrade=True)
    print_changes(changes, as_json, empty="there is no newer version")


@click.command
@click.argument("name")
@yes_option
@json_option
@pass_session
def uninstall(session: Session, name: str, yes: bool, as_json: bool) -> int:
    """Uninstall a plugin.

    Distributions that were installed with it, and that nothing else needs, are uninstalled, too.
    Its generations stay recorded, but cannot be replayed without the plugin.
    """
    from muniment.installation import print_changes
    from muniment_installer.preflight import refuse_own

    refuse_own(name)
    plugin_installer = installer(session)
    plugin_installer.recover()
    plugin_installer.find(name)
    gettext = Translations("muniment-installer").gettext
    action = gettext("uninstall {name}").format(name=name)
    for other in plugin_installer.owned_by(name):
        action += gettext(", and {name}, which nothing else needs").format(name=other)
    if not confirm(action, yes=yes, otherwise=gettext("nothing was uninstalled")):
        return 1
    with progress(f"uninstalling {name}"):
        change = plugin_installer.uninstall(name)
    print_changes([change], as_json, empty="")
    return 0


@click.command
@click.argument("lock", metavar="[LOCK]", required=False)
@click.option(
    "--from",
    "folders",
    metavar="FOLDER",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder to search for wheels (may be repeated).",
)
@json_option
@pass_session
def restore(session: Session, lock: str | None, folders: tuple[Path, ...], as_json: bool) -> None:
    """Install the plugins of a lock file, or recorded plugins that are missing.

    LOCK is the output of `muniment plugins freeze`. Without it, recorded plugins that the
    environment lacks are installed again, as after `pipx reinstall` or `uv tool upgrade`. Every
    wheel must have the pinned hash. Other plugins do not change.
    """
    from muniment.installation import print_changes
    from muniment_installer import locks

    pins = None if lock is None else locks.parse(_read(lock), lock)
    with progress("restoring plugins"):
        changes = installer(session).restore(pins, [folder.absolute() for folder in folders])
    print_changes(changes, as_json, empty="nothing is missing")


def repair(session: Session) -> None:
    """Undo or finish an interrupted change. `muniment plugins doctor` calls this function."""
    installer(session).recover()


def installer(session: Session) -> Installer:
    """Return the installer for the home folder, the ledger and the actor of a session."""
    from functools import partial

    from muniment.installation import record_event
    from muniment_installer.installer import Installer

    return Installer(
        session.home,
        prepare=session.ensure_store,
        record=partial(record_event, session),
        note=write_note,
        disabled=session.config.disabled(),
    )


def _read(lock: str) -> str:
    from muniment_installer import bundle_format

    if bundle_format.is_bundle(Path(lock)):
        bundle_format.read(Path(lock))
        raise UsageError(
            f"{lock} is a bundle, not a lock file; use `muniment plugins install` for it"
        )
    try:
        return Path(lock).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{lock} cannot be read: {why}") from None
