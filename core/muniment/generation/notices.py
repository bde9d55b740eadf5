"""Notices of generations in progress, for a program that displays them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from muniment.types.replies import Chunk


class GenerationNotices:
    """The notices of generations in progress, which this class ignores."""

    def loading(self, model: str) -> AbstractContextManager[object]:
        """Show, during the block, that a generator loads the model of this name."""
        return nullcontext()

    def generating(self, name: str, *, streams: bool) -> AbstractContextManager[CountChunk]:
        """Show, during the block, that a model or a generator without a model generates.

        Yields a function that receives each chunk. With `streams`, the caller gets the chunks too.
        """
        return nullcontext(_ignore)

    def withheld(self) -> None:
        """Show why the caller gets no chunks: a filter judges whole outputs."""


CountChunk = Callable[[Chunk], object]
"""A function that receives each chunk of a generation in progress."""


def _ignore(chunk: Chunk) -> None:
    """Ignore a chunk."""
