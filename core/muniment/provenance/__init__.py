"""The provenance of exported files, in the forms that standards and Muniment define.

Names are imported on first use, so that nothing is imported before a file is written or read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muniment._lazy import lazy_attributes

if TYPE_CHECKING:
    from muniment.provenance.json import (
        FORMAT as FORMAT,
        from_json as from_json,
        to_json as to_json,
    )

_MODULES = {
    "json": "FORMAT from_json to_json",
}

__all__ = sorted(" ".join(_MODULES.values()).split())
__getattr__, __dir__ = lazy_attributes(__name__, _MODULES)
