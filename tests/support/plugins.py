"""Real plugins for tests: packages with metadata, written into a folder that Python looks in.

    shelf.generator("echo", "for request in requests: yield request.reply(Text(request.prompt))")

What is written is found as any installed plugin is, in this process and, with the folder in
PYTHONPATH, in others.
"""

from __future__ import annotations

import importlib
import itertools
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from muniment.plugins.discovery import Plugin
from muniment.plugins.registry import Plugins

_number = itertools.count(1)

_HEAD = """
from __future__ import annotations
from typing import Literal
import muniment
from muniment import Measure, Output, Reason, Reply, Text, Trace, Usage, Verdict, param
"""

_CLASS = """
class Made(muniment.{base}):
    name = {name!r}
{attributes}

    class Parameters(muniment.Parameters):
{parameters}

    def {method}:
{body}


@muniment.hookimpl
def muniment_{kind}s(register):
    register(Made)
"""


class PluginFolder:
    """A folder of plugins; each stands in a package and a distribution of its own."""

    def __init__(self, folder: Path) -> None:
        """Take an empty folder, which the caller puts on `sys.path`."""
        self.folder = folder
        self.all: list[Plugin] = []

    def plugins(self) -> Plugins:
        """Return what is on the shelf, not loaded yet."""
        return Plugins(self.all)

    def add(
        self,
        source: str,
        *,
        distribution: str | None = None,
        version: str = "1.0",
        files: Mapping[str, str] | None = None,
        policies: Mapping[str, str] | None = None,
        requires: Sequence[str] = (),
        group: str = "muniment.v1",
    ) -> Plugin:
        """Write a plugin's package, further files in it, and its metadata.

        `{package}` in the source stands for the package's name; `policies` has the files of
        policies by the names they are installed under; `requires` is what it says it depends on.
        """
        package = f"shelved_{next(_number)}"
        distribution = distribution or package.replace("_", "-")
        for name, text in {"__init__.py": source, **(files or {})}.items():
            path = self.folder / package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).replace("{package}", package), encoding="utf-8")
        info = self.folder / f"{package}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
            + "".join(f"Requires-Dist: {needed}\n" for needed in requires)
        )
        points = [f"[{group}]", f"plugin = {package}", "[muniment.policies]"]
        points += [f"{name} = {package}:{file}" for name, file in (policies or {}).items()]
        (info / "entry_points.txt").write_text("\n".join(points) + "\n")
        importlib.invalidate_caches()
        self.all.append(Plugin(distribution, version, "plugin", package))
        return self.all[-1]

    def generator(
        self,
        name: str,
        body: str,
        *,
        media_type: str = "text/plain",
        determinism: str = "exact",
        attributes: str = "",
        parameters: str = "pass",
        distribution: str | None = None,
        version: str = "1.0",
    ) -> Plugin:
        """Add a generator by the body of its `generate(self, requests)`."""
        attributes = (
            f"media_type, determinism = {media_type!r}, {determinism!r}\n"
            f"{textwrap.dedent(attributes)}"
        )
        source = _written(
            "Generator", "generate(self, requests)", name, body, attributes, parameters
        )
        return self.add(source, distribution=distribution, version=version)

    def filter(
        self,
        name: str,
        body: str,
        *,
        attributes: str = "",
        parameters: str = "pass",
        distribution: str | None = None,
        version: str = "1.0",
    ) -> Plugin:
        """Add a filter by the body of its `check(self, content)`."""
        source = _written("Filter", "check(self, content)", name, body, attributes, parameters)
        return self.add(source, distribution=distribution, version=version)

    def evaluator(
        self,
        name: str,
        body: str,
        *,
        measures: str = "Measure('value')",
        attributes: str = "default = True",
        distribution: str | None = None,
    ) -> Plugin:
        """Add an evaluator by the body of its `evaluate(self, generation)`."""
        attributes = f"measures = ({measures},)\n{textwrap.dedent(attributes)}"
        source = _written("Evaluator", "evaluate(self, generation)", name, body, attributes, "pass")
        return self.add(source, distribution=distribution)

    def forget(self) -> None:
        """Take the packages out of the modules that Python remembers."""
        packages = {plugin.module for plugin in self.all}
        for module in [name for name in sys.modules if name.partition(".")[0] in packages]:
            del sys.modules[module]


def _written(base: str, method: str, name: str, body: str, attributes: str, parameters: str) -> str:
    def block(text: str, depth: int) -> str:
        return textwrap.indent(textwrap.dedent(text).strip("\n"), "    " * depth)

    return _HEAD + _CLASS.format(
        base=base,
        kind=base.lower(),
        method=method,
        name=name,
        attributes=block(attributes, 1),
        parameters=block(parameters, 2),
        body=block(body, 2),
    )
