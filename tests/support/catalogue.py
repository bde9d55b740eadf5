"""The small bilingual catalogue of `examples/make_catalogue.py`."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from types import ModuleType

import numpy as np

from muniment_recommendation.data.catalogue import Catalogue, CatalogueItem
from muniment_recommendation.data.interactions import Interactions
from muniment_recommendation.fitting.fit import fit
from muniment_recommendation.fitting.fitted_model import FittedModel
from muniment_recommendation.fitting.options import FitOptions

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


@cache
def interactions() -> Interactions:
    """The histories of its users, who are sorted by id."""
    rows = program().make_interactions(program().make_items(), users=200, seed=7)
    users = sorted({user for user, _, _ in rows})
    lengths = [sum(row[0] == user for row in rows) for user in users]
    numbers = catalogue().numbers
    return Interactions(
        users=tuple(users),
        offsets=np.cumsum([0, *lengths]),
        items=np.array([numbers[item] for _, item, _ in rows], np.int32),
        times=np.array([time * 1000 for _, _, time in rows]),
        item_count=len(numbers),
    )


@cache
def model() -> FittedModel:
    """The default model, fitted to all interactions."""
    return fit(interactions(), catalogue(), FitOptions())
