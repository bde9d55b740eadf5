"""Find the paths that installing wheels writes, and check that they overwrite nothing."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import Distribution
from pathlib import Path, PurePosixPath

from muniment.installation import (
    CORE,
    INSTALLER,
    Distributions,
    InstallError,
    is_plugin_group,
    normalised,
    plugin_names,
)
from muniment_installer.environment import Environment
from muniment_installer.errors import ConflictError
from muniment_installer.wheels import Wheel, is_editable

_UNSAFE = re.compile(r"[\\\x00]|^[A-Za-z]:|^/")
_METADATA = (".dist-info", ".egg-info", ".egg-link")


def destinations(wheel: Wheel, environment: Environment) -> dict[Path, str]:
    """Return the paths that installing a wheel writes, with their names in the wheel.

    Raises InstallError for a name that leads out of its folder, and for a part of the wheel that
    pip does not know. It is also raised for metadata of another distribution.
    """
    paths = {_destination(wheel, name, environment): name for name in wheel.files}
    for path, name in paths.items():
        if not path.is_relative_to(environment.modules):
            continue
        top = path.relative_to(environment.modules).parts[0]
        owner = normalised(top.rpartition(".")[0].rpartition("-")[0])
        if top.endswith(_METADATA) and not (top.endswith(".dist-info") and owner == wheel.key):
            raise _refused(wheel, f"contains {name}, which is metadata of another distribution")
    for program in wheel.programs:
        if _UNSAFE.search(program) or "/" in program or program in ("", ".", ".."):
            raise _refused(wheel, f"has a program {program!r}, which is not a file name")
        paths[environment.programs / program] = program
    return paths


def check_files(wheels: Sequence[Wheel], present: Distributions, environment: Environment) -> None:
    """Raise unless every file of these wheels is new, or belongs to the version that it replaces.

    Raises ConflictError for a file that exists, or that two of the wheels contain. It is also
    raised for a new file in a module of Muniment or of another plugin. See also `destinations`.
    """
    coming = {wheel.key for wheel in wheels}
    replaced = {path for key in coming & set(present) for path in _installed_files(present[key])}
    guarded = _guarded(present, coming)
    written: dict[Path, tuple[Wheel, str]] = {}
    clashes: dict[Path, tuple[Wheel, str]] = {}
    for wheel in wheels:
        for path, name in destinations(wheel, environment).items():
            other = written.setdefault(path, (wheel, name))
            if not _same_content((wheel, name), other):
                raise _overwrites(wheel, name, f"{other[0].name} {other[0].version}")
            for touched in (path, *_source(path)):
                if os.path.lexists(touched) and _real(touched) not in replaced:
                    clashes[_real(touched)] = (wheel, name)
    if clashes:
        raise _clash(clashes, [one for key, one in present.items() if key not in coming])
    for path, (wheel, name) in written.items():
        if path.is_relative_to(environment.modules):
            top = path.relative_to(environment.modules).parts[0].partition(".")[0].lower()
            if owner := guarded.get(top):
                raise _refused(wheel, f"would add {name} to the module {top} of {owner}")


def check_uninstall(keys: Collection[str], present: Distributions) -> None:
    """Raise ConflictError when uninstalling would delete a file of a distribution that stays.

    pip deletes every file that a distribution lists. `keys` are normalised names.
    """
    listed = {
        path: key for key in keys if key in present for path in _installed_files(present[key])
    }
    for key, other in present.items():
        for path in _installed_files(other) if key not in keys else ():
            if path in listed:
                name, owner = (one.metadata["Name"] for one in (present[listed[path]], other))
                raise ConflictError(
                    name,
                    f"uninstalling {name} would delete {path}, which {owner} has, too; run "
                    f"`pip uninstall {name}`, then install {owner} again with pip",
                )


def remove_new(wheels: Iterable[Wheel], environment: Environment) -> None:
    """Delete the files of wheels that a failed pip left, and that nothing installed owns.

    `check_files` found that these files did not exist before.
    """
    present = environment.present()
    for wheel in wheels:
        kept = set(_installed_files(present[wheel.key])) if wheel.key in present else set()
        with contextlib.suppress(InstallError):
            for path in destinations(wheel, environment):
                if os.path.lexists(path) and not path.is_dir() and _real(path) not in kept:
                    path.unlink()
                    _remove_empty(path.parent, environment)


def _destination(wheel: Wheel, name: str, environment: Environment) -> Path:
    parts = name.split("/")
    if _UNSAFE.search(name) or not {"", ".", ".."}.isdisjoint(parts):
        raise _refused(wheel, f"contains {name!r}, which leads out of its folder")
    if not parts[0].endswith(".data"):
        return environment.modules.joinpath(*parts)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    folders = {
        "purelib": environment.modules,
        "platlib": environment.modules,
        "scripts": environment.programs,
        "data": environment.prefix,
        "headers": environment.prefix / "include" / "site" / version / wheel.name,
    }
    if len(parts) < 3 or parts[1] not in folders:
        raise _refused(wheel, f"contains {name}, and pip does not know this part of a wheel")
    return folders[parts[1]].joinpath(*parts[2:])


def _source(path: Path) -> Iterator[Path]:
    """Yield the module that Python would load from a compiled file in `__pycache__`."""
    if path.parent.name == "__pycache__":
        yield path.parents[1] / f"{path.name.partition('.')[0]}.py"


def _guarded(present: Distributions, coming: Iterable[str]) -> Mapping[str, str]:
    """Return the top-level modules of Muniment and of plugins that stay, with their owners."""
    guarded = {"muniment": CORE, "muniment_installer": INSTALLER}
    for key in plugin_names(present).keys() - set(coming):
        distribution = present[key]
        name = distribution.metadata["Name"]
        for file in distribution.files or ():
            parts = PurePosixPath(file).parts
            if parts[1:] == ("__init__.py",) or (len(parts) == 1 and file.suffix in (".py", ".so")):
                guarded[parts[0].partition(".")[0].lower()] = name
        if is_editable(distribution):
            for point in distribution.entry_points:
                if is_plugin_group(point.group):
                    guarded[re.split("[.:]", point.value)[0].strip().lower()] = name
    return guarded


def _clash(
    clashes: Mapping[Path, tuple[Wheel, str]], staying: Iterable[Distribution]
) -> ConflictError:
    """Return the error for files that exist, with the distribution that owns one of them."""
    for distribution in staying:
        for path in _installed_files(distribution):
            if path in clashes:
                owner = f"{distribution.metadata['Name']} {distribution.version}"
                return _overwrites(*clashes[path], owner)
    path, (wheel, name) = next(iter(clashes.items()))
    return _refused(wheel, f"would overwrite {path} with {name}; move that file away first")


def _overwrites(wheel: Wheel, name: str, owner: str) -> ConflictError:
    return _refused(wheel, f"would overwrite {name} of {owner}")


def _refused(wheel: Wheel, why: str) -> ConflictError:
    return ConflictError(wheel.name, f"{wheel.name} {wheel.version} {why}")


def _same_content(one: tuple[Wheel, str], other: tuple[Wheel, str]) -> bool:
    """Return whether two files of wheels are equal, as `__init__.py` of a shared package may be."""
    if one[0] is other[0]:
        return True
    try:
        infos = []
        for wheel, name in (one, other):
            with zipfile.ZipFile(wheel.path) as archive:
                infos.append(archive.getinfo(name))
    except KeyError:  # a program
        return False
    return (infos[0].CRC, infos[0].file_size) == (infos[1].CRC, infos[1].file_size)


def _installed_files(distribution: Distribution) -> Iterator[Path]:
    """Yield the paths of a distribution's files, as `_real` returns them."""
    root = Path(str(distribution.locate_file(""))).resolve()
    for file in distribution.files or ():
        yield Path(os.path.normpath(root / file))


def _real(path: Path) -> Path:
    """Return a path with its folder resolved. Its last part may be a link."""
    return path.parent.resolve() / path.name


def _remove_empty(folder: Path, environment: Environment) -> None:
    """Delete a folder of modules, and those that contain it, while they are empty."""
    while folder != environment.modules and folder.is_relative_to(environment.modules):
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
