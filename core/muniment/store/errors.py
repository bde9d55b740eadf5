"""What can go wrong between Muniment and its store, beyond what `muniment.errors` names."""

from __future__ import annotations

from muniment.errors import StoreError


class NoStoreError(StoreError):
    """There is no store yet: nothing has been recorded."""

    def __init__(self, url: str, where: str) -> None:
        super().__init__(
            url,
            f"nothing is recorded yet: there is no store at {where}; generate something first, "
            "or name the store with --store",
        )


class AlreadyRecordedError(StoreError):
    """A generation, its outcome, or an attempt at its line, is already in the store."""

    def __init__(self, url: str, generation: str, message: str) -> None:
        super().__init__(url, message)
        self.generation = generation
