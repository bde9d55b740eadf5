"""The store: the ledger and its payloads in a database, and everything asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from muniment.store.errors import AlreadyRecordedError, NoStoreError
from muniment.store.queries.query import Query
from muniment.store.queries.runs import Line, Run
from muniment.store.store import Store, StoreStatus

if TYPE_CHECKING:
    from muniment.store.verification.report import Problem
    from muniment.store.verification.verify import Verification

__all__ = [
    "AlreadyRecordedError",
    "Line",
    "NoStoreError",
    "Problem",
    "Query",
    "Run",
    "Store",
    "StoreStatus",
    "Verification",
]


def __getattr__(name: str) -> object:
    """Import what only verifying needs on first use."""
    if name == "Problem":
        from muniment.store.verification.report import Problem

        return Problem
    if name == "Verification":
        from muniment.store.verification.verify import Verification

        return Verification
    raise AttributeError(f"module 'muniment.store' has no attribute {name!r}")
