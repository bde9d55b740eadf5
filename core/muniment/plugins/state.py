"""Read the record of the plugins that were installed into an environment.

The record is a folder in the home folder, one for each environment. So it outlives an environment
that `pipx reinstall` or `uv tool upgrade` replaces. Muniment-installer writes it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec

from muniment.config import normalised
from muniment.errors import AmbiguousNameError, MunimentError, UnknownNameError
from muniment.files import make_folder, open_private, try_lock
from muniment.ledger.fields import PluginAct
from muniment.plugins.discovery import (
    COMMAND_GROUP,
    POLICY_GROUP,
    Plugin,
    installed_commands,
    installed_plugins,
    is_renamed,
)

CORE = "muniment"
CONTRACTS = "muniment.v"  # the beginning of the entry-point group of every contract version
JOURNAL = "journal.json"

Distributions: TypeAlias = Mapping[str, Distribution]
"""Installed distributions by normalised name."""

_T = TypeVar("_T")


class InstallError(MunimentError):
    """A plugin cannot be installed or removed. `target` is its name, or the file concerned."""

    def __init__(self, target: str, message: str) -> None:
        super().__init__(message)
        self.target = target


class KeptWheel(msgspec.Struct, frozen=True):
    """A wheel that was installed, with its hash. `file` is its file name."""

    name: str
    version: str
    sha256: str
    file: str


class InstallRecord(msgspec.Struct):
    """A plugin as it was installed. `installed_with` are distributions that it needed."""

    name: str
    version: str
    digest: str
    signer: str | None = None
    installed_with: list[str] = []
    previous: KeptWheel | None = None
    previous_signer: str | None = None

    def changed(self, version: str, digest: str) -> bool:
        """Return whether the installed version has another digest than the code now has."""
        return version == self.version and digest != self.digest


class InstallState(msgspec.Struct):
    """All that `muniment plugins` installed into an environment, by normalised name."""

    environment: str
    plugins: dict[str, InstallRecord] = {}
    wheels: dict[str, KeptWheel] = {}


class InstallEvent(msgspec.Struct, frozen=True):
    """A change to a plugin, as the ledger records it. `at` is in milliseconds since 1970."""

    at: int
    act: PluginAct
    distribution: str
    version: str
    digest: str
    signer: str | None


class InstallRecords:
    """The records of one environment in one home folder, for reading."""

    def __init__(self, home: Path, prefix: Path | None = None) -> None:
        """Take the home folder and the environment's, by default that of this process."""
        prefix = Path(sys.prefix) if prefix is None else prefix
        self.prefix = str(prefix)
        self.folder = home / "plugins" / sha256(os.fsencode(prefix)).hexdigest()[:16]

    def state(self) -> InstallState:
        """Return the plugins that were installed. Raise InstallError for an unreadable file."""
        return self.read("state.json", InstallState) or InstallState(self.prefix)

    def gone(self, present: Mapping[str, object]) -> dict[str, InstallRecord]:
        """Return the recorded plugins that are not among the normalised names in `present`."""
        return {key: record for key, record in self.state().plugins.items() if key not in present}

    def interrupted(self) -> str | None:
        """Return which change was interrupted, or None. A change in progress does not count."""
        if not (self.folder / JOURNAL).is_file():
            return None
        with contextlib.suppress(InstallError), self.locked():
            journal = self.read(JOURNAL, dict[str, Any]) or {}
            return journal.get("what")
        return None

    def find(self, name: str, present: Distributions) -> str:
        """Return the normalised name of a plugin that is, or was, installed.

        `name` is that of its distribution, or another name in its metadata, as in
        `names_in_metadata`. Raises UnknownNameError or AmbiguousNameError.
        """
        key = normalised(name)
        known = plugin_names(present)
        known |= {gone: record.name for gone, record in self.gone(present).items()}
        if key in known:
            return key
        others = known.keys() & present.keys()
        named = [item for item in others if name_key(name) in names_in_metadata(present[item])]
        return one_plugin(name, {item: known[item] for item in named}, known.values())

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the lock of the environment's plugins, and yield its file descriptor.

        The lock is released when the last process that has the file open ends, so that of pip
        counts, too. Raises InstallError when another process holds it.
        """
        try:
            make_folder(self.folder)
            file = open_private(self.folder / "lock", "ab")
        except OSError as error:
            raise InstallError(
                self.prefix, f"{self.folder} cannot be written: {error.strerror}"
            ) from None
        with file:
            if not try_lock(file):
                raise InstallError(
                    self.prefix,
                    f"another command is changing the plugins of {self.prefix}; try again when it "
                    "has ended",
                )
            yield file.fileno()

    def read(self, name: str, kind: type[_T]) -> _T | None:
        """Return the decoded content of a file of the folder, or None when it does not exist."""
        path = self.folder / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise InstallError(
                str(path),
                f"{path} cannot be read ({error}); move the file away: plugins stay installed, and "
                "only the record of their installation is lost",
            ) from None


def distributions() -> dict[str, Distribution]:
    """Return the installed distributions by normalised name, as Python finds them."""
    found: dict[str, Distribution] = {}
    for distribution in importlib.metadata.distributions():
        name: str | None = distribution.metadata["Name"]
        # An interrupted pip leaves folders without a name, or renamed to `~…`.
        if name and not is_renamed(distribution):
            found.setdefault(normalised(name), distribution)
    return found


def plugin_names(present: Distributions) -> dict[str, str]:
    """Return the names of the plugins among distributions, by normalised name.

    A plugin has an entry point in the group of any version of the contract, or adds a command.
    """
    return {
        key: distribution.metadata["Name"]
        for key, distribution in present.items()
        if any(is_plugin_group(point.group) for point in distribution.entry_points)
    }


def one_plugin(name: str, named: Mapping[str, str], known: Iterable[str]) -> str:
    """Return the only plugin that has a name, by its normalised name.

    `named` has the distributions by normalised name. Raises UnknownNameError if there is none, and
    AmbiguousNameError if there are several.
    """
    if len(named) > 1:
        raise AmbiguousNameError("plugin", name, sorted(named.values()))
    for key in named:
        return key
    raise UnknownNameError("plugin", name, list(known))


def names_in_metadata(distribution: Distribution) -> set[str]:
    """Return the names of a plugin's entry points, modules, commands and policies, as keys."""
    names: set[str] = set()
    for point in distribution.entry_points:
        if is_plugin_group(point.group) or point.group == POLICY_GROUP:
            module = point.value.partition(":")[0].strip()
            names |= {name_key(point.name), name_key(module), name_key(module.partition(".")[0])}
    return names


def name_key(name: str) -> str:
    """Return a name in the form in which the names of plugins are compared."""
    return normalised("-".join(name.split()))


def is_plugin_group(group: str) -> bool:
    """Return whether an entry point of that group makes a distribution a plugin."""
    return group.startswith(CONTRACTS) or group == COMMAND_GROUP


def code_digest(key: str) -> str:
    """Return the digest of an installed plugin's code, empty when it is not installed.

    `key` is the normalised name. `Plugin.ref` says which code it covers.
    """
    found = itertools.chain[Plugin](installed_plugins(), installed_commands())
    same = (plugin for plugin in found if normalised(plugin.distribution) == key)
    return next((plugin.ref().digest for plugin in same), "")


def signer_of(record: InstallRecord | None, version: str, digest: str) -> str | None:
    """Return the fingerprint of the key that signed a plugin, if its code is unchanged."""
    if record is None or (record.version, record.digest) != (version, digest):
        return None
    return record.signer


def now() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
