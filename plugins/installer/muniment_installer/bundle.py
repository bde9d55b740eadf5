"""Pin installed plugins in a lock, or pack them into a bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from muniment import UsageError
from muniment.installation import InstallError
from muniment_installer import bundle_format
from muniment_installer.dependencies import closure
from muniment_installer.installer import Installer
from muniment_installer.locks import Pin
from muniment_installer.pip import Pip
from muniment_installer.preflight import check, fits, refuse_own
from muniment_installer.resolver import InstallPlan, Target, gather
from muniment_installer.wheels import Wheel, is_editable, origin_sha256


@dataclass(frozen=True, slots=True)
class BundleContents:
    """The wheels of a bundle, and the normalised names of the plugins among them."""

    plugins: tuple[str, ...]
    wheels: tuple[Wheel, ...]


def pins(installer: Installer, names: Sequence[str] = ()) -> tuple[list[Pin], list[InstallError]]:
    """Return pins of all installed plugins, or of the named ones, and of their dependencies.

    Muniment, this installer and their dependencies are omitted. The hash is that of the installed
    wheel. For a distribution that another tool installed from an index, it is that of a wheel from
    the index. Also returns the reasons for which distributions cannot be pinned. With `names`, the
    first is raised.
    """
    present, wheels = installer.present(), installer.records.state().wheels
    for name in names:
        refuse_own(name)
    keys = [installer.find(name) for name in names] or list(installer.plugins())
    if missing := [name for name in keys if name not in present]:
        raise InstallError(
            missing[0], f"{missing[0]} is not installed any more; run `muniment plugins restore`"
        )
    pins: list[Pin] = []
    unknown: list[str] = []
    errors: list[InstallError] = []
    for key in sorted(closure(keys, {}, present, {})):
        distribution, kept = present[key], wheels.get(key)
        name, version = distribution.metadata["Name"], distribution.version
        if kept is not None and kept.version == version:
            pins.append(Pin(name, version, (kept.sha256,)))
        elif (sha256 := origin_sha256(distribution)) is not None:
            pins.append(Pin(name, version, (sha256,)))
        elif is_editable(distribution):
            why = "is an editable install, which no hash can pin; uninstall it with pip, and run "
            errors.append(
                InstallError(name, f"{name} {why}`muniment plugins install` with a wheel of it")
            )
        else:
            unknown.append(f"{name}=={version}")
    found, unpinned = _pins_of_index(installer, unknown)
    errors += unpinned
    if names and errors:
        raise errors[0]
    return sorted([*pins, *found], key=lambda pin: pin.key), errors


def _pins_of_index(
    installer: Installer, requirements: Sequence[str]
) -> tuple[list[Pin], list[InstallError]]:
    """Return pins of the wheels of requirements `name==version`, which pip downloads.

    Also returns the errors of those that it cannot download.
    """
    if not requirements:
        return [], []
    try:
        with tempfile.TemporaryDirectory() as folder:
            Pip(installer.environment).fetch(requirements, Path(folder))
            wheels = [Wheel.read(path) for path in Path(folder).glob("*.whl")]
    except InstallError as error:
        if len(requirements) == 1:
            return [], [error]
        results = [_pins_of_index(installer, [requirement]) for requirement in requirements]
        return [pin for pins, _ in results for pin in pins], [e for _, es in results for e in es]
    return [Pin(wheel.name, wheel.version, (wheel.sha256,)) for wheel in wheels], []


def pack(installer: Installer, arguments: Sequence[str], into: Path) -> BundleContents:
    """Put the wheels of plugins and of their dependencies into a folder.

    An installed plugin is packed as it is, any other as `install` would download or build it.
    Muniment, this installer and their dependencies are omitted.
    """
    present = installer.present()
    targets = [Target.parse(text) for text in arguments]
    for target in targets:
        if target.path and bundle_format.is_bundle(target.path):
            raise UsageError(f"{target.text} is a bundle already")
        refuse_own(target.key or "")
    missing = [target for target in targets if not _is_installed(target, installer)]
    plan = InstallPlan([], set())
    if missing:
        plan = gather(missing, Pip(installer.environment), present, into)
        check(plan.wheels, plan.targets, present, installer.environment, plan.extras)
    keys = plan.targets | {one.key for one in targets if one.key and one not in missing}
    extras = dict(plan.extras)
    for target in targets:
        if target.key and target.requirement:
            extras.setdefault(target.key, set()).update(target.requirement.extras)
    new = {wheel.key: wheel for wheel in plan.wheels}
    needed = closure(keys, new, present, extras)
    wheels = [new[key] if key in new else installer.wheel_of(key, into) for key in sorted(needed)]
    return BundleContents(tuple(sorted(keys)), tuple(wheels))


def _is_installed(target: Target, installer: Installer) -> bool:
    present = installer.present()
    return (
        target.key is not None
        and target.requirement is not None
        and target.key in installer.plugins()
        and fits(target.requirement.specifier, present[target.key].version)
    )
