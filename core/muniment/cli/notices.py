"""Notices that the command line displays while it waits for a model."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime

from muniment.cli.output import on_terminal, one_line, write_note
from muniment.cli.progress import begin_all, fraction, waiting
from muniment.cli.values import pluralize
from muniment.generation.notices import CountChunk, GenerationNotices
from muniment.models.notices import AdditionNotices
from muniment.types.generations import Generation
from muniment.types.models import PackagedModel
from muniment.types.replies import Chunk
from muniment.validation import now

EXPLAINED_SECONDS = 3.0  # until a display shows why a text is not streamed
_REASON = "shown when complete, as a filter checks it"


class LoadingNotices(GenerationNotices):
    """A spinner while a model is loaded. The clock of a bar starts when generating begins."""

    def loading(self, model: str) -> AbstractContextManager[object]:
        """Show the name of the model."""
        return waiting(f"loading {one_line(model)}")

    def generating(self, name: str, *, streams: bool) -> AbstractContextManager[CountChunk]:
        """Start the clocks of the bars in which nothing is done yet."""
        begin_all()
        return super().generating(name, streams=streams)


class AnswerNotices(LoadingNotices):
    """A spinner with the number of streamed tokens, until a text appears by itself."""

    def __init__(self) -> None:
        self._withheld = False  # whether texts are
        self._loadings: list[tuple[datetime, datetime]] = []

    @contextlib.contextmanager
    def loading(self, model: str) -> Iterator[None]:
        """Show the name of the model, and measure the time."""
        began = now()
        try:
            with super().loading(model):
                yield
        finally:
            self._loadings.append((began, now()))

    def loading_seconds(self, generation: Generation) -> float:
        """Return how long models were loaded between the start and the end of a generation."""
        if generation.finished_at is None:
            return 0.0
        start, end = generation.started_at, generation.finished_at
        overlaps = (min(end, ended) - max(start, began) for began, ended in self._loadings)
        return sum(max(overlap.total_seconds(), 0.0) for overlap in overlaps)

    @contextlib.contextmanager
    def generating(self, name: str, *, streams: bool) -> Iterator[CountChunk]:
        """Show the time, and the tokens of a text that a filter withholds.

        The first chunk that the caller gets ends it. The reason for a withheld text is added after
        some seconds, as nobody waits for a text that comes before.
        """
        tokens: dict[str, int] = {}
        began = time.monotonic()

        def label() -> str:
            number = sum(tokens.values())
            text = f"{one_line(name)}: {pluralize(number, 'token') if number else 'generating'}"
            waits = self._withheld and time.monotonic() - began >= EXPLAINED_SECONDS
            return f"{text} ({_REASON})" if waits else text

        with waiting(label) as end:

            def count(chunk: Chunk) -> None:
                tokens[chunk.request_id] = chunk.tokens or 0
                if streams:
                    end()

            yield count

    def withheld(self) -> None:
        """Show the reason while the texts are generated, or print it once without a terminal."""
        if not (self._withheld or on_terminal("stderr")):
            write_note(f"the text is {_REASON}")
        self._withheld = True


class PrintedNotices(AdditionNotices):
    """Printer of the terms, with the progress bar of `printed_notices`."""

    def __init__(self, label: str, bar: Callable[[str, float, float], None]) -> None:
        self._label, self._bar = label, bar

    def begin(self, model: PackagedModel) -> None:
        """Print which model is added, and its terms."""
        write_note(f"adding model {model.name}, which happens once")
        if model.terms:
            write_note(model.terms)

    def waiting(self, text: str) -> None:
        """Show the reason in the bar, or print it without a terminal."""
        if on_terminal("stderr"):
            self._bar(text, 0, 1)
        else:
            write_note(text)

    def progress(self, step: str, fraction: float) -> None:
        """Update the bar."""
        self._bar(f"{self._label}: {step}", fraction, 1)


@contextlib.contextmanager
def printed_notices(label: str) -> Iterator[AdditionNotices]:
    """Show a progress bar on a terminal, and yield the notices that move it."""
    with fraction(label) as bar:
        yield PrintedNotices(label, bar)
