"""The errors of installing plugins."""

from __future__ import annotations

from pathlib import Path

from muniment import UsageError
from muniment.installation import InstallError, VerificationError


class ConflictError(InstallError):
    """The requirements of a plugin conflict with installed distributions, which stay."""


class SmokeTestError(InstallError):
    """A plugin does not work in this environment. Its installation was rolled back."""


class BundleError(UsageError):
    """A file is not a bundle, or has a format that this version cannot read."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path} {message}")
        self.path = path


class TamperedBundleError(VerificationError):
    """A bundle was altered or damaged, or is not signed by the required key."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"nothing was installed: {path} {message}")
        self.path = path
