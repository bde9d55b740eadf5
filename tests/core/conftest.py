"""Fixtures for testing the core."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.plugins import PluginFolder
from support.workspace import Workspace


@pytest.fixture
def workspace(home: Path, plugin_folder: PluginFolder) -> Iterator[Workspace]:
    workspace = Workspace(home, plugin_folder)
    yield workspace
    workspace.close()
