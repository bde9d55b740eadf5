"""A house whose plugins all run in worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.plugins import Shelf
from support.workers import IsolatedHouse


@pytest.fixture
def house(home: Path, shelf: Shelf) -> Iterator[IsolatedHouse]:
    house = IsolatedHouse(home, shelf)
    yield house
    house.close()
