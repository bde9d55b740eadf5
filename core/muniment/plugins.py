"""Finding, isolating and describing plugins.

Every plugin gets a PluginManager of its own: in a shared one, a plugin that raises keeps the next
from registering. A plugin that breaks is kept as `Broken`, and everything else works on.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from muniment.digests import FileHashes, digest
from muniment.errors import AmbiguousNameError, PluginError, UnknownNameError
from muniment.hookspecs import ENTRY_POINT_GROUP, Evaluator, Filter, Generator
from muniment.parameters import Parameters
from muniment.types import PluginRef

Kind: TypeAlias = Literal["generator", "filter", "evaluator"]

_BASES: Mapping[Kind, type] = {"generator": Generator, "filter": Filter, "evaluator": Evaluator}
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed distribution's entry point, known from metadata; nothing is imported."""

    distribution: str
    version: str
    name: str
    module: str

    def ref(self) -> PluginRef:
        """Return what evidence keeps of it: distribution, version and digest of its code."""
        return PluginRef(self.distribution, self.version, _code_digest(self.module))


@dataclass(frozen=True, slots=True)
class Offer:
    """One object a plugin registered: enough to list it, and the way to its class."""

    kind: Kind
    name: str
    plugin: Plugin
    target: type | str
    media_type: str = ""
    parameters: type[Parameters] = Parameters

    def load_class(self) -> Any:
        """Import and return the registered class.

        Raises PluginError when it cannot be imported or is not what was registered.
        """
        if isinstance(self.target, type):
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            with quiet_stdout():
                found = getattr(importlib.import_module(module), attribute)
        except (Exception, SystemExit) as error:
            raise PluginError(
                self.plugin.distribution,
                f"{self.kind} {self.name!r} of {self.plugin.distribution} cannot be loaded: "
                f"{describe(error)}",
            ) from error
        if not (isinstance(found, type) and issubclass(found, _BASES[self.kind])):
            raise PluginError(
                self.plugin.distribution,
                f"{self.target} of {self.plugin.distribution} is not a {self.kind}",
            )
        return found


@dataclass(frozen=True, slots=True)
class Broken:
    """A plugin that could not be loaded: why in one sentence, and the traceback."""

    plugin: Plugin
    message: str
    traceback: str


class Plugins:
    """All installed plugins; they are imported when the first object is asked for."""

    def __init__(self, plugins: Iterable[Plugin] | None = None) -> None:
        """Take the plugins given, else those installed."""
        self.installed = tuple(installed_plugins() if plugins is None else plugins)
        self._offers: list[Offer] | None = None
        self._broken: list[Broken] = []

    @property
    def broken(self) -> tuple[Broken, ...]:
        """The plugins that could not be loaded; loads the plugins."""
        self._load()
        return tuple(self._broken)

    def offers(self, kind: Kind) -> list[Offer]:
        """Return everything registered of one kind, by name; loads the plugins."""
        return sorted(
            (offer for offer in self._load() if offer.kind == kind), key=lambda offer: offer.name
        )

    def find(self, kind: Kind, name: str) -> Offer:
        """Return the object of exactly that name.

        Raises UnknownNameError, or AmbiguousNameError when two distributions offer the name.
        """
        found = [offer for offer in self.offers(kind) if offer.name == name]
        if not found:
            known = [offer.name for offer in self.offers(kind)]
            raise UnknownNameError(kind, name, known, self._broken_hint())
        if len(found) > 1:
            raise AmbiguousNameError(
                kind, name, [offer.plugin.distribution for offer in found], "uninstall one"
            )
        return found[0]

    def generator(self, name: str, defaults: Mapping[str, str]) -> Offer:
        """Return the generator that `generate NAME` means.

        The generator of exactly that name, else the configured default for that media kind
        (`defaults`: kind → name), else the only one of the kind.
        """
        offers = self.offers("generator")
        of_kind = [offer for offer in offers if offer.media_type.partition("/")[0] == name]
        if any(offer.name == name for offer in offers) or not of_kind:
            return self.find("generator", name)
        if name in defaults:
            return self.find("generator", defaults[name])
        if len(of_kind) > 1:
            raise AmbiguousNameError(
                "generator",
                name,
                [offer.name for offer in of_kind],
                f"choose one with `muniment config set generator.{name} NAME`",
            )
        return of_kind[0]

    def _load(self) -> list[Offer]:
        if self._offers is None:
            self._offers = []
            for plugin in self.installed:
                try:
                    with quiet_stdout():
                        self._offers += _registered(plugin)
                except (Exception, SystemExit) as error:
                    message = f"plugin {plugin.distribution} cannot be loaded: {describe(error)}"
                    self._broken.append(Broken(plugin, message, traceback.format_exc()))
        return self._offers

    def _broken_hint(self) -> str:
        return "; ".join(broken.message for broken in self._broken)


def installed_plugins() -> Iterator[Plugin]:
    """Yield the installed plugins from metadata, each distribution's entry point once."""
    seen = set()
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        if entry.dist is None:
            continue
        plugin = Plugin(entry.dist.name, entry.dist.version, entry.name, entry.value)
        if (key := (plugin.distribution, plugin.name)) not in seen:
            seen.add(key)
            yield plugin


def describe(error: BaseException) -> str:
    """Return an exception as part of a sentence: its type and its first line."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Send what is written to standard output, by C code too, to standard error.

    Standard output is for data: a plugin that prints at import would spoil it.
    """
    sys.stdout.flush()
    try:
        saved = os.dup(1)
    except OSError:  # standard output is closed
        yield
        return
    try:
        os.dup2(2, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)


def _registered(plugin: Plugin) -> list[Offer]:
    import pluggy

    from muniment import hookspecs

    module = importlib.import_module(plugin.module)
    manager = pluggy.PluginManager("muniment")
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    offers: list[Offer] = []
    for kind in _BASES:

        def register(
            target: type | str,
            /,
            *,
            name: str | None = None,
            media_type: str | None = None,
            parameters: type[Parameters] | None = None,
            kind: Kind = kind,
        ) -> None:
            offers.append(_offer(kind, plugin, target, name, media_type, parameters))

        getattr(manager.hook, f"muniment_{kind}s")(register=register)
    return offers


def _offer(
    kind: Kind,
    plugin: Plugin,
    target: object,
    name: object,
    media_type: object,
    parameters: object,
) -> Offer:
    if isinstance(target, type):
        if not issubclass(target, _BASES[kind]):
            raise TypeError(f"{target.__qualname__} is not a muniment.{_BASES[kind].__name__}")
        name = name or getattr(target, "name", None)
        media_type = media_type or getattr(target, "media_type", None)
        parameters = parameters or getattr(target, "Parameters", None)
    elif not (isinstance(target, str) and re.fullmatch(r"[\w.]+:\w+", target)):
        raise TypeError(f"register a class or 'module:Class', not {target!r}")
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise TypeError(f"{target!r} needs a name of a-z, 0-9, '.', '_' and '-', not {name!r}")
    if kind == "generator" and not (isinstance(media_type, str) and "/" in media_type):
        raise TypeError(f"generator {name!r} needs a media type such as 'text/plain'")
    parameters = Parameters if parameters is None else parameters
    if not (isinstance(parameters, type) and issubclass(parameters, Parameters)):
        raise TypeError(f"the Parameters of {name!r} must subclass muniment.Parameters")
    return Offer(kind, name, plugin, target, str(media_type or ""), parameters)


@cache
def _code_digest(module: str) -> str:
    package = module.partition(".")[0].partition(":")[0]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return "unknown"
    origin = Path(spec.origin)
    root = origin.parent if spec.submodule_search_locations else origin
    return digest(root, FileHashes(), keep=lambda name: "__pycache__" not in name.split("/"))
