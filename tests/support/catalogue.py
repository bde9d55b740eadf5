"""The small bilingual catalogue of `examples/make_catalogue.py`."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from types import ModuleType

from muniment_recommendation.data.catalogue import Catalogue, CatalogueItem

from .commands import ROOT


@cache
def program() -> ModuleType:
    """The program as a module."""
    path = ROOT / "examples" / "make_catalogue.py"
    spec = importlib.util.spec_from_file_location("make_catalogue", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def catalogue() -> Catalogue:
    """The items as the plugin has them after reading `items.csv`."""
    items = program().make_items()
    return Catalogue(tuple(CatalogueItem(i.id, i.title, i.text, i.tags) for i in items))
