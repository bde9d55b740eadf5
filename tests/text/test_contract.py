"""The generator keeps the contract that every generator is held to, on a tiny real model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

import muniment
from muniment.testing import GeneratorContract
from muniment_text.generator import TextGenerator


class TestTextGenerator(GeneratorContract):
    generator = TextGenerator
    parameters: ClassVar = {"max_tokens": 8}

    @pytest.fixture
    def model(self, tiny: Callable[[str], Path]) -> muniment.Model:
        return muniment.Model("tiny", "tree1-sha256:0", str(tiny("llama")))
