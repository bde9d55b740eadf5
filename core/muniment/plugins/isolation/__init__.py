"""Plugins in worker processes: what breaks there, breaks nothing here.

An isolated plugin is imported in a process of its own and never in this one; what it registers
comes back as data, and stands here as proxies (`proxies`) that the pipeline uses as it uses any
other generator, filter or evaluator. `protocol` says what both sides tell each other, `process`
starts and ends a worker, `worker` is the program that it runs.

    pipeline ─→ proxy ─→ Worker ══ pipes ══ worker program ─→ the plugin's own object

A worker is trusted with less, not with nothing: see docs/explanation/isolation.md.
"""

from muniment.plugins.isolation.workers import PluginWorkers

__all__ = ["PluginWorkers"]
