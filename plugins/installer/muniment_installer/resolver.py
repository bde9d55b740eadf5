"""Resolve requested plugins to the wheels to install."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from muniment import UsageError
from muniment.installation import Distributions, InstallError, normalised
from muniment_installer.pip import Pip
from muniment_installer.preflight import fits
from muniment_installer.wheels import Wheel

_ARCHIVES = (".whl", ".tar.gz", ".zip", ".bundle")


@dataclass(frozen=True, slots=True)
class Target:
    """A requested plugin: a path, or a name with version and extras."""

    text: str
    path: Path | None = None
    requirement: Requirement | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Return the target that an argument describes. Raise UsageError for any other text."""
        path = Path(os.path.expanduser(text))
        separators = {os.sep, os.altsep or os.sep}
        is_path = (
            bool(separators & set(text)) or text.startswith(("~", ".")) or text.endswith(_ARCHIVES)
        )
        if "://" in text:
            raise UsageError(
                f"{text.partition('://')[0]}://… is an address; download the file and give its path"
            )
        if is_path or path.is_file():
            if not path.exists():
                raise UsageError(f"{text} does not exist")
            return cls(text, Path(os.path.abspath(path)))
        try:
            return cls(text, requirement=Requirement(text))
        except InvalidRequirement:
            raise UsageError(
                f"{text!r} is neither the name of a plugin nor a path (which contains a {os.sep})"
            ) from None

    @property
    def key(self) -> str | None:
        """The normalised name, or None for a path."""
        return normalised(self.requirement.name) if self.requirement else None


@dataclass(slots=True)
class InstallPlan:
    """Wheels to install, the normalised names of the plugins among them, and requested extras.

    `free` are the other distributions that may be replaced. `signer` has the fingerprint of the key
    that signed a plugin's bundle.
    """

    wheels: list[Wheel]
    targets: set[str]
    extras: dict[str, set[str]] = field(default_factory=dict)
    free: set[str] = field(default_factory=set)
    signer: dict[str, str] = field(default_factory=dict)


def gather(
    targets: Sequence[Target],
    pip: Pip,
    present: Distributions,
    into: Path,
    *,
    upgrade: bool = False,
    owned: Callable[[set[str]], set[str]] = lambda keys: set(),
) -> InstallPlan:
    """Put the wheels that installing these targets needs into a folder.

    Only targets given by path are built. All other wheels are downloaded.

    Installed distributions keep their version, except targets given by path, with `upgrade` all
    targets, and the distributions that `owned` returns for them. Raises ConflictError when that is
    impossible. Bundles are not targets.
    """
    local = {wheel.key: wheel for wheel in _local(targets, pip, into)}
    named = {target.key: target for target in targets if target.requirement}
    extras = {
        key: set(target.requirement.extras)
        for key, target in named.items()
        if key is not None and target.requirement is not None
    }
    keys = set(local) | {key for key in named if key is not None}
    open_ = keys if upgrade else {*local, *_other_version(named.values(), present)}
    free = owned(open_)
    keep = {key: one.version for key, one in present.items() if key not in open_ | free}
    wanted = [str(wheel.path) for wheel in local.values()]
    wanted += [str(target.requirement) for target in named.values()]
    try:
        chosen = pip.choose(wanted, keep, upgrade=upgrade)
    except InstallError as error:
        for target in named.values():
            if error.target == str(target.requirement) and Path(target.text).is_dir():
                raise InstallError(
                    error.target, f"{error}; for the folder of that name, use ./{target.text}"
                ) from None
        raise
    others = [f"{one.name}=={one.version}" for one in chosen if one.path is None]
    if others:
        pip.fetch(others, into)
    wheels = {wheel.key: wheel for wheel in map(Wheel.read, sorted(into.glob("*.whl")))}
    return InstallPlan(list(wheels.values()), keys & set(wheels), extras, free)


def _other_version(targets: Iterable[Target], present: Distributions) -> Iterator[str]:
    """Yield the names of installed plugins that are requested in another version."""
    for target in targets:
        key, requirement = target.key, target.requirement
        if key is None or requirement is None or key not in present:
            continue
        if not fits(requirement.specifier, present[key].version):
            yield key


def _local(targets: Sequence[Target], pip: Pip, into: Path) -> list[Wheel]:
    """Copy or build the wheels of the targets given by path into a folder."""
    wheels = []
    for target in targets:
        if target.path is None:
            continue
        if target.path.suffix == ".whl":
            Wheel.read(target.path)  # the error names the path that the user gave
            wheels.append(Wheel.read(Path(shutil.copy(target.path, into))))
            continue
        with tempfile.TemporaryDirectory(dir=into) as folder:
            pip.build(target.path, Path(folder))
            (built,) = Path(folder).glob("*.whl")
            wheels.append(Wheel.read(Path(shutil.move(str(built), into / built.name))))
    return wheels
