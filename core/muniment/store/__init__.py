"""The store, which keeps the ledger and its payloads in a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from muniment._lazy import lazy_attributes
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

__getattr__, __dir__ = lazy_attributes(
    __name__, {"verification.report": "Problem", "verification.verify": "Verification"}
)
