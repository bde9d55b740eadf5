"""Fixtures that the tests of the analysis plugin share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import muniment
from muniment.plugins.discovery import Plugin
from support.plugins import PluginFolder


@pytest.fixture
def session(home: Path, plugin_folder: PluginFolder) -> Iterator[muniment.Session]:
    """A session with a generator that repeats the prompt, and with the plugin's evaluators."""
    plugin_folder.generator("echo", "for r in requests: yield r.reply(Text(r.prompt))")
    analysis = Plugin("muniment-analysis", "0.1.0", "analysis", "muniment_analysis.plugin")
    plugin_folder.all.append(analysis)
    with muniment.Session(home, plugins=plugin_folder.plugins()) as session:
        yield session


@pytest.fixture
def set_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """A function that sets the local time zone during a test."""

    def use(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield use
    monkeypatch.undo()
    time.tzset()
