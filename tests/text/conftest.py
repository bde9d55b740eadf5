"""Small real models made on the spot, and the default model prepared once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.models import make_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give the folder of a tiny model of a family, made once a session."""
    made: dict[str, Path] = {}
    root = tmp_path_factory.mktemp("models")

    def get(family: str) -> Path:
        if family not in made:
            made[family] = make_model(family, root / family)
        return made[family]

    return get


@pytest.fixture(scope="session")
def llama(tiny: Callable[[str], Path]) -> Any:
    """Give an engine of the tiny Llama."""
    from muniment_text.engine import Engine
    from muniment_text.loading import load

    return Engine(load(tiny("llama")))


@pytest.fixture(scope="session")
def gemma_folder(gemma_home: Path) -> Path:
    """Give the prepared default model."""
    return gemma_home / "models" / "gemma-3-270m"


@pytest.fixture(scope="session")
def gemma(gemma_folder: Path) -> Any:
    """Give an engine of the default model."""
    from muniment_text.engine import Engine
    from muniment_text.loading import load

    return Engine(load(gemma_folder))


@pytest.fixture(scope="session")
def model_maker() -> Callable[..., Path]:
    """Give the function that makes a tiny model: family, folder, template, config changes."""
    return make_model
