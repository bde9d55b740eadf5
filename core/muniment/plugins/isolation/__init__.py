"""Plugins in worker processes, so that a crash or a hang of a plugin ends only its worker.

An isolated plugin is imported in its own process and never in the main one. The worker returns
its registrations as data. The main process builds proxies from them (module `proxies`), which the
pipeline uses like any other generator, filter or evaluator. `protocol` defines the messages,
`process` starts and ends a worker, and `worker` is the program that the worker process runs.

    pipeline ─→ proxy ─→ Worker ══ pipes ══ worker program ─→ the plugin's own object

A worker has fewer rights than the main process, but it is not a sandbox. See
docs/explanation/isolation.md for the limits.
"""

from muniment.plugins.isolation.workers import PluginWorkers

__all__ = ["PluginWorkers"]
