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
from muniment_installer.wheels import Wheel, is_editable


@dataclass(frozen=True, slots=True)
class BundleContents:
    """The wheels of a bundle, and the normalised names of the plugins among them."""

    plugins: tuple[str, ...]
    wheels: tuple[Wheel, ...]


def pins(installer: Installer, names: Sequence[str] = ()) -> list[Pin]:
    """Return pins of all installed plugins, or of the named ones, and of what they need.

    Muniment, this installer, and what they need are left out. The hash is that of the installed
    wheel. For a distribution that another tool installed, it is that of a wheel from the index.
    """
    present, wheels = installer.present(), installer.records.state().wheels
    for name in names:
        refuse_own(name)
    wanted = [installer.find(name) for name in names] or list(installer.plugins())
    if gone := [name for name in wanted if name not in present]:
        raise InstallError(
            gone[0], f"{gone[0]} is not installed any more; run `muniment plugins restore`"
        )
    found: list[Pin] = []
    unknown: list[str] = []
    for key in sorted(closure(wanted, {}, present, {})):
        distribution, kept = present[key], wheels.get(key)
        name, version = distribution.metadata["Name"], distribution.version
        if kept is not None and kept.version == version:
            found.append(Pin(name, version, (kept.sha256,)))
        elif is_editable(distribution):
            raise InstallError(
                name,
                f"{name} is an editable install, which no hash can pin; run `muniment plugins "
                "install` with a wheel of it first",
            )
        else:
            unknown.append(f"{name}=={version}")
    if unknown:
        with tempfile.TemporaryDirectory() as folder:
            Pip(installer.environment).fetch(unknown, Path(folder))
            fetched = map(Wheel.read, Path(folder).glob("*.whl"))
            found += [Pin(wheel.name, wheel.version, (wheel.sha256,)) for wheel in fetched]
    return sorted(found, key=lambda pin: pin.key)


def pack(installer: Installer, wanted: Sequence[str], into: Path) -> BundleContents:
    """Put the wheels of plugins, and of what they need, into a folder.

    An installed plugin is packed as it is, any other as `install` would download or build it.
    Muniment, this installer, and what they need are left out.
    """
    present = installer.present()
    targets = [Target.parse(text) for text in wanted]
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
