"""What is installed, to take elsewhere: pinned in a lock, or whole in a bundle. Nothing changes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from muniment.errors import UsageError
from muniment.installing import bundle_format
from muniment.installing.environment import CORE
from muniment.installing.errors import ConflictError, InstallError
from muniment.installing.installer import Installer
from muniment.installing.locks import Pin
from muniment.installing.pip import Pip
from muniment.installing.preflight import check, fits
from muniment.installing.resolver import InstallPlan, Target, gather
from muniment.installing.wheels import Wheel, is_editable


@dataclass(frozen=True, slots=True)
class BundleContents:
    """Wheels to take along, and which of them were asked for, by normalised name."""

    plugins: tuple[str, ...]
    wheels: tuple[Wheel, ...]


def pins(installer: Installer, names: Sequence[str] = ()) -> list[Pin]:
    """Return installed plugins, or all of them, and what they need, pinned by version and hash.

    Muniment and what it needs itself are left out. The hash is that of the wheel that was
    installed; of what another tool installed, that of an index's wheel. Raises InstallError.
    """
    present, wheels = installer.present(), installer.records.state().wheels
    wanted = [installer.find(name) for name in names] or list(installer.plugins())
    if lost := [name for name in wanted if name not in present]:
        raise InstallError(lost[0], f"{lost[0]} is gone; `muniment plugins restore` brings it back")
    found: list[Pin] = []
    unknown: list[str] = []
    for key in sorted(bundle_format.closure(wanted, {}, present, {})):
        distribution, kept = present[key], wheels.get(key)
        name, version = distribution.metadata["Name"], distribution.version
        if kept is not None and kept.version == version:
            found.append(Pin(name, version, (kept.sha256,)))
        elif is_editable(distribution):
            raise InstallError(
                name,
                f"{name} is installed from a folder that is being worked on (editable), which no "
                f"hash can pin; `muniment plugins install` it from a wheel first",
            )
        else:
            unknown.append(f"{name}=={version}")
    if unknown:
        with tempfile.TemporaryDirectory() as folder:
            Pip(installer.environment).fetch(unknown, Path(folder))
            got = map(Wheel.read, Path(folder).glob("*.whl"))
            found += [Pin(wheel.name, wheel.version, (wheel.sha256,)) for wheel in got]
    return sorted(found, key=lambda pin: pin.key)


def pack(installer: Installer, wanted: Sequence[str], into: Path) -> BundleContents:
    """Put wheels of plugins and all they need, but for what Muniment needs itself, into a folder.

    A plugin that is installed is taken as it is; any other as `install` would get it.
    """
    present = installer.present()
    targets = [Target.parse(text) for text in wanted]
    for target in targets:
        if target.path and bundle_format.is_bundle(target.path):
            raise UsageError(f"{target.text} is a bundle already")
    missing = [one for one in targets if not _is_there(one, installer)]
    gathered = InstallPlan([], set())
    if missing:
        gathered = gather(missing, Pip(installer.environment), present, into)
        check(gathered.wheels, gathered.targets, present, installer.environment, gathered.extras)
    keys = gathered.targets | {one.key for one in targets if one.key and one not in missing}
    extras = dict(gathered.extras)
    for one in targets:
        if one.key and one.requirement:
            extras.setdefault(one.key, set()).update(one.requirement.extras)
    coming = {wheel.key: wheel for wheel in gathered.wheels}
    needed = bundle_format.closure(keys, coming, present, extras)
    if CORE in keys:
        raise ConflictError(CORE, "a bundle has plugins, and Muniment is none")
    wheels = [
        coming[key] if key in coming else installer.wheel_of(key, into) for key in sorted(needed)
    ]
    return BundleContents(tuple(sorted(keys)), tuple(wheels))


def _is_there(target: Target, installer: Installer) -> bool:
    present = installer.present()
    return (
        target.key is not None
        and target.requirement is not None
        and target.key in installer.plugins()
        and fits(target.requirement.specifier, present[target.key].version)
    )
