"""The families of image models, by name. A family's module is imported when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Family

_CLASSES = {"flow": "Flow", "vae": "Vae", "dcgan": "Dcgan"}
FAMILIES = tuple(_CLASSES)


def family_class(name: str) -> type[Family]:
    """Return the class of a family. Raise KeyError unless the name is one of `FAMILIES`."""
    attribute = _CLASSES[name]
    family: type[Family] = getattr(importlib.import_module(f"{__name__}.{name}"), attribute)
    return family
