"""The store: the ledger and its payloads in a database, and everything asked of them."""

from __future__ import annotations

from muniment.store.errors import AlreadyRecordedError, NoStoreError
from muniment.store.queries import Query
from muniment.store.runs import Line, Run
from muniment.store.store import Store, StoreStatus

__all__ = [
    "AlreadyRecordedError",
    "Line",
    "NoStoreError",
    "Query",
    "Run",
    "Store",
    "StoreStatus",
]
