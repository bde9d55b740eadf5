"""Every error Muniment raises on purpose; each carries the object it is about.

A message is one sentence a user can act on: what went wrong, why, and what to do.
"""

from __future__ import annotations

import copyreg
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class MunimentError(Exception):
    """The root of all errors raised on purpose; `str()` of one is fit for a user."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Let an error be raised in one process and caught in another, with all it carries."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class UsageError(MunimentError):
    """What was asked cannot be meant: an unknown name, a value out of range, a malformed file."""


class ParameterError(UsageError):
    """A requested parameter is unknown, of the wrong type or out of its range."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class SeedError(UsageError):
    """A seed is not an unsigned 64-bit integer."""

    def __init__(self, value: object) -> None:
        long = isinstance(value, int) and abs(value) >> 999  # Python may refuse to write it
        shown = "of hundreds of digits" if long else str(value)
        super().__init__(
            f"seed {shown[:40]} is not a whole number from 0 to 18446744073709551615 (2^64 - 1)"
        )
        self.value = value


class PromptError(UsageError):
    """A prompt cannot be stored or read as text."""


class UnknownNameError(UsageError):
    """No plugin object, model, generation or run of that name exists."""

    def __init__(self, kind: str, name: str, known: Sequence[str] = (), hint: str = "") -> None:
        have = f"; there are: {', '.join(sorted(known))}" if known else ""
        super().__init__(f"no {kind} named {name!r}{have}{'; ' + hint if hint else ''}")
        self.kind, self.name, self.known = kind, name, tuple(known)


class AmbiguousNameError(UsageError):
    """A name or an abbreviated id fits more than one thing."""

    def __init__(self, kind: str, name: str, candidates: Sequence[str], hint: str = "") -> None:
        super().__init__(
            f"{kind} {name!r} could be {' or '.join(candidates)}{'; ' + hint if hint else ''}"
        )
        self.kind, self.name, self.candidates = kind, name, tuple(candidates)


class PluginError(MunimentError):
    """A plugin could not be loaded, or broke the contract."""

    def __init__(self, distribution: str, message: str) -> None:
        super().__init__(message)
        self.distribution = distribution


class ModelError(MunimentError):
    """A model cannot be used: weights missing, half-written, pickled, or its digest differs."""

    def __init__(self, model: str, message: str) -> None:
        super().__init__(message)
        self.model = model


class ModelTermsWarning(UserWarning):
    """The terms of a packaged model that is about to be added; made an error, it prevents that."""


class PolicyError(UsageError):
    """A policy file is malformed; nothing is generated under it."""

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"policy {source}: {message}")
        self.source = source


class ConfigError(UsageError):
    """The configuration file is malformed or a key is unknown."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"configuration {path}: {message}")
        self.path = path


class StoreError(MunimentError):
    """The store cannot be opened, read or written."""

    def __init__(self, url: str, message: str) -> None:
        super().__init__(message)
        self.url = url


class StoreVersionError(StoreError):
    """The store's schema is newer than this Muniment, or not of Muniment's making."""


class VerificationError(MunimentError):
    """The evidence is not what it was: altered, cut off, rolled back or put in another's place."""
