"""Change the installed distributions completely or not at all.

The journal is written before pip runs. After a kill, the next command undoes the change, or
finishes it when only the record is missing. Pip installs only from the staging folder, so no
download can fail in between.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from muniment.installation import (
    Change,
    Distributions,
    InstallError,
    InstallEvent,
    InstallRecord,
    InstallState,
    KeptWheel,
    SmokeTestResult,
    check_plugins,
    normalised,
    now,
)
from muniment_installer import cleanup
from muniment_installer.destinations import remove_new
from muniment_installer.environment import Environment
from muniment_installer.errors import SmokeTestError
from muniment_installer.journal import Journal, JournaledRecords
from muniment_installer.pip import Pip
from muniment_installer.preflight import check
from muniment_installer.resolver import InstallPlan
from muniment_installer.wheels import Wheel, repack, sha256_of


class Transaction:
    """One change of an environment, while its lock is held.

    `prepare` raises when the ledger cannot be written, `record` writes an event to it, and `note`
    prints a message. `disabled` are the normalised names of disabled plugins.
    """

    def __init__(
        self,
        environment: Environment,
        records: JournaledRecords,
        pip: Pip,
        *,
        prepare: Callable[[], None],
        record: Callable[[InstallEvent], None],
        note: Callable[[str], None],
        disabled: Collection[str] = (),
    ) -> None:
        self.environment, self.records, self.pip = environment, records, pip
        self._prepare, self._record, self._note = prepare, record, note
        self._disabled = disabled

    def recover(self) -> None:
        """Undo or finish the change of an interrupted command, if there is one."""
        journal = self.records.journal()
        if journal is None:
            return
        if journal.events is None:
            self._undo(journal, interrupted=True)
            self.records.delete_journal()
            self._note(f"{journal.what} was interrupted; it was rolled back")
        else:
            self._remove(journal, interrupted=True)
            self._finish(journal)
            self._note(f"{journal.what} was interrupted; it is complete now")

    def install(self, plan: InstallPlan, present: Distributions) -> list[Change]:
        """Install the wheels of a plan, load the plugins, and roll back when one fails."""
        state = self.records.state()
        wheels = [wheel for wheel in plan.wheels if not is_installed(wheel, present, state)]
        targets = plan.targets & {wheel.key for wheel in wheels}
        if not wheels:
            return []
        check(wheels, targets, present, self.environment, plan.extras, plan.free)
        old = self._save_replaced(wheels, present)
        named = ", ".join(
            f"{wheel.name} {wheel.version}"
            for wheel in wheels
            if wheel.key in targets or not targets
        )
        journal = Journal(
            f"installing {named}", list(map(_kept, wheels)), list(map(_kept, old.values()))
        )
        self._prepare()
        self.records.write_journal(journal)
        try:
            self.pip.install(wheels)
            results = self._check(sorted(targets))
        except BaseException as error:
            self._undo(journal)
            self.records.delete_journal()
            if isinstance(error, SmokeTestError):
                raise _rolled_back(error, old) from None
            if not isinstance(error, Exception):
                self._note("nothing was installed; the change was rolled back")
            raise
        changes = _changes(wheels, targets, old, plan.signer, results)
        _update(state, wheels, changes, old)
        journal.events = _events(changes)
        journal.state = state
        self.records.write_journal(journal)
        self._finish(journal)
        return changes

    def uninstall(self, keys: Sequence[str], change: Change, state: InstallState) -> None:
        """Uninstall distributions, and write the new state and the change."""
        journal = Journal(
            f"uninstalling {change.distribution} {change.version}",
            removed=list(keys),
            events=_events([change]),
            state=state,
        )
        self._prepare()
        self.records.write_journal(journal)
        try:
            self._remove(journal)
        except InstallError:
            self.records.delete_journal()
            raise
        self._finish(journal)

    def _save_replaced(
        self, wheels: Sequence[Wheel], present: Distributions
    ) -> Mapping[str, Wheel]:
        """Put wheels of the versions that will be replaced into the staging folder."""
        folder = self.records.staging / "old"
        folder.mkdir()
        return {
            wheel.key: wheel_of(present, wheel.key, self.records, self.environment, folder)
            for wheel in wheels
            if wheel.key in present
        }

    def _check(self, keys: Sequence[str]) -> Mapping[str, SmokeTestResult]:
        results = check_plugins(keys, sorted(self._disabled))
        for key, result in results.items():
            if not result.ok:
                raise SmokeTestError(key, f"{key} was not installed: {result.message}")
        return results

    def _undo(self, journal: Journal, *, interrupted: bool = False) -> None:
        """Uninstall what is new and install what it replaced. Pip may have been `interrupted`."""
        staging = self.records.staging
        new = [Wheel.read(staging / kept.file) for kept in journal.new]
        old = [Wheel.read(staging / "old" / kept.file) for kept in journal.replaced]
        replaced = {wheel.key for wheel in old}
        cleanup.sweep(self.environment.modules, [*new, *old])  # the wheels contain all of it
        if interrupted:  # pip cannot uninstall a distribution whose list of files is missing
            self.pip.install(new, over=True)
            for _ in range(3):  # parts of two versions may be installed
                present = self.environment.present()
                if names := [wheel.name for wheel in new if wheel.key in present]:
                    self.pip.uninstall(names)
        elif names := [wheel.name for wheel in new if wheel.key not in replaced]:
            self.pip.uninstall(names)
        remove_new(new, self.environment)  # pip leaves files when it fails between them
        if old:
            self.pip.install(old)

    def _remove(self, journal: Journal, *, interrupted: bool = False) -> None:
        """Uninstall what is to be removed. Pip may have been `interrupted` before."""
        present, wheels = self.environment.present(), self.records.state().wheels
        for key in journal.removed if interrupted else ():
            path = self.records.wheel(wheels[key]) if key in wheels else None
            version = present[key].version if key in present else None
            if path is not None and version in (None, wheels[key].version):
                wheel = Wheel.read(path)  # completed first, so that pip can uninstall all of it
                cleanup.sweep(self.environment.modules, [wheel])
                self.pip.install([wheel], over=True)
        present = self.environment.present()
        if keys := [key for key in journal.removed if key in present]:
            self.pip.uninstall(keys)

    def _finish(self, journal: Journal) -> None:
        """Write the new state and the events, then delete the journal."""
        assert journal.events is not None
        assert journal.state is not None
        staging = self.records.staging
        for folder, wheels in ((staging, journal.new), (staging / "old", journal.replaced)):
            for kept in wheels:
                self.records.keep(kept, folder / kept.file)
        self.records.write_state(journal.state)
        for event in journal.events:
            self._record(event)
        self.records.delete_journal()
        self.records.prune(journal.state)


def wheel_of(
    present: Distributions,
    key: str,
    records: JournaledRecords,
    environment: Environment,
    into: Path,
) -> Wheel:
    """Put a wheel of an installed distribution into a folder: the kept one, or one rebuilt."""
    distribution = present[key]
    kept = records.state().wheels.get(key)
    if kept is not None and kept.version == distribution.version:
        path = records.wheel(kept)
        if path is not None and sha256_of(path) == kept.sha256:
            return Wheel.read(Path(shutil.copy(path, into)))
    return Wheel.read(repack(distribution, environment, into))


def _changes(
    wheels: Sequence[Wheel],
    targets: Collection[str],
    old: Mapping[str, Wheel],
    signer: Mapping[str, str],
    results: Mapping[str, SmokeTestResult],
) -> list[Change]:
    installed_with = tuple(wheel.name for wheel in wheels if wheel.key not in targets)
    return [
        Change(
            "upgraded" if wheel.key in old else "installed",
            wheel.name,
            wheel.version,
            results[wheel.key].digest,
            signer.get(wheel.key),
            old[wheel.key].version if wheel.key in old else None,
            installed_with,
        )
        for wheel in wheels
        if wheel.key in targets
    ]


def _events(changes: Sequence[Change]) -> list[InstallEvent]:
    at = now()
    return [
        InstallEvent(
            at, change.act, change.distribution, change.version, change.digest, change.signer
        )
        for change in changes
    ]


def _rolled_back(error: SmokeTestError, old: Mapping[str, Wheel]) -> SmokeTestError:
    """Return the reason of a failed installation, with the versions that are installed again."""
    versions = ", ".join(f"{wheel.name} {wheel.version}" for wheel in old.values())
    end = f"{versions} is installed again" if versions else "everything was uninstalled again"
    return SmokeTestError(error.target, f"{error}; {end}")


def _update(
    state: InstallState,
    wheels: Sequence[Wheel],
    changes: Sequence[Change],
    old: Mapping[str, Wheel],
) -> None:
    """Enter changes into the state."""
    for change in changes:
        key = normalised(change.distribution)
        before = state.plugins.get(key)
        same = before is not None and key in old and before.version == old[key].version
        state.plugins[key] = InstallRecord(
            change.distribution,
            change.version,
            change.digest,
            change.signer,
            sorted({*change.installed_with, *(before.installed_with if before else ())}),
            _kept(old[key]) if key in old else None,
            before.signer if before is not None and same else None,
        )
    state.wheels |= {wheel.key: _kept(wheel) for wheel in wheels}


def is_installed(wheel: Wheel, present: Distributions, state: InstallState) -> bool:
    """Return whether the installed version came from this very wheel."""
    distribution, kept = present.get(wheel.key), state.wheels.get(wheel.key)
    return (
        distribution is not None
        and distribution.version == wheel.version
        and kept is not None
        and kept.sha256 == wheel.sha256
    )


def _kept(wheel: Wheel) -> KeptWheel:
    return KeptWheel(wheel.name, wheel.version, wheel.sha256, wheel.path.name)
