"""Fixtures: `pytest_plugins = ["muniment.testing.fixtures"]` in a plugin's conftest.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from muniment.session import Session

__all__ = ["muniment_home", "muniment_session"]


@pytest.fixture
def muniment_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, which commands and sessions of this test use; no policy is in force."""
    home = tmp_path / "muniment"
    home.mkdir()
    (home / "config.toml").write_text('policy = "none"\nactor = "tester"\n', encoding="utf-8")
    for name in ("MUNIMENT_STORE", "MUNIMENT_ACTOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MUNIMENT_HOME", str(home))
    return home


@pytest.fixture
def muniment_session(muniment_home: Path) -> Iterator[Session]:
    """A session with a real store in an empty home, and with every plugin that is installed."""
    with Session(muniment_home) as session:
        yield session
