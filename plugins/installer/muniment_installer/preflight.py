"""Check, before anything is installed, that wheels replace and overwrite nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import Distribution

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from muniment import UsageError
from muniment.installation import (
    COMMAND_GROUP,
    CONTRACTS,
    CORE,
    ENTRY_POINT_GROUP,
    INSTALLER,
    Distributions,
    InstallError,
    normalised,
)
from muniment_installer.destinations import check_files
from muniment_installer.environment import Environment
from muniment_installer.errors import ConflictError
from muniment_installer.wheels import Wheel, is_editable

Extras = Mapping[str, Collection[str]]
"""The requested extras, by normalised name."""


def check(
    wheels: Sequence[Wheel],
    targets: Collection[str],
    present: Distributions,
    environment: Environment,
    extras: Extras,
    free: Collection[str] = (),
) -> None:
    """Raise InstallError unless these wheels can be installed beside the present distributions.

    `targets` are the normalised names of the plugins. Only they, and the distributions in `free`,
    may replace an installed version.
    """
    for wheel in wheels:
        if wheel.key in (CORE, INSTALLER):
            raise ConflictError(
                wheel.name,
                f"{wheel.name} {wheel.version} would replace Muniment itself; use pip for that",
            )
        if wheel.key in targets:
            _check_plugin(wheel)
        current = present.get(wheel.key)
        if current is None:
            continue
        if wheel.key not in targets and wheel.key not in free:
            raise ConflictError(
                wheel.name,
                f"{wheel.name} {wheel.version} is needed, but {current.version} is installed here "
                "and stays",
            )
        if is_editable(current):
            raise InstallError(
                wheel.name,
                f"{wheel.name} is an editable install; run `pip uninstall {wheel.name}` first",
            )
    _check_requirements(wheels, present, extras)
    check_files(wheels, present, environment)


def check_replaced(wheel: Wheel, present: Distributions, *, upgrade: bool) -> None:
    """Raise ConflictError unless a plugin may replace its installed version, if there is one.

    Only an upgrade replaces a plugin, and not by an older version.
    """
    installed = present.get(wheel.key)
    own = wheel.key in (CORE, INSTALLER)
    if installed is None or own or is_editable(installed) or not wheel.is_plugin:
        return  # `check` refuses all but the first
    if not upgrade:
        raise replacing_error(installed, f"{wheel.name} {wheel.version}")
    versions = (wheel.version, installed.version)
    if all(map(is_version, versions)) and Version(versions[0]) < Version(versions[1]):
        raise ConflictError(
            wheel.name,
            f"{wheel.name} {wheel.version} is older than the installed version "
            f"{installed.version}; run `muniment plugins uninstall {wheel.name}`, then install it",
        )


def replacing_error(installed: Distribution, requested: str) -> ConflictError:
    """Return the error that installing a plugin would replace an installed distribution."""
    name = installed.metadata["Name"]
    return ConflictError(
        name,
        f"{name} {installed.version} is installed, and {requested} would replace it; use "
        f"`muniment plugins upgrade`, or run `muniment plugins uninstall {name}` first",
    )


def refuse_own(name: str) -> None:
    """Raise UsageError for the name of Muniment or of this installer."""
    if (key := normalised(name)) in (CORE, INSTALLER):
        raise UsageError(f"{key} is not changed by `muniment plugins`; use pip")


def requirements(
    texts: Iterable[str] | None, extras: Collection[str] = ()
) -> Iterator[Requirement]:
    """Yield the requirements that apply in this environment, with these extras."""
    for text in texts or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # older than the specification, and ignored by pip
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def _check_plugin(wheel: Wheel) -> None:
    if not wheel.is_plugin:
        raise InstallError(
            wheel.name,
            f"{wheel.name} {wheel.version} is not a plugin of Muniment: it has no entry point in "
            f"the group {ENTRY_POINT_GROUP} or {COMMAND_GROUP}; use `pip install` for it",
        )
    if not wheel.fits:
        made_for = ", ".join(sorted(group for group in wheel.groups if group.startswith(CONTRACTS)))
        raise ConflictError(
            wheel.name,
            f"{wheel.name} {wheel.version} is made for {made_for}, and this Muniment provides "
            f"{ENTRY_POINT_GROUP}; use another version of the plugin or of Muniment",
        )


def _check_requirements(wheels: Sequence[Wheel], present: Distributions, extras: Extras) -> None:
    versions = {key: installed.version for key, installed in present.items()}
    coming = {wheel.key: wheel.version for wheel in wheels}
    after = {**versions, **coming}
    for wheel in wheels:
        for needed in requirements(wheel.requires, extras.get(wheel.key, ())):
            _check_need(f"{wheel.name} {wheel.version}", needed, after, coming)
    replaced = set(coming) & set(versions)
    for key, installed in present.items():
        if key in coming or not replaced:
            continue
        for needed in requirements(installed.requires):
            if normalised(needed.name) in replaced:
                dependent = f"{installed.metadata['Name']} {installed.version}"
                _check_need(dependent, needed, after, coming)


def _check_need(
    dependent: str, needed: Requirement, after: Mapping[str, str], coming: Mapping[str, str]
) -> None:
    key = normalised(needed.name)
    version = after.get(key)
    if version is None:
        raise ConflictError(needed.name, f"{dependent} needs {_named(needed)}, which is missing")
    if not fits(needed.specifier, version):
        state = "would be installed" if key in coming else "is installed here and stays"
        raise ConflictError(
            needed.name, f"{dependent} needs {_named(needed)}, but {needed.name} {version} {state}"
        )


def fits(specifier: SpecifierSet, version: str) -> bool:
    """Return whether a specifier accepts an installed version, including a pre-release."""
    return not is_version(version) or specifier.contains(version, prereleases=True)


def is_version(text: str) -> bool:
    """Return whether a version can be compared and pinned, which some old ones cannot."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _named(needed: Requirement) -> str:
    return f"{needed.name}{needed.specifier}"
