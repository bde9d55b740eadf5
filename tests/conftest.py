"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from support.databases import Server, server, stop
from support.environments import template, wheels_of_core
from support.plugins import PluginFolder
from support.sharing import SHARED, locked, once

# A busy machine is no reason to fail.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

# Several processes run tests at once; torch's threads would wait for one another's cores. With two
# threads each, on two busy cores, the tests of the text generator took five times as much CPU time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Messages are compared in English, whatever the locale.
os.environ["MUNIMENT_LANG"] = "en"

# A shell has what it starts in the background ignore Ctrl-C, and `nohup` the end of a terminal. The
# processes that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
if os.name == "posix":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder that the processes of this run share; workers are given its path."""
    given = getattr(config, "workerinput", {}).get("shared")
    config.stash[SHARED] = Path(given or tempfile.mkdtemp(prefix="muniment-tests-"))
    if not given:  # what ends this process, as `timeout` does, must not leave a server behind
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["shared"] = str(node.config.stash[SHARED])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the database server and remove the folder, when no worker needs them any more."""
    if not hasattr(config, "workerinput"):
        stop(config.stash[SHARED])
        shutil.rmtree(config.stash[SHARED])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the integration tests what needs the real model, or repeats on PostgreSQL."""
    for item in items:
        values = (
            item.callspec.params.values()
            if isinstance(item, pytest.Function) and hasattr(item, "callspec")
            else ()
        )
        repeats = "postgresql" in [value for value in values if isinstance(value, str)]
        if item.get_closest_marker("model") or (repeats and not item.get_closest_marker("dialect")):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def shared(pytestconfig: pytest.Config) -> Path:
    """A folder that all processes of this run share, for what `support.sharing.once` makes."""
    return pytestconfig.stash[SHARED]


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
def postgresql(shared: Path) -> Iterator[Server]:
    """A PostgreSQL server, one for all processes, on which the tests may make databases."""
    with server(shared) as there:
        yield there


@pytest.fixture(scope="session")
def bare(shared: Path) -> Path:
    """A fresh environment with nothing but Muniment, from its wheel; to be copied."""
    wheels = once(shared / "wheels-of-core", wheels_of_core)
    return once(shared / "environment", lambda folder: template(wheels, folder))


@pytest.fixture
def plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginFolder]:
    """An empty folder for plugins, which Python looks in."""
    folder = tmp_path / "site"
    folder.mkdir()
    # A plugin that a test changes within one second would be read from its stale bytecode.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.syspath_prepend(str(folder))
    plugin_folder = PluginFolder(folder)
    yield plugin_folder
    plugin_folder.forget()


@pytest.fixture(scope="session")
def gemma_home(request: pytest.FixtureRequest) -> Path:
    """Give a home folder to which the default model was added; look, copy, but do not change.

    Adding takes most of a minute. One process does it while the others wait, and pytest's cache
    keeps the home until the code that makes it changes.
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
    with locked(cache / "lock"):
        if not home.exists():
            for old in cache.iterdir():
                # Another run may be using a newer one.
                if old.is_dir() and time.time() - old.stat().st_mtime > 3600:
                    shutil.rmtree(old)
            made = Path(tempfile.mkdtemp(dir=cache))
            Models(made).add("gemma-3-270m", "text", TextGenerator())
            made.rename(home)
    return home


@pytest.fixture(scope="session")
def exiftool() -> str:
    """The path of exiftool, which the integration tests need."""
    return _program("exiftool", "libimage-exiftool-perl")


@pytest.fixture(scope="session")
def openssl() -> str:
    """The path of openssl, which the integration tests need."""
    return _program("openssl", "openssl")


@pytest.fixture(scope="session")
def tmux() -> str:
    """The path of tmux, which the integration tests need."""
    return _program("tmux", "tmux")


def _program(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is missing; install it (Debian: {package})")
    return path
