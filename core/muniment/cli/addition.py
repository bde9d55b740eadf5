"""Notices on stderr while a model is added."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from muniment.cli.output import on_terminal, write_note
from muniment.cli.progress import fraction
from muniment.models.registry import AdditionNotices
from muniment.types import PackagedModel


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
