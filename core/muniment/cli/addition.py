"""Notices on stderr while a packaged model is added before a generation."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Self

from muniment.cli.output import write_note
from muniment.cli.progress import fraction, write_waiting
from muniment.models.packaged import AdditionNotices


class PrintedNotices(AdditionNotices):
    """Printer of the terms, with a progress bar on a terminal."""

    def __enter__(self) -> Self:
        self._exit = contextlib.ExitStack()
        self._bar = self._exit.enter_context(fraction(f"adding model {self.model.name}"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the bar."""
        self._exit.close()

    def begin(self) -> None:
        """Print which model is added, and its terms."""
        write_note(f"adding model {self.model.name}, which happens once")
        if self.model.terms:
            write_note(self.model.terms)

    def waiting(self, text: str) -> None:
        """Show the reason in the bar, or print it without a terminal."""
        write_waiting(text, self._bar)

    def progress(self, step: str, fraction: float) -> None:
        """Update the bar."""
        self._bar(f"adding model {self.model.name}: {step}", fraction)
