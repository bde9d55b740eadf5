"""The errors of tables, models and queries. Each is one sentence for the user."""

from __future__ import annotations

import muniment


class DataError(muniment.UsageError):
    """A table or a split that cannot be used, with the file and line where one is at fault."""


class QueryError(muniment.UsageError):
    """A request that a model cannot answer, such as one with an unknown user or item."""
