"""Which plugins there are, from metadata alone: listing them must cost next to nothing.

What a plugin offers is in `plugins`, which imports it; nothing is imported here.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from muniment.errors import UsageError

if TYPE_CHECKING:
    from muniment.models.digests import FileHashes
    from muniment.types import PluginRef

ENTRY_POINT_GROUP = "muniment.v1"  # the group's name is the version of the contract
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed distribution's entry point, known from metadata; nothing is imported.

    A plugin of one file has its `path`; its distribution is the file's name without `.py`, and
    its version is empty.
    """

    distribution: str
    version: str
    name: str
    module: str
    path: str = ""

    @classmethod
    def from_file(cls, path: str | Path) -> Plugin:
        """Return the plugin that a file of Python is; raises UsageError when it cannot be one."""
        file = Path(os.path.abspath(Path(path).expanduser()))
        if file.is_dir():
            raise UsageError(f"{path} is a folder; `muniment plugins install {path}` takes it")
        if not file.is_file():
            raise UsageError(f"there is no file {path}; --plugin takes a plugin of one file")
        if file.suffix != ".py" or not NAME.fullmatch(file.stem.lower()):
            raise UsageError(
                f"{path} cannot be a plugin; name the file with a-z, 0-9, '.', '_', '-' and .py"
            )
        import hashlib

        mark = hashlib.sha256(os.fsencode(file)).hexdigest()[:8]
        module = f"{re.sub('[^a-z0-9]', '_', file.stem.lower())}_{mark}"
        return cls(file.stem, "", file.stem, module, str(file))

    def ref(self, hash_cache: Path | None = None) -> PluginRef:
        """Return what evidence keeps of it: distribution, version and digest of its code.

        With `hash_cache`, files that have not changed since they were hashed are not read again;
        see `FileHashes`.
        """
        from muniment.types import PluginRef

        code_digest = _code_digest(self.module, self.path, hash_cache)
        return PluginRef(self.distribution, self.version, code_digest)

    def load_module(self) -> ModuleType:
        """Import and return its module; raises whatever its code raises."""
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


def installed_plugins() -> Iterator[Plugin]:
    """Yield the installed plugins from metadata, each distribution's entry point once."""
    import importlib.metadata

    seen = set()
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        if entry.dist is None:
            continue
        held = entry.dist.metadata  # read and parsed each time it is asked for
        plugin = Plugin(held["Name"], held["Version"], entry.name, entry.value)
        if (key := (plugin.distribution, plugin.name)) not in seen:
            seen.add(key)
            yield plugin


@cache
def _code_digest(module: str, path: str, hash_cache: Path | None) -> str:
    from muniment.models.digests import FileHashes

    hashes = FileHashes(hash_cache)
    try:
        return _digest_of_code(module, path, hashes)
    finally:
        hashes.save()


def _digest_of_code(module: str, path: str, hashes: FileHashes) -> str:
    from importlib.util import find_spec

    from muniment.models.digests import digest

    if path:
        return digest(Path(path), hashes)
    parts = module.partition(":")[0].split(".")
    for depth in range(1, len(parts) + 1):  # a namespace shared by distributions has no origin
        spec = find_spec(".".join(parts[:depth]))
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin)
            root = origin.parent if spec.submodule_search_locations else origin
            return digest(root, hashes, keep=_is_code)
    return "unknown"


def _is_code(name: str) -> bool:
    return "__pycache__" not in name.split("/")
