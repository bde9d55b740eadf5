"""From what someone asks for to the wheels that would have to be installed; nothing is changed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from muniment.config import normalised
from muniment.errors import UsageError
from muniment.installing.errors import InstallError
from muniment.installing.pip import Pip
from muniment.installing.preflight import Present, fits
from muniment.installing.wheels import Wheel

_ARCHIVES = (".whl", ".tar.gz", ".zip", ".bundle")


@dataclass(frozen=True, slots=True)
class Target:
    """One thing asked for: a path, or a name with version and extras."""

    text: str
    path: Path | None = None
    requirement: Requirement | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read what someone gave; raises UsageError for what can be neither."""
        path = Path(os.path.expanduser(text))
        separators = {os.sep, os.altsep or os.sep}
        looks = (
            bool(separators & set(text)) or text.startswith(("~", ".")) or text.endswith(_ARCHIVES)
        )
        if "://" in text:
            raise UsageError(
                f"{text.partition('://')[0]}://… is an address; download it and give the file"
            )
        if looks or path.is_file():
            if not path.exists():
                raise UsageError(f"there is nothing at {text}")
            return cls(text, Path(os.path.abspath(path)))
        try:
            return cls(text, requirement=Requirement(text))
        except InvalidRequirement:
            raise UsageError(
                f"{text!r} is neither the name of a plugin nor a path (which has a {os.sep} in it)"
            ) from None

    @property
    def key(self) -> str | None:
        """The normalised name, where it is known without looking into a file."""
        return normalised(self.requirement.name) if self.requirement else None


@dataclass(slots=True)
class InstallPlan:
    """Wheels to install, the targets among them by normalised name, and the extras asked for.

    `free` are those besides the targets that may be replaced; `signer` has the fingerprint of who
    signed a target, where a bundle brought it.
    """

    wheels: list[Wheel]
    targets: set[str]
    extras: dict[str, set[str]] = field(default_factory=dict)
    free: set[str] = field(default_factory=set)
    signer: dict[str, str] = field(default_factory=dict)


def gather(
    targets: Sequence[Target],
    pip: Pip,
    present: Present,
    into: Path,
    *,
    upgrade: bool = False,
    own: Callable[[set[str]], set[str]] = lambda keys: set(),
) -> InstallPlan:
    """Put the wheels into a folder that installing these targets would take; no bundles.

    What is there is kept at its version: all but the targets given by path, with `upgrade` all
    targets, and what is their `own` (by normalised names). Raises ConflictError where that cannot
    be.
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
    free = own(open_)
    keep = {key: held.version for key, held in present.items() if key not in open_ | free}
    wanted = [str(wheel.path) for wheel in local.values()]
    wanted += [str(target.requirement) for target in named.values()]
    try:
        chosen = pip.choose(wanted, keep, upgrade=upgrade)
    except InstallError as error:
        for target in named.values():
            if error.target == str(target.requirement) and Path(target.text).is_dir():
                raise InstallError(
                    error.target, f"{error}; if the folder here is meant, give ./{target.text}"
                ) from None
        raise
    others = [f"{one.name}=={one.version}" for one in chosen if one.path is None]
    if others:
        pip.fetch(others, into)
    wheels = {wheel.key: wheel for wheel in map(Wheel.read, sorted(into.glob("*.whl")))}
    return InstallPlan(list(wheels.values()), keys & set(wheels), extras, free)


def _other_version(targets: Iterable[Target], present: Present) -> Iterator[str]:
    """Yield the plugins that are there, but asked for in a version that is not."""
    for target in targets:
        key, requirement = target.key, target.requirement
        if key is None or requirement is None or key not in present:
            continue
        if not fits(requirement.specifier, present[key].version):
            yield key


def _local(targets: Sequence[Target], pip: Pip, into: Path) -> list[Wheel]:
    """Put the wheels of targets given by path into a folder, built where need be."""
    found = []
    for target in targets:
        if target.path is None:
            continue
        if target.path.suffix == ".whl":
            Wheel.read(target.path)  # who names what is no wheel is told so
            found.append(Wheel.read(Path(shutil.copy(target.path, into))))
            continue
        with tempfile.TemporaryDirectory(dir=into) as folder:
            pip.fetch([str(target.path)], Path(folder))
            (built,) = Path(folder).glob("*.whl")
            found.append(Wheel.read(Path(shutil.move(str(built), into / built.name))))
    return found
