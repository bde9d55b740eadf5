"""Fresh environments, and a shop that has the plugins of different hands as wheels."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from support.environments import Fresh, plugin, template, wheels_of_core


class Shop:
    """A folder of wheels, built when they are first asked for; pip can look in it."""

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
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of Muniment and all it needs."""
    folder = tmp_path_factory.mktemp("wheels")
    wheels_of_core(folder)
    return folder


@pytest.fixture(scope="session")
def bare(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return template(wheels, tmp_path_factory.mktemp("template") / "environment")


@pytest.fixture
def fresh(bare: Path, tmp_path: Path) -> Fresh:
    """An environment with nothing but Muniment, from its wheel."""
    return Fresh.copy(bare, tmp_path / "environment", tmp_path / "home")


@pytest.fixture
def another(bare: Path, tmp_path: Path) -> Any:
    """Makes further environments, each with a home of its own."""
    numbers = itertools.count(1)

    def make(home: Path | None = None) -> Fresh:
        number = next(numbers)
        folder = tmp_path / f"environment-{number}"
        return Fresh.copy(bare, folder, home or tmp_path / f"home-{number}")

    return make


@pytest.fixture(scope="module")
def used(bare: Path, tmp_path_factory: pytest.TempPathFactory, shop: Shop) -> Fresh:
    """An environment with one plugin, for tests that must leave it as it is."""
    folder = tmp_path_factory.mktemp("used")
    made = Fresh.copy(bare, folder / "environment", folder / "home")
    assert made("plugins", "install", shop("muniment-one", generator="one")).code == 0
    return made
