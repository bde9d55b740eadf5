"""What the tests of the analysis plugin share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import muniment
from muniment.plugins.registry import Plugin
from support.plugins import PluginFolder


@pytest.fixture
def session(home: Path, plugin_folder: PluginFolder) -> Iterator[muniment.Session]:
    """A session with a generator that repeats the prompt, and with the plugin's evaluators."""
    plugin_folder.generator("echo", "for r in requests: yield r.reply(Text(r.prompt))")
    analysis = Plugin("muniment-analysis", "0.1.0", "analysis", "muniment_analysis.plugin")
    plugin_folder.all.append(analysis)
    with muniment.Session(home, plugins=plugin_folder.plugins()) as session:
        yield session
