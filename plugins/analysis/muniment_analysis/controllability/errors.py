"""The errors of an analysis of controllability."""

from __future__ import annotations

import muniment


class DesignError(muniment.UsageError):
    """A design that cannot be read or has no meaning. `source` is the file or the run."""

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"design {source}: {message}")
        self.source = source
