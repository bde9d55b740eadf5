"""Plugins that are loaded in fresh processes, also those that end or block them."""

from __future__ import annotations

from pathlib import Path

import pytest

from muniment.plugins.smoke_test import load_together
from support.plugins import PluginFolder

HANGS = "import time; time.sleep(600)"
ENDS = "import os; os._exit(7)"
CUTS_THE_FILE = """
import os, sys
with open(sys.argv[1], "ab") as results:
    results.write(b'{"distribution":"b-')
os._exit(7)
"""


@pytest.fixture
def log(plugin_folder: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to which `noted` adds a line a load. The processes of the test find its plugins."""
    monkeypatch.setenv("PYTHONPATH", str(plugin_folder.folder))
    return tmp_path / "loads"


def noted(log: Path, source: str) -> str:
    """Return the source of a plugin that adds the process and its module to a log."""
    return f"import os\nwith open({str(log)!r}, 'a') as log: print(__name__, file=log)\n{source}"


@pytest.mark.parametrize(
    ("source", "position", "loads", "message"),
    [
        pytest.param(HANGS, "a-first", 1, "within 10 seconds", marks=pytest.mark.integration),
        pytest.param(HANGS, "m-middle", 1, "within 10 seconds", marks=pytest.mark.integration),
        (ENDS, "a-first", 1, "exit code 7"),
        (ENDS, "m-middle", 2, "exit code 7"),  # the plugin before may be the cause
        (CUTS_THE_FILE, "a-first", 1, "exit code 7"),
        (CUTS_THE_FILE, "m-middle", 2, "exit code 7"),
    ],
)
def test_load_together_unfinished_plugin_is_loaded_no_more_than_needed(
    plugin_folder: PluginFolder, log: Path, source: str, position: str, loads: int, message: str
) -> None:
    plugin_folder.generator("one", "pass", distribution="b-one")
    plugin_folder.generator("two", "pass", distribution="z-two")
    plugin = plugin_folder.add(noted(log, source), distribution=position)
    results = load_together(sorted(["b-one", "z-two", position]), limit=10)
    assert {key: result.ok for key, result in results.items()} == {
        "b-one": True,
        "z-two": True,
        position: False,
    }
    assert message in results[position].message
    assert log.read_text().split() == [plugin.module] * loads


@pytest.mark.integration
def test_load_together_limit_is_that_of_each_plugin(plugin_folder: PluginFolder, log: Path) -> None:
    sources = [noted(log, "import time; time.sleep(4)") for _ in range(3)]
    plugins = [plugin_folder.add(source) for source in sources]
    results = load_together([plugin.distribution for plugin in plugins], limit=10)
    assert all("registers nothing" in result.message for result in results.values())
    assert log.read_text().split() == [plugin.module for plugin in plugins]


def test_load_together_output_is_attributed_to_a_plugin_alone(
    plugin_folder: PluginFolder, log: Path
) -> None:
    plugin_folder.add("import sys; sys.stderr.write('of the first')", distribution="a-first")
    ends = "import os; os.write(2, b'of the second'); os._exit(7)"
    plugin_folder.add(ends, distribution="b-second")
    assert load_together(["a-first", "b-second"])["b-second"].traceback == "of the second"
