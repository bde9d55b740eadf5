"""Models that come with installed packages, and the notices shown while one is added."""

from __future__ import annotations

import sys
import warnings
from types import TracebackType
from typing import Self

from muniment.errors import ModelError, ModelTermsWarning, MunimentError
from muniment.hookspecs import ModelProvider
from muniment.types import PackagedModel


class AdditionNotices:
    """The notices of one addition, as a context manager around it.

    This class warns of the terms and ignores the rest, as suits a program. The command line has
    a subclass that prints.
    """

    def __init__(self, model: PackagedModel) -> None:
        self.model = model

    def begin(self) -> None:
        """Show the terms. Called once before the work, which an exception cancels."""
        if self.model.terms:
            text = f"model {self.model.name}: {self.model.terms}"
            warnings.warn(text, ModelTermsWarning, stacklevel=_caller_level())

    def waiting(self, text: str) -> None:
        """Show the process that must finish first."""

    def progress(self, step: str, fraction: float) -> None:
        """Show the step under way and the fraction of it that is done."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the notices."""


def packaged_models(generator: object) -> list[PackagedModel]:
    """Return the models that come with installed packages. Raise ModelError on failure."""
    if not isinstance(generator, ModelProvider):
        return []
    try:
        packaged = list(generator.packaged_models())
        for model in packaged:
            _ = (model.name, model.source, model.terms)
    except MunimentError:
        raise
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ModelError("", f"packaged models cannot be listed: {reason}") from error
    return packaged


def _caller_level() -> int:
    """Return the `stacklevel` of the first frame outside Muniment, seen from the caller."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("muniment."):
        level, frame = level + 1, frame.f_back
    return level
