"""Changing what is installed: whole or not at all, whatever happens on the way.

Before anything is changed, the journal says how to put it back; after a kill, the next command does
so. pip runs only with wheels that lie in the staging folder, so nothing can be missing halfway.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from muniment.config import normalised
from muniment.errors import UnknownNameError, UsageError
from muniment.installing import bundle_format, cleanup
from muniment.installing.environment import CORE, Environment
from muniment.installing.errors import ConflictError, InstallError, ProbeError
from muniment.installing.locks import Pin
from muniment.installing.pip import Pip
from muniment.installing.preflight import Present, check, requirements
from muniment.installing.resolver import InstallPlan, Target, gather
from muniment.installing.smoke_test import SmokeTestResult, smoke_test
from muniment.installing.state import (
    InstallEvent,
    InstallRecord,
    Journal,
    KeptWheel,
    Records,
    State,
    now,
)
from muniment.installing.wheels import CONTRACTS, Wheel, repack, sha256_of
from muniment.ledger.acts import PluginAct
from muniment.ledger.keys import PublicKey
from muniment.plugins.discovery import installed_plugins


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to a plugin; `brought` came or went along, `previous` is what it replaced."""

    act: PluginAct
    distribution: str
    version: str
    digest: str
    signer: str | None = None
    previous: str | None = None
    brought: tuple[str, ...] = ()


class Installer:
    """Installs plugins into the environment of this process, for one home folder."""

    def __init__(
        self,
        home: Path,
        *,
        ready: Callable[[], None],
        record: Callable[[InstallEvent], None],
        say: Callable[[str], None],
        disabled: Collection[str] = (),
    ) -> None:
        """Take where records are kept, what puts an act on record, and who is told what.

        `ready` raises where nothing could be recorded; it is asked before anything is changed.
        `disabled` has the normalised names of plugins that no other is to be held against.
        """
        self.environment = Environment.here()
        self.records = Records(home, self.environment.prefix)
        self._ready, self.record, self._say = ready, record, say
        self._disabled = disabled

    def install(
        self, wanted: Sequence[str], *, key: PublicKey | None = None, upgrade: bool = False
    ) -> list[Change]:
        """Install plugins by name, path or bundle, all of them or none; return what was done.

        What is there already in that very state is left. With `key`, a bundle has to be signed by
        it; with `upgrade`, the newest version is taken. Raises InstallError and its kinds,
        UsageError, and TamperedBundleError.
        """
        targets = [Target.parse(text) for text in wanted]
        bundle = next(
            (one.path for one in targets if one.path and bundle_format.is_bundle(one.path)), None
        )
        if bundle is not None and len(targets) > 1:
            raise UsageError(f"{bundle} is a bundle; install it in a command of its own")
        if bundle is None and key is not None:
            raise UsageError("--key is for a bundle: nothing else is signed")
        with self._changing() as (pip, staging):
            present = self.present()
            if upgrade:
                _check_there(targets, present)
            if bundle is not None:
                held = bundle_format.read(bundle, key)
                gathered = bundle_format.pick(
                    held, bundle_format.extract(held, staging), present, partial(self._own, present)
                )
            else:
                gathered = gather(
                    targets,
                    pip,
                    present,
                    staging,
                    upgrade=upgrade,
                    own=partial(self._own, present),
                )
            return self._apply(gathered, pip, present)

    def uninstall(self, name: str) -> Change:
        """Take a plugin out, and what came along with it unless something else needs that.

        Raises UnknownNameError, and ConflictError where another plugin needs this one.
        """
        with self._changing() as (pip, _):
            present, state = self.present(), self.records.state()
            key = self.find(name)
            held = state.plugins.get(key)
            there = present.get(key)
            for other in present.values():
                if there is not None and key in {
                    normalised(need.name) for need in requirements(other.requires)
                }:
                    raise ConflictError(
                        name, f"{other.metadata['Name']} needs {name}; uninstall that first"
                    )
            if there is not None:
                title, version = there.metadata["Name"], there.version
                digest = code_digest(key)
            else:
                assert held is not None
                title, version, digest = held.name, held.version, held.digest
            signer = signer_of(held, version, digest)
            along = self.along(key)
            names = tuple(present[gone].metadata["Name"] for gone in along)
            state.plugins.pop(key, None)
            for gone in (key, *along):
                state.wheels.pop(gone, None)
            acts = [InstallEvent(now(), "removed", title, version, digest, signer)]
            self._ready()
            journal = Journal(
                f"uninstalling {title} {version}",
                removed=[key, *along],
                acts=acts,
                state=state,
            )
            self.records.write_journal(journal)
            try:
                self._remove(journal, pip)
            except InstallError:
                self.records.close_journal()
                raise
            self._finish(journal)
            return Change("removed", title, version, digest, signer, brought=names)

    def restore(self, pins: Sequence[Pin] | None, beside: Sequence[Path] = ()) -> list[Change]:
        """Install what a lock pins, or without one what was installed here and is gone.

        Wheels are taken from those that were kept, the folders `beside`, and the index, and must
        have the pinned hashes.
        """
        with self._changing() as (pip, staging):
            present, state = self.present(), self.records.state()
            if pins is None:
                pins = _pins(self.records.gone(present), state)
            pins = [
                pin
                for pin in pins
                if pin.key not in present or present[pin.key].version != pin.version
            ]
            missing = [pin for pin in pins if not self._take_kept(pin, staging)]
            if missing:
                pip.fetch_pinned([pin.line for pin in missing], staging, beside)
            wheels = [Wheel.read(path) for path in sorted(staging.glob("*.whl"))]
            gathered = InstallPlan(wheels, {wheel.key for wheel in wheels if wheel.is_plugin})
            for wheel in wheels:
                held, kept = state.plugins.get(wheel.key), state.wheels.get(wheel.key)
                if held and held.signer and kept and kept.sha256 == wheel.sha256:
                    gathered.signer[wheel.key] = held.signer
            return self._apply(gathered, pip, present)

    def mend(self) -> None:
        """Put right what a command that was cut short left, and say so."""
        if self.records.journal() is not None:
            with self._changing():
                pass

    def find(self, name: str) -> str:
        """Return the normalised name of the plugin that is, or was, installed under that name."""
        key = normalised(name)
        known = self.plugins()
        known |= {gone: held.name for gone, held in self.records.state().plugins.items()}
        if key not in known:
            raise UnknownNameError("plugin", name, list(known.values()))
        return key

    def plugins(self) -> dict[str, str]:
        """Return the plugins that are installed, of any version of the contract: their names by
        normalised name.
        """
        return {
            key: distribution.metadata["Name"]
            for key, distribution in self.present().items()
            if any(point.group.startswith(CONTRACTS) for point in distribution.entry_points)
        }

    def along(self, name: str) -> list[str]:
        """Return, by normalised names, what came along with a plugin and nothing else needs."""
        return sorted(self._own(self.present(), {normalised(name)}))

    def present(self) -> Present:
        """Return what is installed now."""
        importlib.invalidate_caches()
        return self.environment.present()

    def wheel_of(self, key: str, into: Path) -> Wheel:
        """Put a wheel of what is installed into a folder: that which was kept, or one made anew."""
        distribution = self.present()[key]
        kept = self.records.state().wheels.get(key)
        if kept is not None and kept.version == distribution.version:
            path = self.records.wheel(kept)
            if path is not None and sha256_of(path) == kept.sha256:
                return Wheel.read(Path(shutil.copy(path, into)))
        return Wheel.read(repack(distribution, self.environment, into))

    @contextlib.contextmanager
    def _changing(self) -> Iterator[tuple[Pip, Path]]:
        """Keep others out, mend what is to be mended, and give pip and a folder for wheels."""
        self.environment.check_changeable()
        with self.records.locked() as held:
            pip = Pip(self.environment, held)
            if (journal := self.records.journal()) is not None:
                self._mend(journal, pip)
            with self.records.stage() as staging:
                yield pip, staging

    def _mend(self, journal: Journal, pip: Pip) -> None:
        if journal.acts is None:
            self._undo(journal, pip, cut_short=True)
            self.records.close_journal()
            self._say(f"{journal.what} was cut short; everything is as it was before that")
        else:
            self._remove(journal, pip, cut_short=True)
            self._finish(journal)
            self._say(f"{journal.what} was cut short; it is finished now")

    def _apply(self, gathered: InstallPlan, pip: Pip, present: Present) -> list[Change]:
        """Install wheels, try the plugins and note what was done; or leave all as it was."""
        state = self.records.state()
        wheels = [wheel for wheel in gathered.wheels if not _same(wheel, present, state)]
        targets = gathered.targets & {wheel.key for wheel in wheels}
        if not wheels:
            return []
        check(wheels, targets, present, self.environment, gathered.extras, gathered.free)
        (self.records.staging / "old").mkdir()
        old = {
            wheel.key: self.wheel_of(wheel.key, self.records.staging / "old")
            for wheel in wheels
            if wheel.key in present
        }
        named = ", ".join(
            f"{wheel.name} {wheel.version}"
            for wheel in wheels
            if wheel.key in targets or not targets
        )
        journal = Journal(
            f"installing {named}", list(map(_kept, wheels)), list(map(_kept, old.values()))
        )
        self._ready()
        self.records.write_journal(journal)
        try:
            pip.install(wheels)
            probed = {key: self._try(key) for key in sorted(targets)}
        except BaseException as error:
            self._undo(journal, pip)
            self.records.close_journal()
            if isinstance(error, ProbeError):
                raise _put_back(error, old) from None
            if not isinstance(error, Exception):
                self._say("nothing was installed; everything is as it was before")
            raise
        changes = _changes(wheels, targets, old, gathered.signer, probed)
        _note(state, wheels, changes, old)
        at = now()
        journal.acts = [
            InstallEvent(at, done.act, done.distribution, done.version, done.digest, done.signer)
            for done in changes
        ]
        journal.state = state
        self.records.write_journal(journal)
        self._finish(journal)
        return changes

    def _own(self, present: Present, plugins: Collection[str]) -> set[str]:
        """Return what came along with plugins and nothing else that is installed needs."""
        held = self.records.state().plugins
        own = {normalised(name) for key in plugins if key in held for name in held[key].brought}
        own &= set(present)
        while True:  # what only something needs that stays, stays as well
            stays = set(present) - own - set(plugins)
            needed = {
                normalised(need.name)
                for key in stays
                for need in requirements(
                    present[key].requires, present[key].metadata.get_all("Provides-Extra") or ()
                )
            }
            if not own & needed:
                return own
            own -= needed

    def _try(self, key: str) -> SmokeTestResult:
        found = smoke_test(key, sorted(self._disabled))
        if not found.ok:
            raise ProbeError(key, f"{key} was not installed: {found.message}")
        return found

    def _undo(self, journal: Journal, pip: Pip, *, cut_short: bool = False) -> None:
        """Take out what came and put back what it replaced; `cut_short` where pip was killed."""
        staging = self.records.staging
        coming = [Wheel.read(staging / kept.file) for kept in journal.new]
        old = [Wheel.read(staging / "old" / kept.file) for kept in journal.replaced]
        was = {wheel.key for wheel in old}
        cleanup.sweep(self.environment.modules, [*coming, *old])  # the wheels have it all
        if cut_short:  # what lacks its list of files could not be uninstalled
            pip.install(coming, over=True)
            for _ in range(3):  # two versions of one plugin may be there, each by half
                if there := [wheel.name for wheel in coming if wheel.key in self.present()]:
                    pip.uninstall(there)
        elif new := [wheel.name for wheel in coming if wheel.key not in was]:
            pip.uninstall(new)
        if old:
            pip.install(old)

    def _remove(self, journal: Journal, pip: Pip, *, cut_short: bool = False) -> None:
        """Take out what is to go; `cut_short` where pip was killed at it."""
        present, wheels = self.present(), self.records.state().wheels
        for key in journal.removed if cut_short else ():
            path = self.records.wheel(wheels[key]) if key in wheels else None
            version = present[key].version if key in present else None
            if path is not None and version in (None, wheels[key].version):
                wheel = Wheel.read(path)  # to be made whole, so that all of it can be taken out
                cleanup.sweep(self.environment.modules, [wheel])
                pip.install([wheel], over=True)
        present = self.present()
        if there := [key for key in journal.removed if key in present]:
            pip.uninstall(there)

    def _finish(self, journal: Journal) -> None:
        """Keep what is known of what was done, and put it on record."""
        assert journal.acts is not None
        assert journal.state is not None
        staging = self.records.staging
        for folder, wheels in ((staging, journal.new), (staging / "old", journal.replaced)):
            for kept in wheels:
                self.records.keep(kept, folder / kept.file)
        self.records.write_state(journal.state)
        for act in journal.acts:
            self.record(act)
        self.records.close_journal()
        self.records.prune(journal.state)

    def _take_kept(self, pin: Pin, into: Path) -> bool:
        """Copy the wheel of a pin that was kept, if there is one."""
        for hashed in pin.sha256:
            for path in self.records.kept(hashed):
                if sha256_of(path) == hashed:
                    shutil.copy(path, into)
                    return True
        return False


def code_digest(key: str) -> str:
    """Return the digest of the code of an installed plugin; empty where it has none for us."""
    found = (plugin for plugin in installed_plugins() if normalised(plugin.distribution) == key)
    return next((plugin.ref().digest for plugin in found), "")


def signer_of(held: InstallRecord | None, version: str, digest: str) -> str | None:
    """Return who signed a plugin, if that version and code is what was installed here."""
    same = held is not None and (held.version, held.digest) == (version, digest)
    return held.signer if held is not None and same else None


def _changes(
    wheels: Sequence[Wheel],
    targets: Collection[str],
    old: Mapping[str, Wheel],
    signer: Mapping[str, str],
    probed: Mapping[str, SmokeTestResult],
) -> list[Change]:
    brought = tuple(wheel.name for wheel in wheels if wheel.key not in targets)
    return [
        Change(
            "upgraded" if wheel.key in old else "installed",
            wheel.name,
            wheel.version,
            probed[wheel.key].digest,
            signer.get(wheel.key),
            old[wheel.key].version if wheel.key in old else None,
            brought,
        )
        for wheel in wheels
        if wheel.key in targets
    ]


def _put_back(error: ProbeError, old: Mapping[str, Wheel]) -> ProbeError:
    """Return why a plugin was not installed, with what is there now."""
    was = ", ".join(f"{wheel.name} {wheel.version}" for wheel in old.values())
    back = f"{was} is back" if was else "what was installed was taken out again"
    return ProbeError(error.target, f"{error}; {back}")


def _note(
    state: State, wheels: Sequence[Wheel], changes: Sequence[Change], old: Mapping[str, Wheel]
) -> None:
    """Write into the state what was done."""
    for done in changes:
        key = normalised(done.distribution)
        before = state.plugins.get(key)
        state.plugins[key] = InstallRecord(
            done.distribution,
            done.version,
            done.digest,
            done.signer,
            sorted({*done.brought, *(before.brought if before else ())}),
            _kept(old[key]) if key in old else None,
            before.signer
            if key in old and before is not None and before.version == old[key].version
            else None,
        )
    state.wheels |= {wheel.key: _kept(wheel) for wheel in wheels}


def _pins(gone: Mapping[str, InstallRecord], state: State) -> list[Pin]:
    """Pin plugins and what came along with them as it was installed."""
    names = {name for key, held in gone.items() for name in (key, *map(normalised, held.brought))}
    kept = [state.wheels[name] for name in sorted(names) if name in state.wheels]
    return [Pin(wheel.name, wheel.version, (wheel.sha256,)) for wheel in kept]


def _check_there(targets: Sequence[Target], present: Present) -> None:
    """Raise UnknownNameError for a name to upgrade that is not installed."""
    for target in targets:
        if target.key is not None and (target.key not in present or target.key == CORE):
            raise UnknownNameError(
                "plugin", target.text, hint=f"`muniment plugins install {target.text}` installs it"
            )


def _same(wheel: Wheel, present: Present, state: State) -> bool:
    """Whether just this wheel is what is installed."""
    there, kept = present.get(wheel.key), state.wheels.get(wheel.key)
    return (
        there is not None
        and there.version == wheel.version
        and kept is not None
        and kept.sha256 == wheel.sha256
    )


def _kept(wheel: Wheel) -> KeptWheel:
    return KeptWheel(wheel.name, wheel.version, wheel.sha256, wheel.path.name)
