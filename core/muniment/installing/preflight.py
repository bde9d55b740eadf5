"""What must hold before anything is installed: nothing that is there is replaced or overwritten."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import Distribution

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from muniment.config import normalised
from muniment.installing.environment import CORE, Environment
from muniment.installing.errors import ConflictError, InstallError
from muniment.installing.wheels import CONTRACTS, Wheel, is_editable
from muniment.plugins.discovery import ENTRY_POINT_GROUP

Present = Mapping[str, Distribution]
Extras = Mapping[str, Collection[str]]
"""By normalised name, the extras that were asked for."""


def check(
    wheels: Sequence[Wheel],
    targets: Collection[str],
    present: Present,
    environment: Environment,
    extras: Extras,
    free: Collection[str] = (),
) -> None:
    """Raise InstallError unless these wheels can be installed beside what is there.

    `targets` are the plugins, by normalised name; only they, and what is `free`, may replace what
    is there.
    """
    for wheel in wheels:
        if wheel.key == CORE:
            raise ConflictError(
                wheel.name, f"this is Muniment {wheel.version} itself, which installs no other one"
            )
        if wheel.key in targets:
            _check_plugin(wheel)
        there = present.get(wheel.key)
        if there is None:
            continue
        if wheel.key not in targets and wheel.key not in free:
            raise ConflictError(
                wheel.name,
                f"{wheel.name} {wheel.version} is wanted, but {there.version} is installed here "
                "and stays",
            )
        if is_editable(there):
            raise InstallError(
                wheel.name,
                f"{wheel.name} is installed from a folder that is being worked on (editable); "
                f"`pip uninstall {wheel.name}` first",
            )
    _check_requirements(wheels, present, extras)
    _check_files(wheels, present, environment)


def requirements(
    texts: Iterable[str] | None, extras: Collection[str] = ()
) -> Iterator[Requirement]:
    """Yield the requirements of a distribution that count here, with these extras."""
    for text in texts or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # of another age; pip would not have installed it
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def _check_plugin(wheel: Wheel) -> None:
    if not wheel.is_plugin:
        raise InstallError(
            wheel.name,
            f"{wheel.name} {wheel.version} is no plugin of Muniment: it has no entry point in the "
            f"group {ENTRY_POINT_GROUP}; `pip install` takes what is none",
        )
    if not wheel.fits:
        made_for = ", ".join(sorted(group for group in wheel.groups if group.startswith(CONTRACTS)))
        raise ConflictError(
            wheel.name,
            f"{wheel.name} {wheel.version} is made for {made_for}, and this Muniment offers "
            f"{ENTRY_POINT_GROUP}; look for another version of the plugin or of Muniment",
        )


def _check_requirements(wheels: Sequence[Wheel], present: Present, extras: Extras) -> None:
    versions = {key: held.version for key, held in present.items()}
    coming = {wheel.key: wheel.version for wheel in wheels}
    after = {**versions, **coming}
    for wheel in wheels:
        for needed in requirements(wheel.requires, extras.get(wheel.key, ())):
            _check_need(f"{wheel.name} {wheel.version}", needed, after, coming)
    replaced = set(coming) & set(versions)
    for key, held in present.items():
        if key in coming or not replaced:
            continue
        for needed in requirements(held.requires):
            if normalised(needed.name) in replaced:
                _check_need(f"{held.metadata['Name']} {held.version}", needed, after, coming)


def _check_need(
    who: str, needed: Requirement, after: Mapping[str, str], coming: Mapping[str, str]
) -> None:
    key = normalised(needed.name)
    there = after.get(key)
    if there is None:
        raise ConflictError(needed.name, f"{who} needs {_named(needed)}, which is not there")
    if not fits(needed.specifier, there):
        state = "would be installed" if key in coming else "is installed here and stays"
        raise ConflictError(
            needed.name, f"{who} needs {_named(needed)}, but {needed.name} {there} {state}"
        )


def fits(specifier: SpecifierSet, version: str) -> bool:
    """Whether a version is one of those; what is installed counts, a preview or not."""
    return not is_version(version) or specifier.contains(version, prereleases=True)


def is_version(text: str) -> bool:
    """Whether a version can be compared and pinned: some, of another age, cannot."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _named(needed: Requirement) -> str:
    return f"{needed.name}{needed.specifier}"


def _check_files(wheels: Sequence[Wheel], present: Present, environment: Environment) -> None:
    """Raise ConflictError where a file of another distribution would be overwritten."""
    coming = {wheel.key for wheel in wheels}
    clashes = {}
    for wheel in wheels:
        for name in wheel.files:
            if ".dist-info/" not in name and (path := environment.modules / name).exists():
                clashes[path] = (wheel, name)
        for name in wheel.programs:
            if (path := environment.programs / name).exists():
                clashes[path] = (wheel, name)
    if not clashes:
        return
    for key, held in present.items():
        if key in coming:
            continue
        for file in held.files or ():
            path = environment.modules.__class__(str(held.locate_file(file)))
            if ".." in path.parts:
                path = path.resolve()
            if path in clashes:
                wheel, name = clashes[path]
                raise ConflictError(
                    wheel.name,
                    f"{wheel.name} {wheel.version} would overwrite {name} of "
                    f"{held.metadata['Name']} {held.version}",
                )
