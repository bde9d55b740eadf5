"""Pytest fixtures for plugin tests.

Use them with `pytest_plugins = ["muniment.testing.fixtures"]` in a plugin's conftest.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from muniment.session.session import Session

__all__ = ["muniment_home", "muniment_session"]


@pytest.fixture
def muniment_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty home folder that the commands and sessions of this test use.

    No policy is in force, and the actor is `tester`.
    """
    home = tmp_path / "muniment"
    home.mkdir()
    (home / "config.toml").write_text('policy = "none"\nactor = "tester"\n', encoding="utf-8")
    for name in ("MUNIMENT_STORE", "MUNIMENT_ACTOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MUNIMENT_HOME", str(home))
    return home


@pytest.fixture
def muniment_session(muniment_home: Path) -> Iterator[Session]:
    """Yield a session with an empty home, a real store and all installed plugins."""
    with Session(muniment_home) as session:
        yield session
