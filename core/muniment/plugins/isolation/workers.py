"""Select the plugins that run in worker processes, and manage the workers of a session."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from muniment.config import Config
from muniment.errors import PluginError, UsageError
from muniment.plugins.discovery import Plugin
from muniment.plugins.objects import RegisteredObject
from muniment.plugins.registry import load_objects

if TYPE_CHECKING:
    from muniment.plugins.isolation.process import Limits, Worker

_SUPPORTED = hasattr(os, "fork")
_UNSUPPORTED = "worker processes need Linux or macOS; they are not supported on this system"


class PluginWorkers:
    """The worker processes of a session, one for each isolated plugin.

    Each of the settings `plugin.NAME.isolate`, `.timeout` and `.memory` isolates a plugin.
    `everything` isolates all plugins. Raises UsageError if the system has no worker processes.
    """

    def __init__(self, config: Config, *, everything: bool = False) -> None:
        if everything and not _SUPPORTED:
            raise UsageError(_UNSUPPORTED)
        self._config = config
        self._everything = everything
        self._workers: dict[Plugin, Worker] = {}

    def load_objects(self, plugin: Plugin) -> list[RegisteredObject]:
        """Return the objects that a plugin registers, as proxies if it is isolated.

        Exceptions of the plugin are raised unchanged.
        """
        limits = self._limits(plugin)
        if limits is None:
            return load_objects(plugin)
        if not _SUPPORTED:
            raise PluginError(plugin.distribution, _UNSUPPORTED)
        from muniment.plugins.isolation.process import Worker
        from muniment.plugins.isolation.proxies import proxy_object

        worker = self._workers[plugin] = Worker(plugin, limits)
        return [proxy_object(worker, registration) for registration in worker.start()]

    def close(self) -> None:
        """End all worker processes. A worker is started again when it is used again."""
        for worker in self._workers.values():
            worker.close()

    def _limits(self, plugin: Plugin) -> Limits | None:
        """Return the limits of an isolated plugin, or None if it is not isolated."""
        seconds = self._config.of_plugin(plugin.distribution, "timeout")
        megabytes = self._config.of_plugin(plugin.distribution, "memory")
        isolate = self._config.of_plugin(plugin.distribution, "isolate") == "true"
        if not (self._everything or isolate or seconds or megabytes):
            return None
        from muniment.plugins.isolation.process import ANSWERING, Limits

        return Limits(
            float(seconds) if seconds else ANSWERING,
            int(megabytes) << 20 if megabytes else None,
        )
