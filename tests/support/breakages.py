"""Plugins that break in every way there is, each a real installed distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from support.plugins import PluginFolder

REGISTERING = """
import muniment
{0}
class Made(muniment.{base}):
    name, media_type, determinism = "made", "text/plain", "exact"
    measures = ()
    {1}
    def generate(self, requests):
        for request in requests: yield request.reply(muniment.Text(request.prompt))
    def check(self, content): return content.allow()
    def evaluate(self, generation): return {{}}
@muniment.hookimpl
def muniment_{kind}s({arguments}):
    {2}
"""


@dataclass(frozen=True)
class Breakage:
    """A plugin's source and what is said of it when it is loaded; None where nothing is wrong."""

    source: Callable[[str], str]
    complaint: str | None

    def install(
        self,
        plugin_folder: PluginFolder,
        kind: str = "generator",
        *,
        distribution: str = "unlucky",
        before: str = "",
    ) -> None:
        """Put it on the shelf; `before` is what it does first when it is imported."""
        source = f"{before}\n{self.source(kind)}"
        plugin_folder.add(source, distribution=distribution, requires=("no-such-thing>=2",))


def source(
    top: str = "", attributes: str = "", hook: str = "register(Made)", arguments: str = "register"
) -> Callable[[str], str]:
    """Return what writes a plugin of a kind, with something of its own in each place."""

    def written(kind: str) -> str:
        return REGISTERING.format(
            top, attributes, hook, base=kind.capitalize(), kind=kind, arguments=arguments
        )

    return written


def renamed(kind: str) -> str:
    return source()(kind).replace(f"muniment_{kind}s", f"muniment_{kind}")


# What cannot be loaded, by how it breaks.
UNLOADABLE: Mapping[str, Breakage] = {
    "import error": Breakage(source("from muniment import NoSuchName"), "ImportError: "),
    "unsatisfied dependency": Breakage(
        source("import no_such_thing"), "ModuleNotFoundError: No module named 'no_such_thing'"
    ),
    "syntax error": Breakage(source("def f(:"), "SyntaxError: "),
    "exception at import": Breakage(source("1 / 0"), "ZeroDivisionError: division by zero"),
    "panic at import": Breakage(
        source("class Panic(BaseException): pass\nraise Panic('as Rust does')"),
        "Panic: as Rust does",
    ),
    "exit at import": Breakage(source("import sys; sys.exit(3)"), "SystemExit: 3"),
    "exception in the hook": Breakage(source(hook="raise RuntimeError('no')"), "RuntimeError: no"),
    "exit in the hook": Breakage(source(hook="raise SystemExit(0)"), "SystemExit: 0"),
    "wrong signature": Breakage(source(arguments="registry"), "{'registry'}"),
    "unknown hook": Breakage(renamed, "unknown hook"),
    "registers no class": Breakage(source(hook="register(5)"), "not 5"),
    "registers another class": Breakage(source(hook="register(dict)"), "dict is not a muniment."),
    "registers what cannot be called": Breakage(
        source(hook="register(Made, colour='red')"), "TypeError: "
    ),
    "parameters that are no schema": Breakage(
        source(
            "class Wrong(muniment.Parameters):\n    size: dict = muniment.param({})",
            "Parameters = Wrong",
        ),
        "Wrong.size: parameters are bool, int",
    ),
    "parameters that are another class": Breakage(
        source(attributes="class Parameters: size = 5"), "must subclass muniment.Parameters"
    ),
    "a schema that is none": Breakage(
        source(
            "class Wrong(muniment.Parameters):\n    @classmethod\n    def schema(cls): return 5",
            "Parameters = Wrong",
        ),
        "the schema of Wrong is not a JSON schema",
    ),
    "fields that are none": Breakage(
        source(
            "class Wrong(muniment.Parameters):\n    @classmethod\n    def fields(cls): return 5",
            "Parameters = Wrong",
        ),
        "Wrong.fields() must return fields declared with muniment.param",
    ),
}

# What loads, however oddly.
LOADABLE: Mapping[str, Breakage] = {
    "prints at import": Breakage(
        source("import os; print('printed'); os.write(1, b'written\\n')"), None
    ),
    "a slow import": Breakage(source("import time; time.sleep(0.5)"), None),
    "a hook that returns something": Breakage(source(hook="register(Made); return 5"), None),
    "a hook without arguments": Breakage(source(arguments="", hook="pass"), None),
    "a missing dependency it does not import": Breakage(source(), None),
}
