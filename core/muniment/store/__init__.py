"""The store, which keeps the ledger and its payloads in a database.

Names are imported on first use, so that a command without a database imports none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muniment._lazy import lazy_attributes

if TYPE_CHECKING:
    from muniment.store.backup import plan_restore, restore
    from muniment.store.database.export_pool import cores
    from muniment.store.errors import AlreadyRecordedError, NoStoreError
    from muniment.store.export import FORMATS, unfinished
    from muniment.store.queries.finder import Line, Run
    from muniment.store.queries.query import Query
    from muniment.store.retention.protection import Rule
    from muniment.store.search.engine import RANKED, searchable
    from muniment.store.store import Store, StoreStatus
    from muniment.store.verification.report import Problem
    from muniment.store.verification.signatures import TrustedCheckpoint
    from muniment.store.verification.verify import Verification

__all__ = [
    "FORMATS",
    "RANKED",
    "AlreadyRecordedError",
    "Line",
    "NoStoreError",
    "Problem",
    "Query",
    "Rule",
    "Run",
    "Store",
    "StoreStatus",
    "TrustedCheckpoint",
    "Verification",
    "cores",
    "plan_restore",
    "restore",
    "searchable",
    "unfinished",
]

__getattr__, __dir__ = lazy_attributes(
    __name__,
    {
        "backup": "plan_restore restore",
        "database.export_pool": "cores",
        "errors": "AlreadyRecordedError NoStoreError",
        "export": "FORMATS unfinished",
        "queries.query": "Query",
        "queries.finder": "Line Run",
        "retention.protection": "Rule",
        "search.engine": "RANKED searchable",
        "store": "Store StoreStatus",
        "verification.report": "Problem",
        "verification.signatures": "TrustedCheckpoint",
        "verification.verify": "Verification",
    },
)
