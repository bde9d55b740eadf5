"""Notices of the addition of a model, for a program that displays them."""

from __future__ import annotations

import sys
import warnings

from muniment.errors import ModelTermsWarning
from muniment.types.models import PackagedModel


class AdditionNotices:
    """The notices of one addition.

    This class warns of the terms and ignores the rest, as suits a program. The command line has
    a subclass that prints.
    """

    def begin(self, model: PackagedModel) -> None:
        """Show the terms of a packaged model before the work, which an exception cancels."""
        if model.terms:
            text = f"model {model.name}: {model.terms}"
            warnings.warn(text, ModelTermsWarning, stacklevel=_caller_level())

    def waiting(self, text: str) -> None:
        """Show the process that must finish first."""

    def progress(self, step: str, fraction: float) -> None:
        """Show the current step and its completed fraction."""


def _caller_level() -> int:
    """Return the `stacklevel` of the first frame outside Muniment, seen from the caller."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("muniment."):
        level, frame = level + 1, frame.f_back
    return level
