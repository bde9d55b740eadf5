"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support.databases import Server, server
from support.plugins import Shelf

# A busy machine is no reason to fail.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

# A shell has what it starts in the background ignore Ctrl-C, and what tests start would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the tests away from the settings and the store of whoever runs them."""
    for name in ("MUNIMENT_STORE", "MUNIMENT_ACTOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MUNIMENT_HOME", str(tmp_path / "home"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home folder that this test uses; not there yet."""
    return tmp_path / "home"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server that the tests may make databases on; it is never skipped."""
    with server() as there:
        yield there


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """An empty folder for plugins, which Python looks in."""
    folder = tmp_path / "site"
    folder.mkdir()
    # A plugin that a test changes within one second would be read from its stale bytecode.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.syspath_prepend(str(folder))
    shelf = Shelf(folder)
    yield shelf
    shelf.forget()


@pytest.fixture(scope="session")
def gemma_home(request: pytest.FixtureRequest) -> Path:
    """Give a home folder to which the default model was added; look, copy, but do not change.

    Adding takes most of a minute, so the home is kept in pytest's cache until the code that makes
    it changes.
    """
    import muniment_text
    from muniment.models.digests import FileHashes, digest
    from muniment.models.registry import Models
    from muniment_text.generator import TextGenerator

    code = digest(
        Path(muniment_text.__file__).parent,
        FileHashes(),
        keep=lambda name: name.endswith(".py"),
    )
    cache = Path(request.config.cache.mkdir("muniment-homes"))
    home = cache / code.rpartition(":")[2][:16]
    if not home.exists():
        for old in cache.iterdir():
            if time.time() - old.stat().st_mtime > 3600:  # another run may be using a newer one
                shutil.rmtree(old)
        made = Path(tempfile.mkdtemp(dir=cache))
        Models(made).add("gemma-3-270m", "text", TextGenerator())
        with contextlib.suppress(OSError):  # another run was faster
            made.rename(home)
    return home
