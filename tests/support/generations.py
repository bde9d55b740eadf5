"""Generations that no store has, for evaluators."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import muniment


def completed(*outputs: muniment.Output | str, **fields: Any) -> muniment.Generation:
    """Return a completed generation with outputs, or with texts in place of them."""
    values = {
        "id": "G",
        "run_id": "R",
        "actor": "someone",
        "status": "completed",
        "generator": "parrot",
        "prompt": "?",
        "seed": 7,
        "started_at": datetime(2026, 1, 1, tzinfo=UTC),
        "outputs": tuple(
            muniment.Text(output) if isinstance(output, str) else output for output in outputs
        ),
    }
    return muniment.Generation(**{**values, **fields})
