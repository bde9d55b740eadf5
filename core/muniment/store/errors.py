"""Errors of the store in addition to those in `muniment.errors`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from muniment.errors import DamagedStoreError, StoreError, UsageError

UNREADABLE = (LookupError, ValueError, TypeError, AttributeError, OverflowError, RecursionError)
"""The exceptions that decoding a corrupt entry or payload can raise."""


@contextmanager
def corruption_as_store_error(url: str) -> Iterator[None]:
    """Raise DamagedStoreError instead of an exception that a corrupt entry or payload causes."""
    try:
        yield
    except UNREADABLE as error:
        raise DamagedStoreError(
            url,
            "the store is damaged; run `muniment audit verify --all` to find the corrupt entries "
            "or rows, and `muniment db rebuild` if only query tables differ",
        ) from error


class NoStoreError(StoreError, UsageError):
    """The store does not exist yet, because nothing has been recorded.

    A command that reads exits with the code of a usage error.
    """

    def __init__(self, url: str, where: str) -> None:
        super().__init__(
            url,
            f"nothing is recorded yet: there is no store at {where}; generate something first, "
            "or use --store to open another store",
        )
        self.where = where


class AlreadyRecordedError(StoreError):
    """The generation, its outcome or an attempt at its line is already in the store."""

    def __init__(self, url: str, generation: str, message: str) -> None:
        super().__init__(url, message)
        self.generation = generation
