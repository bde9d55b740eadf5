"""The first-party plugins, the outputs and commands that they add, and how to install one."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from muniment.config import normalised
from muniment.plugins import discovery


class Provider(NamedTuple):
    """A first-party distribution and the generator in it that makes a kind of output."""

    distribution: str
    generator: str


TEXT = Provider("muniment-text", "text")
_IMAGE = Provider("muniment-image", "image")
_LIST = Provider("muniment-recommendation", "recommendation")

# Names of generators and media kinds, and the words that users type for them.
FIRST_PARTY = {
    "text": TEXT,
    "image": _IMAGE,
    "picture": _IMAGE,
    "diffusers": Provider("muniment-image", "diffusers"),
    "recommendation": _LIST,
    "list": _LIST,
    "ranking": _LIST,
    "recommendation-article": Provider("muniment-recommendation", "recommendation-article"),
}
# Paths of the commands that first-party plugins add. Those of the installer are reserved for it.
COMMANDS: Mapping[str, str] = {
    "analyze": "muniment-analysis",
    "audit.report": "muniment-analysis",
    "image": "muniment-image",
    "recommendation": "muniment-recommendation",
    **discovery.RESERVED_COMMANDS,
}
# Kinds of output that no first-party plugin makes.
_OTHER_KINDS = frozenset("3d audio font json mesh model music sound speech video voice".split())


def install_command(distribution: str = discovery.INSTALLER, disabled: Collection[str] = ()) -> str:
    """Return the command that installs a distribution into this environment.

    It is `muniment plugins install` where muniment-installer is installed and not among the
    disabled distributions.
    """
    if distribution != discovery.INSTALLER and discovery.INSTALLER not in disabled:
        commands = discovery.installed_commands()
        if any(normalised(command.distribution) == discovery.INSTALLER for command in commands):
            return f"muniment plugins install {distribution}"
    prefix = Path(sys.prefix)
    if (prefix / "pipx_metadata.json").is_file():
        return f"pipx inject muniment {distribution}"
    if (prefix / "uv-receipt.toml").is_file():
        return f"uv tool install muniment --with {distribution}"
    return f"pip install {distribution}"


def needs_own_name(generator: str, kind: str) -> bool:
    """Return whether only its own name, and not that of its media kind, selects a generator.

    `recommendation-article` makes text, but from a list and not from a prompt alone. So it does
    not replace `text` where muniment-text is missing.
    """
    own, provider = FIRST_PARTY.get(generator), FIRST_PARTY.get(kind)
    return own is not None and (provider is None or own.distribution != provider.distribution)


def absence_hint(
    name: str, installed: Iterable[str], disabled: Collection[str], broken: Mapping[str, str]
) -> str:
    """Return how to get a generator that makes `name`, or an empty text if that is unknown.

    `installed` and `disabled` are names of distributions. `broken` has the reasons why plugins
    could not be loaded, by their distributions.
    """
    kind = name.lower()
    provider = FIRST_PARTY.get(kind)
    if provider is None:
        if kind not in _OTHER_KINDS or broken or disabled:  # one of these may make it
            return ""
        return (
            "no plugin of Muniment itself makes it; write one with "
            "`muniment plugins new NAME --kind generator`, or install one of someone else"
        )
    owner = provider.distribution
    off = {normalised(distribution) for distribution in disabled}
    for distribution, reason in broken.items():
        if normalised(distribution) == owner:
            return f"{reason}; `muniment plugins doctor` checks it"
    if owner in off:
        return f"plugin {owner}, which makes it, is disabled; run `muniment plugins enable {owner}`"
    if owner not in map(normalised, installed):
        return f"plugin {owner} makes it; install it with `{install_command(owner, off)}`"
    if provider.generator != kind:
        return f"use `muniment generate {provider.generator}`"
    return f"the installed version of {owner} does not make it; upgrade {owner}"
