"""A workspace whose plugins all run in worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.plugins import PluginFolder
from support.workers import IsolatedWorkspace


@pytest.fixture
def workspace(home: Path, plugin_folder: PluginFolder) -> Iterator[IsolatedWorkspace]:
    workspace = IsolatedWorkspace(home, plugin_folder)
    yield workspace
    workspace.close()
