"""Find installed plugins and their commands from metadata, without importing any of them."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from muniment.config import normalised
from muniment.errors import UsageError
from muniment.names import RULE, is_name, normal_name
from muniment.representation import showing

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

    from muniment.types.plugins import PluginRef

ENTRY_POINT_GROUP = "muniment.v1"  # the group's name is the version of the contract
COMMAND_GROUP = "muniment.commands"
POLICY_GROUP = "muniment.policies"
INSTALLER = "muniment-installer"
# The only distribution that can add the command of a path. Another one could install anything.
RESERVED_COMMANDS = {
    f"plugins.{name}": INSTALLER
    for name in ("install", "upgrade", "uninstall", "freeze", "restore", "bundle")
}
COMMAND_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*")


@dataclass(frozen=True, slots=True)
class Plugin:
    """An entry point of an installed distribution, known from metadata.

    A plugin of one file has a `path`. Its distribution is the file's name without `.py`, and its
    version is empty.
    """

    distribution: str
    version: str
    name: str
    module: str
    path: str = ""

    __repr__ = showing("distribution", "version", "name")

    @classmethod
    def from_file(cls, path: str | Path) -> Plugin:
        """Return the plugin in a Python file. Raise UsageError when the file cannot be one."""
        file = Path(os.path.abspath(os.path.expanduser(path)))
        if file.is_dir():
            raise UsageError(f"{path} is a folder; `muniment plugins install {path}` takes it")
        if not file.is_file():
            raise UsageError(f"there is no file {path}; --plugin takes a plugin of one file")
        name = normal_name(file.stem)
        if file.suffix != ".py" or not is_name(name):
            raise UsageError(f"{path} cannot be a plugin; name the file with {RULE}, and .py")
        import hashlib

        mark = hashlib.sha256(os.fsencode(file)).hexdigest()[:8]
        module = f"{re.sub('[^a-z0-9]', '_', name.lower())}_{mark}"
        return cls(name, "", name, module, str(file))

    def ref(self, hash_cache: Path | None = None) -> PluginRef:
        """Return the distribution, the version and the digest of the code, for the evidence.

        The code is the top-level packages and modules of all entry points of Muniment that the
        distribution has.

        With `hash_cache`, files that have not changed since they were hashed are not read again.
        See `FileHashes`.
        """
        from muniment.types.plugins import PluginRef

        code_digest = _code_digest(self.distribution, self.module, self.path, hash_cache)
        return PluginRef(self.distribution, self.version, code_digest)

    def load_module(self) -> ModuleType:
        """Import and return its module. Any exception of its code is raised."""
        if not self.path or self.module in sys.modules:
            return importlib.import_module(self.module)
        from importlib.util import module_from_spec, spec_from_file_location

        spec = spec_from_file_location(self.module, self.path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[self.module] = module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[self.module]
            raise
        return module


@dataclass(frozen=True, slots=True)
class PluginCommand(Plugin):
    """A command that an installed distribution adds, known from metadata.

    `name` is the command's name, after the names of the groups that contain it, joined by dots:
    `plugins.install`. `attribute` is the path of the command in its module.
    """

    attribute: str = ""
    summary: str = ""

    __repr__ = showing("distribution", "version", "name")

    @property
    def word(self) -> str:
        """The name of the command in its group."""
        return self.name.rpartition(".")[2]

    @property
    def group(self) -> str:
        """The name of the group that contains the command, empty at the top level."""
        return self.name.rpartition(".")[0]

    @property
    def words(self) -> str:
        """The command as a user types it after `muniment`."""
        return self.name.replace(".", " ")


def file_plugins(files: Iterable[str | Path]) -> list[Plugin]:
    """Return the single-file plugins of these paths. Raise UsageError for an unusable path.

    A file that is given twice is one plugin.
    """
    plugins = list({plugin.path: plugin for plugin in map(Plugin.from_file, files)}.values())
    names = [plugin.name for plugin in plugins]
    if duplicate := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two single-file plugins have the name {duplicate}; rename one")
    return plugins


def installed_plugins() -> Iterator[Plugin]:
    """Yield the installed plugins from metadata, each distribution's entry point once.

    Skips what an interrupted pip left: a folder without a name, or one renamed to `~…`.
    """
    import importlib.metadata

    seen = set()
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        if entry.dist is None:
            continue
        metadata = entry.dist.metadata  # this property parses the file on each access
        if not metadata["Name"] or is_renamed(entry.dist):
            continue
        plugin = Plugin(metadata["Name"], metadata["Version"], entry.name, entry.value)
        if (key := (plugin.distribution, plugin.name)) not in seen:
            seen.add(key)
            yield plugin


def installed_commands() -> list[PluginCommand]:
    """Return the commands that installed distributions add, by distribution and name.

    Reads the files of the metadata itself: importing importlib.metadata takes as long as the rest
    of `muniment --help`.
    """
    commands: list[PluginCommand] = []
    seen = set()
    for info in _metadata_folders():
        key = normalised(re.split(r"-|\.egg-info|\.dist-info", info.name)[0])
        if key in seen:  # Python imports the first on sys.path
            continue
        seen.add(key)
        targets = _section(info / "entry_points.txt", COMMAND_GROUP)
        if not targets:
            continue
        headers = _headers(info / ("METADATA" if info.suffix == ".dist-info" else "PKG-INFO"))
        name, version, summary = (headers.get(key, "") for key in ("name", "version", "summary"))
        if not name:  # as in `installed_plugins`
            continue
        for path, target in targets.items():
            module, _, attribute = map(str.strip, target.partition(":"))
            commands.append(PluginCommand(name, version, path, module, "", attribute, summary))
    return sorted(commands, key=lambda command: (command.distribution, command.name))


def package_folder(distribution: str) -> Path | None:
    """Return the folder of the package that the entry points of a distribution name.

    Nothing is imported. Returns None when the distribution is not installed or has no package.
    """
    installed = itertools.chain(iter(installed_commands()), installed_plugins())
    wanted = normalised(distribution)
    modules = (one.module for one in installed if normalised(one.distribution) == wanted)
    return next((root for _, root in _code_of(modules) if root.is_dir()), None)


def policy_entries() -> Iterator[tuple[str, EntryPoint]]:
    """Yield the entry points of policies, each after the name of its distribution."""
    import importlib.metadata

    for entry in importlib.metadata.entry_points(group=POLICY_GROUP):
        if entry.dist is not None and entry.dist.name and not is_renamed(entry.dist):
            yield entry.dist.name, entry


def policy_names() -> dict[str, list[str]]:
    """Return the names of the policies that distributions have, by their normalised names."""
    names: dict[str, set[str]] = {}
    for distribution, entry in policy_entries():
        names.setdefault(normalised(distribution), set()).add(entry.name)
    return {key: sorted(found) for key, found in names.items()}


def is_renamed(distribution: Distribution) -> bool:
    """Return whether pip has renamed a distribution's folder to `~…`, before it deletes it."""
    folder: Path | None = getattr(distribution, "_path", None)
    return folder is not None and folder.name.startswith("~")


def _metadata_folders() -> Iterator[Path]:
    for folder in dict.fromkeys(sys.path):
        with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
            for entry in entries:
                # pip renames a folder to `~…` before it deletes it
                if entry.name.endswith((".dist-info", ".egg-info")) and entry.name[0] != "~":
                    yield Path(entry.path)


def _section(path: Path, group: str) -> Mapping[str, str]:
    """Return the entry points of one group in an `entry_points.txt`, by name."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    if group not in text:
        return {}
    targets: dict[str, str] = {}
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif section == group and "=" in line and line[0] not in "#;":
            name, _, target = line.partition("=")
            targets.setdefault(name.strip(), target.strip())
    return targets


def _headers(path: Path) -> Mapping[str, str]:
    """Return the headers of a distribution's metadata, by lower-case name."""
    headers: dict[str, str] = {}
    with contextlib.suppress(OSError), path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if not line.strip():
                break
            name, colon, value = line.partition(":")
            if colon and not line[0].isspace():
                headers.setdefault(name.strip().lower(), value.strip())
    return headers


@cache
def _code_digest(distribution: str, module: str, path: str, hash_cache: Path | None) -> str:
    from muniment.models import digests

    roots = {"": Path(path)} if path else dict(_code_of({module, *_modules_of(distribution)}))
    if not roots:
        return "unknown"
    hashes = digests.FileHashes(hash_cache)
    if len(roots) == 1:
        (root,) = roots.values()
        code_digest = digests.digest(root, hashes, keep=_is_code)
    else:
        files: dict[str, Path] = {}
        for name, root in roots.items():
            below = {} if root.is_file() else digests.files(root, keep=_is_code)
            files |= {f"{name}/{relative}": file for relative, file in below.items()}
            if root.is_file():
                files[f"{name}{root.suffix}"] = root
        code_digest = digests.tree_digest(files, hashes)
    hashes.save()
    return code_digest


def _is_code(name: str) -> bool:
    return "__pycache__" not in name.split("/")


def _modules_of(distribution: str) -> Iterator[str]:
    """Yield the modules of the entry points of Muniment that an installed distribution has."""
    import importlib.metadata

    with contextlib.suppress(importlib.metadata.PackageNotFoundError, ValueError):
        for point in importlib.metadata.distribution(distribution).entry_points:
            if point.group.startswith("muniment."):
                yield point.value


def _code_of(modules: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Yield the file, or the package's folder, of the first module on each path that has one.

    The name is that of the module, with `/`. Several modules may be in one package.
    """
    from importlib.util import find_spec

    for module in modules:
        parts = module.partition(":")[0].strip().split(".")
        for depth in range(1, len(parts) + 1):  # a namespace shared by distributions has no file
            try:
                spec = find_spec(".".join(parts[:depth]))
            except (ImportError, ValueError):
                break  # a broken plugin can still be shown, checked and disabled
            if spec is not None and spec.has_location and spec.origin is not None:
                origin = Path(spec.origin)
                root = origin.parent if spec.submodule_search_locations else origin
                yield "/".join(parts[:depth]), root
                break
