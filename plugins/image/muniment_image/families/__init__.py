"""The families of image models. A family's module is imported when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from muniment_image.model_config import FAMILIES

if TYPE_CHECKING:
    from .base import Family


def family_class(name: str) -> type[Family]:
    """Return the class of a family. Raise KeyError unless the name is one of `FAMILIES`."""
    if name not in FAMILIES:
        raise KeyError(name)
    # The module and the class have the name of the family.
    module = importlib.import_module(f"{__name__}.{name}")
    family: type[Family] = getattr(module, name.capitalize())
    return family
