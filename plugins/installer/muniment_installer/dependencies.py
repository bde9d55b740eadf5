"""Follow the requirements of distributions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from packaging.requirements import Requirement

from muniment.installation import CORE, INSTALLER, Distributions, normalised
from muniment_installer.preflight import requirements
from muniment_installer.wheels import Wheel


def closure(
    names: Iterable[str],
    wheels: Mapping[str, Wheel],
    present: Distributions,
    extras: Mapping[str, Collection[str]],
) -> set[str]:
    """Return the normalised names of distributions and of all that they need.

    Muniment and this installer, with all that they need, are left out. A distribution in `wheels`
    has the requirements of its wheel, any other those of the installed version.
    """
    return _closure(names, wheels, present, extras) - needed_by_core(present)


def needed_by_core(present: Distributions) -> set[str]:
    """Return the normalised names of Muniment, this installer, and all that they need."""
    return _closure([CORE, INSTALLER], {}, present, {})


def owned(
    plugins: Collection[str], installed_with: Collection[str], present: Distributions
) -> set[str]:
    """Return the distributions that were installed with plugins and that nothing else needs.

    All names are normalised.
    """
    owned = set(installed_with) & set(present)
    while True:  # requirements of a distribution that stays are not owned
        staying = set(present) - owned - set(plugins)
        needed = {
            normalised(need.name)
            for key in staying
            for need in requirements(
                present[key].requires, present[key].metadata.get_all("Provides-Extra") or ()
            )
        }
        if not owned & needed:
            return owned
        owned -= needed


def _closure(
    names: Iterable[str],
    wheels: Mapping[str, Wheel],
    present: Distributions,
    extras: Mapping[str, Collection[str]],
) -> set[str]:
    names = list(names)
    found: set[str] = set()
    remaining: list[tuple[str, Collection[str]]] = [(name, extras.get(name, ())) for name in names]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while remaining:
        name, wanted = remaining.pop()
        if (step := (name, tuple(sorted(wanted)))) in seen:
            continue
        seen.add(step)
        if name in wheels:
            needs: Iterable[str] | None = wheels[name].requires
        elif name in present:
            needs = present[name].requires
        else:
            continue  # required by an extra that was not requested
        found.add(name)
        if name in (CORE, INSTALLER) and name not in names:
            continue
        needed: Requirement
        for needed in requirements(needs, wanted):
            remaining.append((normalised(needed.name), needed.extras))
    return found
