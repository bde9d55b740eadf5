"""What can go wrong when plugins are installed; each says what to do."""

from __future__ import annotations

from pathlib import Path

from muniment.errors import MunimentError, UsageError, VerificationError


class InstallError(MunimentError):
    """Plugins cannot be installed or removed here; `target` is what it is about."""

    def __init__(self, target: str, message: str) -> None:
        super().__init__(message)
        self.target = target


class ConflictError(InstallError):
    """What a plugin needs does not go with what is installed, which stays."""


class ProbeError(InstallError):
    """A plugin that was installed does not work here; it was taken out again."""


class BundleError(UsageError):
    """A file is no bundle of plugins, or one that this Muniment cannot read."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path} {message}")
        self.path = path


class TamperedBundleError(VerificationError):
    """A bundle is not what was written: altered, damaged, or not signed by the key asked for."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"nothing was installed: {path} {message}")
        self.path = path
