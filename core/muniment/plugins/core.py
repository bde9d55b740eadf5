"""The core as a plugin and as a part of the environment, as generations record them."""

from __future__ import annotations

import platform

from muniment._version import __version__
from muniment.plugins.discovery import Plugin


def core_plugin() -> Plugin:
    """Return a description of the core as a plugin, as it is recorded."""
    return Plugin("muniment", __version__, "muniment", "muniment")


def core_environment() -> dict[str, str | int]:
    """Return the facts of the environment that the core records."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
    }
