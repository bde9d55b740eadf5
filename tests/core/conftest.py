"""Fixtures for testing the core."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.house import House
from support.plugins import Shelf


@pytest.fixture
def house(home: Path, shelf: Shelf) -> Iterator[House]:
    house = House(home, shelf)
    yield house
    house.close()
