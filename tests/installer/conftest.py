"""Fresh environments, and a shop that has the plugins of different hands as wheels."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from support.environments import Fresh, plugin
from support.pip_double import Inside


class Shop:
    """A folder of wheels, written when they are first asked for; pip can look in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._built: dict[str, Path] = {}

    def __call__(self, name: str, source: str | None = None, **about: Any) -> Path:
        key = repr((name, source, sorted(about.items())))
        if key not in self._built:
            folder = self.folder / str(len(self._built))
            self._built[key] = plugin(folder, name, source, **about)
        return self._built[key]


@pytest.fixture(scope="session")
def wheel_folder(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def pip_kind() -> str:
    """The kind of pip: `double`, or `real` where a test is marked with `on_both` or `only_real`."""
    return "double"


@pytest.fixture
def another(pip_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """Makes environments with nothing but Muniment, each with a home of its own."""
    numbers = itertools.count(1)

    def make() -> Fresh:
        number = next(numbers)
        folder, home = tmp_path / f"environment-{number}", tmp_path / f"home-{number}"
        if pip_kind == "double":
            return Inside.make(folder, home)
        return Fresh.copy(request.getfixturevalue("bare"), folder, home)

    return make


@pytest.fixture
def fresh(another: Any) -> Fresh:
    """An environment with nothing but Muniment."""
    made: Fresh = another()
    return made


@pytest.fixture(scope="module")
def used_kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fresh]:
    return {}


@pytest.fixture
def shared_environment(
    pip_kind: str,
    used_kinds: dict[str, Fresh],
    wheel_folder: Shop,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Fresh:
    """An environment with one plugin, for tests that must leave it as it is."""
    if pip_kind not in used_kinds:
        folder = tmp_path_factory.mktemp("used")
        if pip_kind == "double":
            made: Fresh = Inside.make(folder / "environment", folder / "home")
        else:
            bare = request.getfixturevalue("bare")
            made = Fresh.copy(bare, folder / "environment", folder / "home")
        assert made("plugins", "install", wheel_folder("muniment-one", generator="one")).code == 0
        used_kinds[pip_kind] = made
    return used_kinds[pip_kind]
