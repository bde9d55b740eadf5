"""Install, upgrade, uninstall and restore the plugins of an environment."""

from __future__ import annotations

import contextlib
import importlib
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from muniment import UnknownNameError, UsageError
from muniment.installation import (
    INSTALLER,
    Change,
    Distributions,
    InstallEvent,
    InstallRecord,
    InstallState,
    PublicKey,
    code_digest,
    normalised,
    plugin_names,
    signer_of,
)
from muniment_installer import bundle_format, dependencies
from muniment_installer.destinations import check_uninstall
from muniment_installer.environment import Environment
from muniment_installer.errors import ConflictError
from muniment_installer.journal import JournaledRecords
from muniment_installer.locks import Pin
from muniment_installer.pip import Pip
from muniment_installer.preflight import (
    check_replaced,
    fits,
    refuse_own,
    replacing_error,
    requirements,
)
from muniment_installer.resolver import InstallPlan, Target, gather
from muniment_installer.transaction import Transaction, is_installed, wheel_of
from muniment_installer.wheels import Wheel, sha256_of


class Installer:
    """The plugins of the environment of this process, recorded in one home folder.

    `prepare` raises when the ledger cannot be written, and is called before anything is changed.
    `record` writes an event to the ledger, and `note` prints a message. `disabled` are the
    normalised names of disabled plugins.
    """

    def __init__(
        self,
        home: Path,
        *,
        prepare: Callable[[], None],
        record: Callable[[InstallEvent], None],
        note: Callable[[str], None],
        disabled: Collection[str] = (),
    ) -> None:
        self.environment = Environment.here()
        self.records = JournaledRecords(home, self.environment.prefix)
        self._prepare, self._record, self._note = prepare, record, note
        self._disabled = disabled

    def install(
        self, wanted: Sequence[str], *, key: PublicKey | None = None, upgrade: bool = False
    ) -> list[Change]:
        """Install plugins by name, path or bundle, all or none, and return the changes.

        A plugin that is installed from the same wheel stays. Only with `upgrade` is another one
        replaced, and never by an older version. With `upgrade`, the newest version is taken. With
        `key`, the bundle must be signed by it. Raises InstallError or a subclass, UsageError, and
        TamperedBundleError.
        """
        targets = [Target.parse(text) for text in wanted]
        bundle = _bundle_among(targets, key)
        if upgrade:
            for target in targets:
                refuse_own(target.key or "")
        with self._transaction() as transaction:
            present, staging = self.present(), self.records.staging
            if upgrade:
                _check_installed(targets, present)
            else:
                _check_versions(targets, present)
            if bundle is not None:
                content = bundle_format.read(bundle, key)
                wheels = bundle_format.extract(content, staging)
                plan = bundle_format.pick(content, wheels, present, self._owned)
            else:
                plan = gather(
                    targets,
                    transaction.pip,
                    present,
                    staging,
                    upgrade=upgrade,
                    owned=self._owned,
                )
            state = self.records.state()
            for wheel in plan.wheels:
                if wheel.key in plan.targets and not is_installed(wheel, present, state):
                    check_replaced(wheel, present, upgrade=upgrade)
            return transaction.install(plan, present)

    def uninstall(self, name: str) -> Change:
        """Uninstall a plugin, and what was installed with it and nothing else needs.

        Raises UnknownNameError. Raises ConflictError when another distribution needs the plugin, or
        has one of its files.
        """
        refuse_own(name)
        with self._transaction() as transaction:
            present, state = self.present(), self.records.state()
            key = self.find(name)
            record = state.plugins.get(key)
            if key in present:
                _check_unneeded(key, present)
                title, version = present[key].metadata["Name"], present[key].version
                digest = code_digest(key)
            else:
                assert record is not None
                title, version, digest = record.name, record.version, record.digest
            owned = self.owned_by(key)
            check_uninstall([key, *owned], present)
            state.plugins.pop(key, None)
            for removed in (key, *owned):
                state.wheels.pop(removed, None)
            change = Change(
                "removed",
                title,
                version,
                digest,
                signer_of(record, version, digest),
                installed_with=tuple(present[one].metadata["Name"] for one in owned),
            )
            transaction.uninstall([key, *owned], change, state)
            return change

    def restore(self, pins: Sequence[Pin] | None, folders: Sequence[Path] = ()) -> list[Change]:
        """Install the pins of a lock file, or recorded plugins that are missing.

        Wheels are taken from those that were kept, from the folders, and from the index. They must
        have the pinned hashes.
        """
        with self._transaction() as transaction:
            present, state = self.present(), self.records.state()
            staging = self.records.staging
            if pins is None:
                pins = _pins(self.records.gone(present), state)
            pins = [
                pin
                for pin in pins
                if pin.key not in present or present[pin.key].version != pin.version
            ]
            missing = [pin for pin in pins if not self._take_kept(pin, staging)]
            if missing:
                transaction.pip.fetch_pinned([pin.line for pin in missing], staging, folders)
            wheels = [Wheel.read(path) for path in sorted(staging.glob("*.whl"))]
            plan = InstallPlan(wheels, {wheel.key for wheel in wheels if wheel.is_plugin})
            for wheel in wheels:
                record, kept = state.plugins.get(wheel.key), state.wheels.get(wheel.key)
                if record and record.signer and kept and kept.sha256 == wheel.sha256:
                    plan.signer[wheel.key] = record.signer
            return transaction.install(plan, present)

    def recover(self) -> None:
        """Undo or finish the change of an interrupted command, and print a note about it."""
        if self.records.journal() is not None:
            with self._transaction():
                pass

    def find(self, name: str) -> str:
        """Return the normalised name of a plugin that is, or was, installed."""
        return self.records.find(name, self.present())

    def plugins(self) -> dict[str, str]:
        """Return the names of the installed plugins but this one, by normalised name."""
        names = plugin_names(self.present())
        names.pop(INSTALLER, None)
        return names

    def owned_by(self, name: str) -> list[str]:
        """Return what was installed with a plugin and nothing else needs, by normalised name."""
        return sorted(self._owned({normalised(name)}))

    def present(self) -> Distributions:
        """Return the distributions that are installed now."""
        importlib.invalidate_caches()
        return self.environment.present()

    def wheel_of(self, key: str, into: Path) -> Wheel:
        """Put a wheel of an installed distribution into a folder: the kept one, or one rebuilt."""
        return wheel_of(self.present(), key, self.records, self.environment, into)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        """Take the lock, recover from an interrupted change, and make the staging folder."""
        self.environment.check_changeable()
        with self.records.locked() as lock:
            transaction = Transaction(
                self.environment,
                self.records,
                Pip(self.environment, lock),
                prepare=self._prepare,
                record=self._record,
                note=self._note,
                disabled=self._disabled,
            )
            transaction.recover()
            with self.records.stage():
                yield transaction

    def _owned(self, plugins: Collection[str]) -> set[str]:
        records = self.records.state().plugins
        installed_with = {
            normalised(name)
            for key in plugins
            if key in records
            for name in records[key].installed_with
        }
        return dependencies.owned(plugins, installed_with, self.present())

    def _take_kept(self, pin: Pin, into: Path) -> bool:
        """Copy the kept wheel of a pin into a folder, if there is one."""
        for hashed in pin.sha256:
            for path in self.records.wheels_of(hashed):
                if sha256_of(path) == hashed:
                    shutil.copy(path, into)
                    return True
        return False


def _bundle_among(targets: Sequence[Target], key: PublicKey | None) -> Path | None:
    """Return the bundle to install. Raise UsageError when it cannot be installed like this."""
    bundle = next(
        (one.path for one in targets if one.path and bundle_format.is_bundle(one.path)), None
    )
    if bundle is not None and len(targets) > 1:
        raise UsageError(f"{bundle} is a bundle; install it in a command of its own")
    if bundle is None and key is not None:
        raise UsageError("--key is for a bundle; nothing else is signed")
    return bundle


def _check_unneeded(key: str, present: Distributions) -> None:
    """Raise ConflictError when an installed distribution needs a plugin."""
    for other in present.values():
        if key in {normalised(need.name) for need in requirements(other.requires)}:
            name = present[key].metadata["Name"]
            raise ConflictError(
                name, f"{other.metadata['Name']} needs {name}; uninstall that first"
            )


def _check_installed(targets: Sequence[Target], present: Distributions) -> None:
    """Raise UnknownNameError for a name to upgrade that is not installed."""
    for target in targets:
        if target.key is not None and target.key not in present:
            raise UnknownNameError(
                "plugin", target.text, hint=f"`muniment plugins install {target.text}` installs it"
            )


def _check_versions(targets: Sequence[Target], present: Distributions) -> None:
    """Raise ConflictError for a plugin that is requested by name and installed in another version.

    `check_replaced` does so for every target, after pip has collected the wheels.
    """
    for target in targets:
        installed = present.get(target.key or "")
        if installed is None or target.requirement is None:
            continue
        if not fits(target.requirement.specifier, installed.version):
            raise replacing_error(installed, target.text)


def _pins(gone: Mapping[str, InstallRecord], state: InstallState) -> list[Pin]:
    """Return pins of plugins, and of what was installed with them, as they were installed."""
    names = set(gone)
    for record in gone.values():
        names |= {normalised(name) for name in record.installed_with}
    kept = [state.wheels[name] for name in sorted(names) if name in state.wheels]
    return [Pin(wheel.name, wheel.version, (wheel.sha256,)) for wheel in kept]
